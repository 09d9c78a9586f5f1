/* Scalar references in double: the readable truth. They include nothing of ours, so that they cannot share
 * its mistakes. Shapes as in ar_backend.h. */
#ifndef AR_REF_H
#define AR_REF_H
#include <stdint.h>

/* ---- ref_model.c ---- */

void ref_rms_norm(double *y, const double *x, const double *w, int N, int I, double eps);
void ref_rms_norm_grad(double *dx, double *dw, const double *dy, const double *x, const double *w, int N,
                       int I, double eps);
/* b may be NULL. */
void ref_layer_norm(double *y, const double *x, const double *w, const double *b, int N, int I, double eps);
void ref_layer_norm_grad(double *dx, double *dw, double *db, const double *dy, const double *x,
                         const double *w, int N, int I, double eps);
/* kind 0 relu, 1 gelu, 2 gelu by tanh, 3 silu. */
void ref_act(double *y, const double *x, int kind, int n);
void ref_act_grad(double *dx, const double *dy, const double *x, int kind, int n);
/* The first 2 pairs dims of a head turn. sign -1 turns back. The angle pos * freq is rounded to float, as the
 * op defines it. */
void ref_rope(double *y, const double *x, const float *freq, int N, int heads, int T, int D, int pairs,
              int pos0, int sign);
/* window > 0: a token sees the last `window` tokens only, itself included. cap > 0: scores become
 * cap tanh(score / cap). */
void ref_attention(double *y, const double *q, const double *k, const double *v, int B, int T, int H, int K,
                   int D, int window, double cap);
void ref_attention_grad(double *dq, double *dk, double *dv, const double *dy, const double *q,
                        const double *k, const double *v, int B, int T, int H, int K, int D, int window,
                        double cap);
/* f(gate) up; the kinds of ref_act. */
void ref_gated(double *y, const double *gate, const double *up, int kind, int n);
void ref_gated_grad(double *dgate, double *dup, const double *dy, const double *gate, const double *up,
                    int kind, int n);
void ref_nll(double *nll, int32_t *top1, const double *logits, const int32_t *labels, int N, int V);
void ref_nll_grad(double *dlogits, const double *dnll, const double *logits, const int32_t *labels, int N,
                  int V);
void ref_kl(double *kl, const double *ref, const double *logits, int N, int V);
void ref_kl_grad(double *dlogits, const double *ref, const double *logits, int N, int V);

/* ---- ref_basic.c ---- */

void ref_linear(double *y, const double *x, const double *W, const double *bias, int N, int O, int I);
void ref_linear_grad(double *dx, double *dW, double *dbias, const double *dy, const double *x,
                     const double *W, int N, int O, int I);
/* mask NULL = all ones. */
double ref_mse(const double *y, const double *target, const double *mask, int N, int I);
void ref_mse_grad(double *dy, const double *y, const double *target, const double *mask, int N, int I);
/* x (64 blocks) rounded to fp16 under a power of two for each block, which is every 32nd vector of vw numbers
 * of 2048; of those left, in as many blocks as there are. */
void ref_saved(double *y, const double *x, int blocks, int vw);

/* ---- ref_num.c ---- */

/* Correctly rounded to fp16, half to even, by exact arithmetic in double; f is not NaN. */
uint16_t ref_half_bits(float f);
double ref_half_value(uint16_t h);
#endif
