/* References of the linear layer and the losses. */
#include "ref.h"
#include <math.h>
#include <stddef.h>

void ref_linear(double *y, const double *x, const double *W, const double *bias, int N, int O, int I) {
    for (int n = 0; n < N; n++)
        for (int o = 0; o < O; o++) {
            double sum = bias ? bias[o] : 0;
            for (int i = 0; i < I; i++) sum += x[(ptrdiff_t)n * I + i] * W[(ptrdiff_t)o * I + i];
            y[(ptrdiff_t)n * O + o] = sum;
        }
}

void ref_linear_grad(double *dx, double *dW, double *dbias, const double *dy, const double *x,
                     const double *W, int N, int O, int I) {
    for (ptrdiff_t i = 0; i < (ptrdiff_t)N * I; i++) dx[i] = 0;
    for (ptrdiff_t i = 0; i < (ptrdiff_t)O * I; i++) dW[i] = 0;
    for (int o = 0; dbias && o < O; o++) dbias[o] = 0;
    for (int n = 0; n < N; n++)
        for (int o = 0; o < O; o++) {
            double d = dy[(ptrdiff_t)n * O + o];
            if (dbias) dbias[o] += d;
            for (int i = 0; i < I; i++) {
                dx[(ptrdiff_t)n * I + i] += d * W[(ptrdiff_t)o * I + i];
                dW[(ptrdiff_t)o * I + i] += d * x[(ptrdiff_t)n * I + i];
            }
        }
}

double ref_mse(const double *y, const double *target, const double *weight, int N, int I) {
    double sum = 0;
    for (int n = 0; n < N; n++)
        for (int i = 0; i < I; i++) {
            double d = y[(ptrdiff_t)n * I + i] - target[(ptrdiff_t)n * I + i];
            sum += (weight ? weight[n] : 1) * d * d;
        }
    return sum / ((double)N * I);
}

void ref_mse_grad(double *dy, const double *y, const double *target, const double *weight, int N, int I) {
    for (int n = 0; n < N; n++)
        for (int i = 0; i < I; i++) {
            ptrdiff_t at = (ptrdiff_t)n * I + i;
            dy[at] = (weight ? weight[n] : 1) * 2 * (y[at] - target[at]) / ((double)N * I);
        }
}

/* The power of two that brings a block's largest number into [2^14, 2^15). */
static double saved_scale(double top) {
    if (top == 0 || isinf(top)) return 1;
    return ldexp(1, 14 - ilogb(top));
}

void ref_saved(double *y, const double *x, int blocks, int vw) {
    for (int b = 0; b < blocks; b++) {
        int first = b / 32 * 32, of = blocks - first < 32 ? blocks - first : 32;
        double top = 0;
        for (int pass = 0; pass < 2; pass++)
            for (int i = 0; i < 64; i++) {
                int at = first * 64 + (i / vw * of + b - first) * vw + i % vw;
                double scale = saved_scale(top);
                if (pass == 0)
                    top = fmax(top, fabs(x[at]));
                else
                    y[at] = ref_half_value(ref_half_bits((float)(x[at] * scale))) / scale;
            }
    }
}
