/* Scalar references for nets of few states, in double. */
#ifndef AR_REF_STATES_H
#define AR_REF_STATES_H
#include "ar_backend.h"

/* A norm over B images of P places and C channels; statistics as ar_stats has them. fixed (C or 1, 2): mean
 * and variance that are given, NULL = those of x. */
typedef struct ref_norm {
    int B, P, C;
    ar_stats stats;
    double eps;
    const double *fixed;
} ref_norm;
void ref_spread_norm(double *y, const double *x, const double *gamma, const double *beta, const ref_norm *n);
void ref_spread_norm_grad(double *dx, double *dgamma, double *dbeta, const double *dy, const double *x,
                          const double *gamma, const ref_norm *n);
/* Mean and variance of x that element (b, c) is normed by. */
void ref_spread_stats(double *mean, double *variance, const double *x, int b, int c, const ref_norm *n);

/* u (O, I) of the rows of W, and what the codes of them are. */
void ref_state_weight(double *y, double *u, const double *W, int O, int I, const ar_state_weight *s);
void ref_state_weight_grad(double *dW, const double *dy, const double *W, int O, int I,
                           const ar_state_weight *s);
#endif
