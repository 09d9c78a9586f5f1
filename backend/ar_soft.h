/* Part of ar_backend.h: grids by search, soft codes (docs/methods.md, docs/frozen.md). Shapes and errors as
 * there. */
#ifndef AR_SOFT_H
#define AR_SOFT_H
#include "ar_status.h"
#include <stdbool.h>
#ifdef __cplusplus
extern "C" {
#endif

/* grid (O, groups, 2) f32 = S, M of w = S c - M, codes c in 0 .. 2^bits - 1: of the candidates that the head
 * comment of shaders/group_search.comp lists the one with the smallest sum of importance (S c - M - w)^2, c
 * by rounding to nearest. W (O, I) f32, importance (I) f32 or NULL (1). Errors: ARG (double-quantized),
 * DTYPE, SHAPE. */
ar_status ar_op_group_search(ar_graph *g, ar_tensor *grid, const ar_tensor *W, const ar_tensor *importance,
                             const ar_scheme *scheme);
/* The same of a double-quantized structure's start (O, groups, 4) f32 (ar_op_super_start). */
ar_status ar_op_super_grid(ar_graph *g, ar_tensor *grid, const ar_tensor *start, const ar_scheme *scheme);
/* How codes are soft: AR_SOFT_NEAR draws them from the nearest code and its neighbours (docs/methods.md,
 * equation 16); AR_SOFT_TWO lets them lie between the two around the weight (docs/frozen.md). */
typedef enum ar_soft_form { AR_SOFT_NEAR, AR_SOFT_TWO } ar_soft_form;
/* u (O, I) f32: where the weights lie among the codes, (W + M) / S, between -1 and 2^bits; of AR_SOFT_TWO
 * f + t, f the code below (-1 .. 2^bits - 1) and t = (part + .1) / 1.2 for the part of a code above it. */
ar_status ar_op_soft_start(ar_graph *g, ar_tensor *u, const ar_tensor *W, const ar_tensor *grid,
                           const ar_scheme *scheme, ar_soft_form form);

/* Soft codes of one weight. From 512 on a place is a code that is decided, 512 + c. */
typedef struct ar_soft {
    ar_scheme scheme;
    ar_tensor *u;          /* (O, I) f32: places */
    const ar_tensor *grid; /* (O, groups, 2) f32 */
    ar_tensor *ab; /* (O, groups or super-blocks, 4) f32: factors a of scales and b of minima, momenta */
    const ar_tensor *rates; /* (T + 1, 4) f32: ar_soft_rates, ar_frozen_rates */
    const ar_tensor *step;  /* (1) i32, 0..T */
    ar_soft_form form;
    ar_tensor *square; /* AR_SOFT_TWO: second moments (O, I) f32; ab is then (O, groups or so, 8) f32 */
} ar_soft;
/* Wq (O, I) = a S c(u) - M', M' = a M or, where minima are stored on their own, b M; c the softmax mean of
 * the codes around u, sharper from step to step, or with `hard` the nearest code (then without a gradient).
 * Errors: ARG, DTYPE, SHAPE. */
ar_status ar_op_soft_quant(ar_graph *g, ar_tensor **Wq, const ar_soft *soft, bool hard);
/* One step of Lion (arXiv 2302.06675; 0.9, 0.95, no decay) on u, a and b along the true gradient of
 * ar_op_soft_quant; then the places nearer to a code than the step's share of soft ones allows are decided.
 * momentum, dWq (O, I) f32; a positive factor of dWq is lost. */
ar_status ar_op_soft_step(ar_graph *g, const ar_soft *soft, ar_tensor *momentum, const ar_tensor *dWq);
/* The same of AR_SOFT_TWO: one step of Adam (arXiv 1412.6980; .9, .999) on r = ln t / (1 - t) and on v of
 * a = 2 / (1 + exp(-v)), of b alike. Nothing is decided. */
ar_status ar_op_frozen_step(ar_graph *g, const ar_soft *soft, ar_tensor *momentum, const ar_tensor *dWq);
/* Places of AR_SOFT_TWO with |t - .5| of at least room (1) f32 become their nearest code for good. */
ar_status ar_op_frozen_decide(ar_graph *g, ar_tensor *u, const ar_tensor *room, const ar_scheme *scheme);
/* rates (T + 1, 4): sharpness beta = .03 kappa / tau, kappa 100 .. 500 and tau 2 .. .05 over the steps; the
 * steps of u and of a, b: rate / T and scale_rate / T, falling by a cosine to a tenth; the share of codes
 * that stays soft: 1 in the first half, then .5 .35 .25 .18 .12 .08 .05 .03 .015 .005. */
void ar_soft_rates(float *rates, int32_t T, float rate, float scale_rate);
/* rates (T + 1, 4): rate / T and scale_rate / T, over the first moment's bias, 1 over the second's, 0. */
void ar_frozen_rates(float *rates, int32_t T, float rate, float scale_rate);

#ifdef __cplusplus
}
#endif
#endif
