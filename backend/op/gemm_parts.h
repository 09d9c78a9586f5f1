/* Products of few tiles and great depth keep a large device busy in parts: each part sums a share of the
 * depth, and the parts are added in their order, so that equal inputs give equal bits (a way of
 * backend/core/ways.def). */
#ifndef AR_GEMM_PARTS_H
#define AR_GEMM_PARTS_H
#include "internal.h"

typedef struct ar__parts {
    int64_t count, depth; /* of K to each but the last; a single one has all of it */
    int64_t pitch;        /* elements between parts */
} ar__parts;

/* Those of a product (M, N) of depth K: as many as make the groups that the plan wants of tiles of 64 x 64
 * in shared memory or, asked for, as there may be. Whatever tiles and launches a submission's length makes of
 * it, the parts are the same, and so are the bits. */
void ar__parts_choose(ar__parts *parts, const ar_plan *plan, int64_t M, int64_t N, int64_t K);
/* *to: where the product goes, C (M, N) itself or a new tensor (count, pitch). Errors: MEMORY. */
ar_status ar__parts_begin(ar_graph *g, ar_tensor **to, ar_tensor *C, const ar__parts *parts);
/* C = the sum of the parts in `from`, [+ C] [+ bias (N) in every row]; of a single part only the bias is left
 * to add. bias may be NULL. Errors: those of ar__emit. */
ar_status ar__parts_end(ar_graph *g, ar_tensor *C, const ar_tensor *from, const ar__parts *parts,
                        const ar_tensor *bias, bool accumulate);
#endif
