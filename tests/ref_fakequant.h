/* The fake quantizer as readable scalar C, from auto-round's description and the SignRound paper: codes and
 * scales in IEEE f32 with the C division, gradients in double. Includes nothing of ours. A weight is (O, I),
 * groups run along I; v (O, I) and mm (O, groups, 2) are whole multiples of 1/v_div and 1/m_div, NULL = not
 * tuned. */
#ifndef REF_FAKEQUANT_H
#define REF_FAKEQUANT_H
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { REF_SYM, REF_INT, REF_F16MIN };
typedef struct ref_fq {
    int bits, zero, zero_min;
    int64_t O, I, G; /* G <= I */
    float v_div, m_div;
    const float *W, *dW;
    const int32_t *v, *mm;
} ref_fq;

/* What comes out. Arrays are owned; ref_free releases. */
typedef struct ref_out {
    int64_t groups;
    float *Wq, *s, *zp, *b;
    uint8_t *codes, *in;
    int *live;
    double *dv, *dmin, *dmax, *dmin_abs, *dmax_abs;
    double *dmin_slack, *dmax_slack; /* what cancels inside the terms: f32 keeps 2^-23 of that */
    double *tie;                     /* distance of w/s + V from the nearest halfway point */
} ref_out;

/* f rounded to fp16, half to even, subnormals kept. |f| < 65520. */
static inline float ref_half(float f) {
    if (f == 0.0f) return f;
    int e;
    frexp(f, &e);
    double unit = ldexp(1.0, (e < -13 ? -13 : e) - 11);
    return (float)(nearbyint(f / unit) * unit);
}

static inline float ref_clamp(float x, float lo, float hi) { return x < lo ? lo : x > hi ? hi : x; }

static inline void *ref_new(int64_t count, size_t each) { return calloc(count ? (size_t)count : 1, each); }

static inline void ref_free(ref_out *r) {
    void *all[] = {r->Wq,   r->s,    r->zp,       r->b,        r->codes, r->in,         r->live,      r->dv,
                   r->dmin, r->dmax, r->dmin_abs, r->dmax_abs, r->tie,   r->dmin_slack, r->dmax_slack};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    memset(r, 0, sizeof *r);
}

typedef struct ref_range {
    float wmin, wmax, lo, hi, s, zp;
    int live, zero_live;
} ref_range;

static inline float ref_coefficient(const ref_fq *f, int64_t group, int which) {
    if (!f->mm || f->m_div == 0.0f) return 1.0f;
    return ref_clamp((f->m_div + (float)f->mm[2 * group + which]) / f->m_div, 0.0f, 1.0f);
}

static inline ref_range ref_scale(const ref_fq *f, int64_t group, int64_t from, int64_t end) {
    const float floor_s = ref_half(1e-5f), Q = (float)((1 << f->bits) - 1), M = (float)(1 << (f->bits - 1));
    ref_range r = {0};
    for (int64_t i = from; i < end; i++) {
        if (f->W[i] < r.wmin) r.wmin = f->W[i];
        if (f->W[i] > r.wmax) r.wmax = f->W[i];
    }
    r.lo = r.wmin * ref_coefficient(f, group, 0);
    r.hi = r.wmax * ref_coefficient(f, group, 1);
    if (f->zero == REF_SYM) {
        float a = -r.lo, c = r.hi, sign = c < a ? 1.0f : -1.0f;
        r.s = ref_half(sign * (a > c ? a : c) / M);
        r.s = r.s < 0.0f ? (r.s < -floor_s ? r.s : -floor_s) : (r.s > floor_s ? r.s : floor_s);
        r.zp = M;
    } else {
        r.s = ref_half((r.hi - r.lo) / Q);
        if (r.s < floor_s) r.s = floor_s;
        float free_zp = rintf(-r.lo / r.s);
        r.zp = ref_clamp(free_zp, (float)f->zero_min, Q);
        r.zero_live = r.zp == free_zp;
    }
    r.live = fabsf(r.s) > floor_s;
    return r;
}

