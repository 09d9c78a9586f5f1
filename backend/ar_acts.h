/* Part of ar_backend.h: quantized activations (docs/activations.md). Shapes and errors as there. */
#ifndef AR_ACTS_H
#define AR_ACTS_H
#include "ar_status.h"
#include <stdbool.h>
#ifdef __cplusplus
extern "C" {
#endif

/* Of ar_backend.h. */
typedef struct ar_device ar_device;
typedef struct ar_graph ar_graph;
typedef struct ar_tensor ar_tensor;
typedef struct ar_resident_weight_desc ar_resident_weight_desc;

/* What one grid of a linear's inputs x (N, I) is for. */
typedef enum ar_acts_range {
    AR_ACTS_TOKEN,  /* every row by itself */
    AR_ACTS_TENSOR, /* all that is there */
    AR_ACTS_STATIC  /* all that will ever be there, known beforehand */
} ar_acts_range;
/* x' = s (q - z), q = clamp(rint(x / s + z), -h, h - 1), h = 2^(bits - 1), of a range [lo, hi] with zero in
 * it: symmetric s = max(-lo, hi) / (h - 1/2), z = 0; else s = (hi - lo) / (2 h - 1), z = clamp(rint(-h - lo /
 * s)). (as compressed-tensors has it; asymmetric as arXiv 2211.16912) */
typedef struct ar_acts_scheme {
    int32_t bits; /* 2..8; 0 = activations stay floats, and the rest means nothing */
    ar_acts_range range;
    bool asym;
} ar_acts_scheme;
/* Errors: ARG for bits or a range that there are not. */
ar_status ar_acts_scheme_check(const ar_acts_scheme *scheme);
/* grid (2) = s, z of a range (2) = lo, hi, in the same bits as devices make it. Host memory. */
void ar_acts_grid(float *grid, const float *range, const ar_acts_scheme *scheme);
/* range (1, 2) grows to what x (N, I) holds. It starts as zeros. No gradient. */
ar_status ar_op_acts_range(ar_graph *g, ar_tensor *range, const ar_tensor *x);
/* counts (2, AR_ACTS_BINS) f32 grow by the rows of x: -min and max, by exponent and three bits of fraction.
 * They start as zeros. No gradient. */
#define AR_ACTS_BINS 2048
ar_status ar_op_acts_count(ar_graph *g, ar_tensor *counts, const ar_tensor *x);
/* range (2) becomes what this share of the rows counted keeps to, on either side; never wider. Host memory.
 */
void ar_acts_cut(float *range, const float *counts, double share);
/* grid (N, 2), or (1, 2) for TENSOR: s, z of x (N, I)'s own ranges. No gradient. Errors: ARG for STATIC. */
ar_status ar_op_acts_grid(ar_graph *g, ar_tensor **grid, const ar_tensor *x, const ar_acts_scheme *scheme);
/* y = x' on grid, (1, 2) or (N, 2). Gradient: x, straight through the rounding; under STATIC none where x was
 * clamped. */
ar_status ar_op_acts_quant(ar_graph *g, ar_tensor **y, ar_tensor *x, ar_tensor *grid,
                           const ar_acts_scheme *scheme);
/* codes (N, ceil(I / 4)) u32: the q of x as signed bytes, four to a word; behind a row's last one z. No
 * gradient. */
ar_status ar_op_acts_codes(ar_graph *g, ar_tensor **codes, const ar_tensor *x, const ar_tensor *grid,
                           const ar_acts_scheme *scheme);

/* y = x' on x's own ranges, TOKEN or TENSOR. Gradient: x, straight through the rounding, and that of the
 * scale, sum dy (x' - x) / s, through the values that are the ends of its range. Errors: ARG for STATIC. */
ar_status ar_op_acts_ranged(ar_graph *g, ar_tensor **y, ar_tensor *x, const ar_acts_scheme *scheme);
/* y = x e^theta, or x e^-theta: x (O, I) or (I) f32, column by column with theta (I) f32. Gradient: theta. */
ar_status ar_op_channel_scale(ar_graph *g, ar_tensor **y, const ar_tensor *x, ar_tensor *theta, bool inverse);
/* From here on y stands for x, of one shape, which is given its gradient (straight through what made y of x).
 */
ar_status ar_op_straight(ar_graph *g, ar_tensor *y, ar_tensor *x);

/* A weight whose codes are multiplied as integers. */
typedef struct ar_int_weight ar_int_weight;
/* Uploads one weight (desc: GROUP, symmetric or with integer zero points). Nothing of desc is kept. Errors:
 * UNSUPPORTED for other weights and for groups that 4 does not divide; ARG, SHAPE, MEMORY, DEVICE_MEMORY. */
ar_status ar_int_weight_create(ar_int_weight **w, ar_device *device, const ar_resident_weight_desc *desc);
void ar_int_weight_destroy(ar_int_weight *w);
/* y (N, O) = x' W'^T + bias (O, or NULL) by codes (N, ceil(I / 4)) and grid of ar_op_acts_codes:
 * s_n sum_g S_g sum_i (q - z)(w - Z), the inner sum in 32-bit integers, exact; what ar_op_linear gives of
 * ar_op_acts_quant but for the rounding of its sums. No gradients. w must outlive the graph. */
ar_status ar_op_linear_int(ar_graph *g, ar_tensor **y, const ar_tensor *codes, const ar_tensor *grid,
                           const ar_int_weight *w, ar_tensor *bias);

#ifdef __cplusplus
}
#endif
#endif
