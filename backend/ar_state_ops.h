/* Ops of nets whose weights and activations have few states, M of them (docs/maqd.md; Sawada 2024, arXiv
 * 2403.14999, as far as it is known). Codes are whole numbers in f32: a sum of their products is exact, in
 * any order, below 2^24. ar_backend.h includes this; the same rules hold. */
#ifndef AR_STATE_OPS_H
#define AR_STATE_OPS_H
#include "ar_status.h"
#include <stdbool.h>
#ifdef __cplusplus
extern "C" {
#endif

typedef struct ar_graph ar_graph;
typedef struct ar_tensor ar_tensor;

/* Over what a norm takes mean and variance. */
typedef enum ar_stats {
    AR_STATS_LAYER_BATCH, /* all elements: images, places and channels */
    AR_STATS_SAMPLE,      /* that mean; of each image its own variance, and their mean */
    AR_STATS_BATCH,       /* each channel by itself (Ioffe & Szegedy 2015, arXiv 1502.03167) */
    AR_STATS_LAYER,       /* each image by itself (Ba 2016, arXiv 1607.06450) */
    AR_STATS_FIXED        /* none: those in `running`, which nothing changes */
} ar_stats;
typedef struct ar_spread_norm {
    ar_stats stats;
    int64_t places;     /* rows of an image */
    float eps;          /* >= 0 */
    float momentum;     /* of what running learns from a batch, in [0, 1] */
    ar_tensor *running; /* mean, variance: (1, 2), with BATCH (C, 2), with LAYER NULL */
    bool is_training;   /* statistics of the batch, which running learns from; else running's */
} ar_spread_norm;
/* y = gamma_c (x - mean) / sqrt(variance + eps) + beta_c. Variances are those of the elements (over N).
 * Without statistics of the batch it is ar_op_fold's y = a_c x + b_c, with the bits that a host gives it.
 *   x, y (images places, C)   gamma, beta (C)   f32
 * Gradients: x, gamma, beta. Errors: ARG, DTYPE, SHAPE. */
ar_status ar_op_spread_norm(ar_graph *g, ar_tensor **y, ar_tensor *x, ar_tensor *gamma, ar_tensor *beta,
                            const ar_spread_norm *n);
/* *fold (C, 2) = a, b of the norm outside training: a = gamma / sqrt(variance + eps), b = beta - a mean.
 * Errors: likewise; ARG for LAYER, which has no constants. */
ar_status ar_op_fold(ar_graph *g, ar_tensor **fold, const ar_tensor *gamma, const ar_tensor *beta,
                     const ar_spread_norm *n);

typedef struct ar_state_weight {
    int32_t M;  /* states: 2 = -1 and 1; odd: -(M-1)/2 to (M-1)/2; even: -M/2 to M/2 - 1; 0 = not rounded */
    float gain; /* the code is round(gain u) */
    bool standardize; /* u = (w - mean) / (deviation + 1e-5) of each row (Qiao 2019, arXiv 1903.10520) */
    float plain;      /* else u = plain w */
    bool inside;      /* only what is inside the clip has a gradient; else everything (surrogate) */
} ar_state_weight;
/* The lowest and highest code of M states of weights. Errors: ARG (M < 2). */
ar_status ar_state_range(int32_t *low, int32_t *high, int32_t M);
/* *y = codes of the rows of W.   W, y (O, I) f32. Gradient: W. Errors: ARG (M = 1 or negative, gain <= 0). */
ar_status ar_op_state_weight(ar_graph *g, ar_tensor **y, ar_tensor *W, const ar_state_weight *s);

typedef struct ar_state_round {
    int32_t M;    /* codes 0 to M - 1; 0 = max(0, gain x), not rounded */
    float gain;   /* the code is round(gain x) */
    float margin; /* how far outside the clip, in codes, there still is a gradient (surrogate) */
} ar_state_round;
/* *y = the code of each x.   x, y (N, C) f32. Gradient: x. Errors: ARG (M = 1 or negative, gain <= 0). */
ar_status ar_op_state_round(ar_graph *g, ar_tensor **y, ar_tensor *x, const ar_state_round *s);

/* ---- whole numbers: no gradients; words (I32) of four codes each, the first in the lowest byte ---- */

typedef struct ar_states_shape {
    int64_t images;
    int32_t H, W, C; /* of what is read */
    int32_t K;       /* 3: zeros around the image; 1: a product (H = W = 1: of the whole image) */
    int32_t O, M;
} ar_states_shape;
/* Codes of a layer: z = sum of products in int32; how many thresholds z reaches, or where turned[o] is not 0
 * how many it does not pass.
 *   x (images H W, C/4 up), in any rows: unsigned codes, zeros behind the last
 *   W (O, K K C/4 up) signed, by (kh, kw, c)   thresholds (O, M - 1) ascending   turned (O) I32
 *   y (images H W, O/4 up)
 * Errors: ARG, DTYPE, SHAPE. */
ar_status ar_op_states_codes(ar_graph *g, ar_tensor **y, const ar_tensor *x, const ar_tensor *W,
                             const ar_tensor *thresholds, const ar_tensor *turned, const ar_states_shape *s);
/* a_o z + b_o of the last layer: fold (O, 2) f32, y (images H W, O) f32. Errors: likewise. */
ar_status ar_op_states_scores(ar_graph *g, ar_tensor **y, const ar_tensor *x, const ar_tensor *W,
                              const ar_tensor *fold, const ar_states_shape *s);
/* The largest code of each 2 x 2 places. y (images H/2 W/2, C/4 up). Errors: likewise. */
ar_status ar_op_states_pool(ar_graph *g, ar_tensor **y, const ar_tensor *x, const ar_states_shape *s);

#ifdef __cplusplus
}
#endif
#endif
