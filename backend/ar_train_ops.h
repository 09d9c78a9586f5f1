/* Ops that training whole models needs beside those of ar_backend.h, which includes this; the same rules
 * hold. */
#ifndef AR_TRAIN_OPS_H
#define AR_TRAIN_OPS_H
#include "ar_status.h"
#include <stdbool.h>
#ifdef __cplusplus
extern "C" {
#endif

typedef struct ar_graph ar_graph;
typedef struct ar_tensor ar_tensor;

/* ar_op_nll of the logits x W^T without all of them at a time: `piece` ids are computed, looked at and
 * forgotten, and computed again for the gradients; 0, or V and more = all at once, and kept.
 *   nll (N) f32, top1 (N) i32   x (N, I)  W (V, I), V <= 2^24  labels (N) i32
 * Gradients: x, W. How many ids a piece holds (some more or fewer where bindings begin elsewhere) changes the
 * order of sums. */
ar_status ar_op_head_nll(ar_graph *g, ar_tensor **nll, ar_tensor **top1, ar_tensor *x, ar_tensor *W,
                         const ar_tensor *labels, int64_t piece);

/* Records *y = what fn makes of x, so that of all it needs for its gradients only x is kept: backward records
 * fn once more and goes through that (Chen 2016, arXiv 1604.06174). fn must record the same both times. The
 * values are those of recording it as usual, to the bit. ctx is copied (at most 64 bytes). */
typedef ar_status (*ar_record_fn)(ar_graph *g, ar_tensor **y, ar_tensor *x, const void *ctx);
ar_status ar_graph_recompute(ar_graph *g, ar_tensor **y, ar_tensor *x, ar_record_fn fn, const void *ctx,
                             size_t ctx_bytes);

#ifdef __cplusplus
}
#endif
#endif
