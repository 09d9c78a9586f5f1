/* The weights of a block on the device as they are stored, for generation; and the hook that evaluates a
 * block with them. Products that the family asks for together are one weight and one dispatch where their
 * types agree: q, k, v; gate and up with SiLU; norms, biases and residuals are part of the product they
 * belong to. */
#ifndef AR_RESIDENT_H
#define AR_RESIDENT_H
#include "ar_host.h"

#define AR__PARTS 4 /* products of one input that are packed together */

/* Products [first column of each] in one packed weight. */
typedef struct ar__group {
    int32_t count, i[AR__PARTS];
    int64_t first[AR__PARTS + 1]; /* columns of the product, and their number */
    bool is_gated;                /* i[0] is the gate, i[1] up, interleaved */
    ar_resident_weight *W;
    ar_tensor *bias; /* (columns); NULL = none */
} ar__group;

typedef struct ar_resident {
    const ar_block *block;
    ar__group groups[AR_MAX_LINEARS];
    int32_t group_count;
    bool bytes; /* products take x in bytes */
    ar_tensor *norms[AR_MAX_NORMS], *norm_biases[AR_MAX_NORMS];
} ar_resident;
/* Reads, repacks and uploads. single: products are asked for one by one, by a hook above the recorder's. On
 * failure *r holds nothing. */
ar_status ar__resident_init(ar_resident *r, const ar_block *block, ar_device *device, bool single);
void ar__resident_deinit(ar_resident *r);
uint64_t ar__resident_bytes(const ar_resident *r);

/* What attention is, for whoever records: q, k and v are columns of f32 tensors. */
typedef ar_status (*ar__attend_fn)(void *ctx, ar_graph *g, ar_tensor **y, const ar_columns *q,
                                   const ar_columns *k, const ar_columns *v, const ar_attention *a);

/* A norm, or columns of a product, that is not recorded until something other than a product or attention
 * asks for it. What a family reads past the hook is refused when the graph is built: nothing ever wrote it.
 */
typedef struct ar__lazy {
    ar_tensor *t, *source; /* what the family holds; what it is made from */
    ar_tensor *made;       /* once it had to be recorded */
    int32_t norm;          /* -1 = columns */
    int64_t first;
} ar__lazy;

typedef struct ar__recorder {
    const ar_resident *r;
    ar__attend_fn attend;
    void *attend_ctx;
    ar__lazy lazies[2 * AR_MAX_NORMS + AR_MAX_LINEARS];
    int32_t lazy_count;
    ar_hook hook;
} ar__recorder;
/* A hook for one forward of the block into one graph; lives as long as c does and moves nowhere. */
void ar__recorder_init(ar__recorder *c, const ar_resident *r, ar__attend_fn attend, void *attend_ctx);
/* *y, which the forward gave, becomes a tensor that is really written: it may be a norm (a block that ends in
 * one). */
ar_status ar__recorder_finish(ar__recorder *c, ar_graph *g, ar_tensor **y);
#endif
