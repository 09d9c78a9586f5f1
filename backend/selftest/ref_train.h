/* Scalar references of the ops that training whole models needs; see ref.h. */
#ifndef AR_REF_TRAIN_H
#define AR_REF_TRAIN_H
#include <stdint.h>

/* dE[v] = sum of dy[n] with ids[n] = v. */
void ref_embed_grad(double *dE, const double *dy, const int32_t *ids, int N, int V, int I);
void ref_dropout(double *y, const double *x, double share, uint32_t seed, uint32_t count, int n);
double ref_norm(const double *d, int n);
/* The new value of one number; mean and square are those of the gradient. t counts from 0. */
double ref_adamw_step(double p, double d, double *mean, double *square, double lr, int t, double b1,
                      double b2, double eps, double decay);
double ref_sgd_step(double p, double d, double *mean, double lr, double momentum, double decay);
/* Images (B H W, C), patches (B OH OW, C K K), columns (c, kh, kw). */
void ref_im2col(double *y, const double *x, int B, int H, int W, int C, int K, int stride, int pad);
void ref_im2col_grad(double *dx, const double *dy, int B, int H, int W, int C, int K, int stride, int pad);
/* The largest or the mean of windows, and the gradient; y or dx may be NULL. */
void ref_pool(double *y, double *dx, const double *dy, const double *x, int B, int H, int W, int C, int K,
              int stride, int mean);
#endif
