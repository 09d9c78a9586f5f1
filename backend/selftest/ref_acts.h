/* Quantized activations as readable scalar C (docs/activations.md): grids, values and codes in IEEE f32 with
 * the C division, products in integers. Includes nothing of ours. */
#ifndef REF_ACTS_H
#define REF_ACTS_H
#include <stdint.h>

/* grid: scale and zero point of the range of n values and zero; asym 0 = symmetric. */
void ref_acts_grid(float grid[2], const float *x, int64_t n, int bits, int asym);
/* The code of one value: -2^(bits-1) .. 2^(bits-1) - 1. */
int32_t ref_acts_code(float x, const float grid[2], int bits);
/* Whether x lies where the codes are, half a step beyond the outer ones included. */
int ref_acts_inside(float x, const float grid[2], int bits);
/* Eight bins to a power of two, the one of 1 to 9/8 being 1016: where the largest of sign x (n) and 0 is. */
int ref_acts_bin(const float *x, int64_t n, int sign);
/* sum_g S[g] sum_{i in g} (a[i] - za) (w[i] - zw[g]), groups of G, times sa. */
double ref_int_dot(const int32_t *a, double sa, int32_t za, const uint8_t *w, const double *S,
                   const int32_t *zw, int64_t I, int64_t G);
#endif