/* Gradients of one group by the closed forms of the straight-through estimator. */
static inline void ref_group_grad(const ref_fq *f, ref_out *o, const ref_range *r, int64_t group,
                                  int64_t from, int64_t end) {
    double Q = (1 << f->bits) - 1, M = 1 << (f->bits - 1), s = r->s;
    double a = -(double)r->lo, c = r->hi, k = a > c ? 1 : a < c ? 0 : 0.5, sign = c < a ? 1 : -1;
    double z0 = f->zero == REF_SYM || !r->zero_live ? 0.0 : r->lo / s;
    for (int64_t i = from; i < end; i++) {
        double G = f->dW[i], in = o->in[i];
        o->dv[i] = G * s * in;
        double ds = r->live * G * ((o->codes[i] - (double)r->zp) - (in != 0 ? f->W[i] / s : z0)), tmin, tmax;
        if (f->zero == REF_SYM) {
            tmin = k * ds * sign * -(double)r->wmin / M;
            tmax = (1 - k) * ds * sign * r->wmax / M;
        } else {
            tmin = ds * -(double)r->wmin / Q + r->zero_live * G * (1 - in) * r->wmin;
            tmax = ds * r->wmax / Q;
        }
        o->dmin[group] += tmin;
        o->dmax[group] += tmax;
        o->dmin_abs[group] += fabs(tmin);
        o->dmax_abs[group] += fabs(tmax);
        double parts = r->live * fabs(G) * (fabs(o->codes[i] - (double)r->zp) + fabs(f->W[i] / s) + fabs(z0));
        o->dmin_slack[group] += parts * -(double)r->wmin / (f->zero == REF_SYM ? M : Q);
        o->dmax_slack[group] += parts * r->wmax / (f->zero == REF_SYM ? M : Q);
    }
}

static inline void ref_run(ref_out *o, const ref_fq *f) {
    memset(o, 0, sizeof *o);
    int64_t n = f->O * f->I, per = (f->I + f->G - 1) / f->G, groups = f->O * per;
    o->groups = per;
    o->Wq = ref_new(n, sizeof(float)), o->codes = ref_new(n, 1), o->in = ref_new(n, 1);
    o->dv = ref_new(n, sizeof(double)), o->tie = ref_new(n, sizeof(double));
    o->s = ref_new(groups, sizeof(float)), o->zp = ref_new(groups, sizeof(float)),
    o->b = ref_new(groups, sizeof(float));
    o->live = ref_new(groups, sizeof(int));
    o->dmin = ref_new(groups, sizeof(double)), o->dmax = ref_new(groups, sizeof(double));
    o->dmin_abs = ref_new(groups, sizeof(double)), o->dmax_abs = ref_new(groups, sizeof(double));
    o->dmin_slack = ref_new(groups, sizeof(double)), o->dmax_slack = ref_new(groups, sizeof(double));
    float Q = (float)((1 << f->bits) - 1);
    for (int64_t row = 0; row < f->O; row++)
        for (int64_t j = 0; j < per; j++) {
            int64_t group = row * per + j, from = row * f->I + j * f->G, end = from + f->G;
            if (end > (row + 1) * f->I) end = (row + 1) * f->I;
            ref_range r = ref_scale(f, group, from, end);
            o->s[group] = r.s, o->zp[group] = r.zp, o->live[group] = r.live;
            o->b[group] = f->zero == REF_F16MIN ? ref_half(-r.zp * r.s) : -r.zp * r.s;
            for (int64_t i = from; i < end; i++) {
                float V = f->v && f->v_div != 0.0f ? (float)f->v[i] / f->v_div : 0.0f, x = f->W[i] / r.s + V;
                float free_q = rintf(x) + r.zp, q = ref_clamp(free_q, 0.0f, Q);
                o->tie[i] = fabs((double)x - floor(x) - 0.5);
                o->in[i] = q == free_q;
                o->codes[i] = (uint8_t)q;
                o->Wq[i] = f->zero == REF_F16MIN ? r.s * q + o->b[group] : r.s * (q - r.zp);
            }
            if (f->dW) ref_group_grad(f, o, &r, group, from, end);
        }
}

/* One SignSGD step of a multiple. */
static inline int32_t ref_step(int32_t p, double d, int32_t units, int32_t lo, int32_t hi) {
    p = p < lo ? lo : p > hi ? hi : p;
    p -= units * (d > 0 ? 1 : d < 0 ? -1 : 0);
    return p < lo ? lo : p > hi ? hi : p;
}
#endif
