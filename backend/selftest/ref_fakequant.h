/* The fake quantizer as readable scalar C, from auto-round's description and the SignRound paper: codes and
 * scales in IEEE f32 with the C division, gradients in double. Includes nothing of ours. A weight is (O, I),
 * groups run along I; v (O, I) and mm (O, groups, 2) are whole multiples of 1/v_div and 1/m_div, NULL = not
 * tuned. The symmetric scheme is the full-range one with a signed scale. */
#ifndef REF_FAKEQUANT_H
#define REF_FAKEQUANT_H
#include <stddef.h>
#include <stdint.h>

enum { REF_SYM, REF_INT, REF_F16MIN };
typedef struct ref_fq {
    int bits, zero, zero_min;
    int64_t O, I, G; /* G <= I */
    float v_div, m_div;
    const float *W, *dW; /* dW NULL: no gradients */
    const int32_t *v, *mm;
} ref_fq;

/* What comes out, per weight or per group; the arrays lie in the caller's memory. */
typedef struct ref_out {
    void *memory;
    int64_t groups;                 /* in a row */
    float *Wq, *range, *s, *zp, *b; /* range: pairs (wmin, wmax) */
    uint8_t *codes, *in;            /* in: the clamp did nothing */
    int32_t *live;                  /* the scale is above its floor */
    double *dv, *dmin, *dmax;
    double *dmin_abs, *dmax_abs;     /* sums of |terms|: the scale of tolerances */
    double *dmin_slack, *dmax_slack; /* what cancels inside the terms: f32 keeps 2^-23 of that */
} ref_out;

/* f rounded to fp16, half to even, subnormals kept. |f| < 65520. */
float ref_half_round(float f);
/* The same to bf16. */
float ref_brain_round(float f);
size_t ref_fq_bytes(const ref_fq *f);
/* memory: ref_fq_bytes(f) zeroed bytes, aligned for double; it stays the caller's. */
void ref_fq_run(ref_out *o, const ref_fq *f, void *memory);
/* One SignSGD step of a multiple: clamped before and after, sign(0) = 0. */
int32_t ref_sign_step(int32_t p, double d, int32_t units, int32_t lo, int32_t hi);
/* Adam's step t (from 0) of T with learning rate T - t: m and s are updated, p's new value comes back. */
double ref_adam_step(double p, double d, double *m, double *s, int32_t t, int32_t T);
#endif
