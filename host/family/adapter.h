/* Low-rank corrections of a model's linears, y = W x + up (down x): in host memory, and as a hook above the
 * one that evaluates a block. */
#ifndef AR_ADAPTER_H
#define AR_ADAPTER_H
#include "ar_host.h"

typedef struct ar__adapter_part {
    int64_t rank; /* 0 = this linear has none */
    float *down;  /* (rank, I) */
    float *up;    /* (O, rank) */
} ar__adapter_part;
struct ar_adapter {
    int32_t block_count;
    ar__adapter_part (*parts)[AR_MAX_LINEARS]; /* (block_count) */
};
/* Of no parts. */
ar_status ar__adapter_create(ar_adapter **a, int32_t block_count);
/* Memory of zeros for linear i of a block. Errors: ARG if it has a part already; MEMORY. */
ar_status ar__adapter_add(ar_adapter *a, const ar_block *block, int32_t i, int64_t rank);
int64_t ar__adapter_count(const ar_adapter *a); /* its parts */
bool ar__adapter_equal(const ar_adapter *a, const ar_adapter *b, const ar_model *m);
/* The scale in 8 bits of the `count` values x[0], x[step], …: s = fp16(max |x| / 127), at least 2^-14; they
 * are stored as q = rnd(x / s), halves to even, in [-127, 127], and stand for q s. Infinite where fp16 holds
 * none. */
float ar__factor_scale(const float *x, int64_t count, int64_t step);
int8_t ar__factor_code(float x, float scale);
/* Factors (O, rank), (rank, I) become what `bits` store: 16 fp16 each; 8 the codes above, with a scale for
 * each row of down and each column of up. Rounding them again changes nothing. Errors: UNSUPPORTED, naming
 * `what`, where fp16 does not hold a factor or scale. */
ar_status ar__adapter_round(ar__adapter_part *p, int64_t O, int64_t I, int32_t bits, const char *what);

/* The parts of one block on the device. */
typedef struct ar__adapter_block {
    ar_tensor *down[AR_MAX_LINEARS], *up[AR_MAX_LINEARS]; /* NULL where there are none */
} ar__adapter_block;
/* On failure *d holds nothing. a NULL = no part. */
ar_status ar__adapter_upload(ar__adapter_block *d, const ar_adapter *a, const ar_block *block,
                             ar_device *device);
void ar__adapter_drop(ar__adapter_block *d);

/* A hook that adds d's parts to what base makes. Neither it nor base moves. write, unless NULL, makes a
 * tensor that base holds back one that is really written. */
typedef struct ar__adapter_hook {
    const ar__adapter_block *d;
    ar_status (*write)(void *ctx, ar_graph *g, ar_tensor **t);
    void *write_ctx;
    ar_hook hook;
} ar__adapter_hook;
void ar__adapter_hook_init(ar__adapter_hook *h, const ar__adapter_block *d, const ar_hook *base);
#endif
