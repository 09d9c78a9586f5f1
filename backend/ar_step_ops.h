/* Part of ar_backend.h: a step of fake quantization's state made where its gradient's tiles are. Shapes and
 * errors as there. */
#ifndef AR_STEP_OPS_H
#define AR_STEP_OPS_H
#include "ar_status.h"
#include <stdbool.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

/* ar_graph_on_grad that looks at the product first: where t's gradient is dy^T x of one linear and of nothing
 * else, product is called with dy (N, O) and x (N, I) instead, before it is recorded. What leaves *taken
 * false gets fn with the gradient, as usual. product NULL: the gradient alone will do. Either may be called
 * before what else that linear's backward reads t for is recorded: they write no t. */
typedef ar_status (*ar_product_fn)(ar_graph *g, bool *taken, const ar_tensor *dy, const ar_tensor *x,
                                   const void *ctx);
ar_status ar_graph_on_product(ar_graph *graph, ar_tensor *t, ar_product_fn product, ar_grad_fn fn,
                              const void *ctx, size_t ctx_bytes);

/* A graph whose tensors take the memory of `lender`'s, which is built, as far as they fit; of nobody's where
 * lender is NULL or either keeps tensors. The two never run at once, as a device's work is in order; lender
 * outlives the graph. Errors: MEMORY. */
ar_status ar_graph_create_in(ar_graph **graph, ar_device *device, const ar_graph *lender);

/* Sign steps of v and mm as ar_op_sign_step takes them: T, the bounds of both and the counter, step (1) i32.
 */
typedef struct ar_fq_bounds {
    const ar_tensor *step;
    int32_t T;
    float v_low, v_high, mm_low, mm_high;
} ar_fq_bounds;
/* ar_op_fq_grad of dWq = dy^T x and ar_op_sign_step of st->v along dv and of st->mm along dmm, with the same
 * bits, in one kernel: none of the gradients is ever in memory. *taken: whether it is recorded; it is not
 * where the plan would have them apart (plan.ways), products are by matrix hardware or in parts, groups do
 * not fill tiles (double-quantized, of whole rows, not of 16 to 128 in powers of two), v or mm is not
 * tuned, or a tensor passes one binding. */
ar_status ar_op_fq_step(ar_graph *g, bool *taken, const ar_tensor *dy, const ar_tensor *x, const ar_tensor *W,
                        const ar_tensor *range, const ar_tensor *sz, const ar_fq_state *st,
                        const ar_fq_desc *desc, const ar_fq_bounds *bounds);

#ifdef __cplusplus
}
#endif
#endif
