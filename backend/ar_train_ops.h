/* Ops that training whole models needs beside those of ar_backend.h, which includes this; the same rules
 * hold. */
#ifndef AR_TRAIN_OPS_H
#define AR_TRAIN_OPS_H
#include "ar_status.h"
#include <stdbool.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

typedef struct ar_graph ar_graph;
typedef struct ar_tensor ar_tensor;
typedef struct ar_scheme ar_scheme;

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

/* y = x / (1 - share) where a place is kept, else 0; each place is dropped with probability `share`, by
 * random numbers that depend on seed, count[0] and the place alone (Srivastava 2014). share 0: y is x itself.
 *   x, y (N, I)  count (1) i32. Gradient: x. Errors: ARG for a share outside [0, 1). */
ar_status ar_op_dropout(ar_graph *g, ar_tensor **y, ar_tensor *x, float share, uint32_t seed,
                        const ar_tensor *count);

/* ---- steps of whole-model training ---- */

/* *factor (2): the norm of all gradients d[i] (count), each counted `scale` times, and what every one is to
 * be multiplied by: scale, times limit / norm where the norm is larger than limit (Pascanu 2013, arXiv
 * 1211.5063). limit 0 = none. d[i] f32. Sums in a fixed order. Errors: ARG (count < 1, limit < 0). */
ar_status ar_op_clip(ar_graph *g, ar_tensor **factor, ar_tensor *const *d, int32_t count, float limit,
                     float scale);
/* Row t of rates (T, 4) f32, counted by step[0] (1) i32, holds the rate and what else step t needs:
 * ar_train_rates. */
typedef struct ar_train_step {
    const ar_tensor *step, *rates;
    const ar_tensor *factor; /* ar_op_clip's */
    float decay;             /* of weights */
} ar_train_step;
/* AdamW (arXiv 1711.05101): p's decay is decoupled from its gradient d. p, d, mean, square: f32 of one count;
 * mean and square start at 0. Errors: ARG, DTYPE, SHAPE. */
ar_status ar_op_adamw_step(ar_graph *g, ar_tensor *p, const ar_tensor *d, ar_tensor *mean, ar_tensor *square,
                           const ar_train_step *s, float beta1, float beta2, float eps);
/* SGD with momentum; the decay is part of the gradient, as in PyTorch. mean starts at 0. Errors: likewise. */
ar_status ar_op_sgd_step(ar_graph *g, ar_tensor *p, const ar_tensor *d, ar_tensor *mean,
                         const ar_train_step *s, float momentum);
/* rates (T, 4): lr f(t), that over 1 - beta1^(t+1), 1 / (1 - beta2^(t+1)), 0. f(t) = min(1, (t + 1) / warmup)
 * times: 1 (constant); end + (1 - end) (1 + cos(pi t / T)) / 2 (cosine; Loshchilov & Hutter 2017, arXiv
 * 1608.03983); end + (1 - end) (T - t) / T (linear). */
typedef enum ar_schedule { AR_SCHEDULE_COSINE, AR_SCHEDULE_LINEAR, AR_SCHEDULE_CONSTANT } ar_schedule;
typedef struct ar_rate_desc {
    ar_schedule schedule;
    double lr, end; /* end: the share of lr that is left at last */
    int32_t warmup; /* steps; 0 = none */
    double beta1, beta2;
} ar_rate_desc;
void ar_train_rates(float *rates, int32_t T, const ar_rate_desc *desc);

/* ---- images: rows are places, columns channels (B H W, C) ---- */

typedef struct ar_window2d {
    int32_t H, W;      /* of the image */
    int32_t K, stride; /* K x K; stride 0 = 1 */
    int32_t pad;       /* zeros around the image; none in pools */
} ar_window2d;
/* Places along an axis of that many: (size + 2 pad - K) / stride + 1. */
int32_t ar_window2d_out(const ar_window2d *w, int32_t size);
/* The patch of each place, columns (c, kh, kw) as in a PyTorch weight (O, C, K, K), so that ar_op_linear with
 * that as (O, C K K) is the convolution.   x (B H W, C)  y (B OH OW, C K K). Gradient: x. Errors: ARG (the
 * window is larger than the padded image, K, stride or pad out of range). */
ar_status ar_op_im2col(ar_graph *g, ar_tensor **y, ar_tensor *x, const ar_window2d *w);
/* The convolution: y[(b, oh, ow), o] = bias[o] + the sum over (c, kh, kw) of x[b, oh stride + kh - pad, ow
 * stride + kw - pad, c] W[o, c, kh, kw], 0 outside the image. By im2col and a product, or directly where the
 * plan says so (direct_conv), stride is 1, K at most 5 and plan.vw divides O; the forward has the same bits.
 *   x (B H W, C)  W (O, C K K)  bias (O) or NULL  y (B OH OW, O). Gradients: x, W, bias. Errors: as im2col.
 */
ar_status ar_op_conv2d(ar_graph *g, ar_tensor **y, ar_tensor *x, ar_tensor *W, ar_tensor *bias,
                       const ar_window2d *w);
/* The largest, or with mean the mean, of each window.   x (B H W, C)  y (B OH OW, C). Gradient: x (of the
 * largest: the first of equals). Errors: likewise. */
ar_status ar_op_pool(ar_graph *g, ar_tensor **y, ar_tensor *x, const ar_window2d *w, bool mean);
/* The same numbers as (rows, cols). Gradient: x. */
ar_status ar_op_reshape(ar_graph *g, ar_tensor **y, ar_tensor *x, int64_t rows, int64_t cols);
/* A weight of codes that stay, whose scales are tuned (docs/frozen.md). */
typedef struct ar_coded {
    const ar_scheme *scheme;
    const ar_tensor *codes; /* (O, ceil(I / 4)) i32: four to a word, the lowest byte first */
    const ar_tensor *grid;  /* (O, groups, 2) f32: S, M of w = S c - M */
    const ar_tensor *ab;    /* (O, groups or super-blocks, 2) f32: factors of scales and of minima */
    int64_t I;
} ar_coded;
/* Wq (O, I) = a S c - M', M' = a M or, where minima are stored on their own, b M. With has_grad
 * ar_graph_on_grad tells its gradient. Errors: ARG, DTYPE, SHAPE. */
ar_status ar_op_scale_quant(ar_graph *g, ar_tensor **Wq, const ar_coded *w, bool has_grad);
/* dab, as ab, += the gradient of a and b along dWq (O, I). Errors: likewise. */
ar_status ar_op_scale_grad(ar_graph *g, ar_tensor *dab, const ar_coded *w, const ar_tensor *dWq);

#ifdef __cplusplus
}
#endif
#endif
