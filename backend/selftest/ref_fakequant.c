/* The scalar truth of the fake quantizer; see ref_fakequant.h. */
#include "ref_fakequant.h"
#include <math.h>

float ref_brain_round(float f) {
    int e = 0;
    if (f == 0 || !isfinite(f)) return f;
    (void)frexp((double)f, &e);
    if (e < -125) e = -125; /* subnormals have the last place of the least normal number */
    double place = ldexp(1, e - 8);
    return (float)(rint((double)f / place) * place);
}

float ref_half_round(float f) {
    if (f == 0.0f) return f;
    int e;
    (void)frexp((double)f, &e);
    double unit = ldexp(1.0, (e < -13 ? -13 : e) - 11);
    return (float)(nearbyint((double)f / unit) * unit);
}

static float clamp(float x, float lo, float hi) { return x < lo ? lo : x > hi ? hi : x; }

/* ---- memory ---- */

static int64_t groups_of(const ref_fq *f) { return (f->I + f->G - 1) / f->G; }

/* 8 bytes for every element of every array: simple, and large enough. */
size_t ref_fq_bytes(const ref_fq *f) {
    return 8 * ((size_t)(f->O * f->I) * 4 + (size_t)(f->O * groups_of(f)) * 12 + 1);
}

static void *take(void **memory, int64_t count) {
    double *at = *memory;
    *memory = at + count;
    return at;
}

static void carve(ref_out *o, const ref_fq *f, void *memory) {
    int64_t n = f->O * f->I, groups = f->O * groups_of(f);
    *o = (ref_out){.memory = memory, .groups = groups_of(f)};
    o->dv = take(&memory, n);
    o->Wq = take(&memory, n);
    o->codes = take(&memory, n);
    o->in = take(&memory, n);
    double **sums[] = {&o->dmin, &o->dmax, &o->dmin_abs, &o->dmax_abs, &o->dmin_slack, &o->dmax_slack};
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) *sums[i] = take(&memory, groups);
    o->range = take(&memory, 2 * groups);
    o->s = take(&memory, groups);
    o->zp = take(&memory, groups);
    o->b = take(&memory, groups);
    o->live = take(&memory, groups);
}

/* ---- one group: weights [from, end) ---- */

typedef struct ref_group {
    int64_t group, from, end;
    float wmin, wmax, lo, hi, s, zp;
    int live, zero_live;
} ref_group;

static float coefficient(const ref_fq *f, int64_t group, int which) {
    if (!f->mm || f->m_div == 0.0f) return 1.0f;
    return clamp((f->m_div + (float)f->mm[2 * group + which]) / f->m_div, 0.0f, 1.0f);
}

static void find_scale(const ref_fq *f, ref_group *r) {
    float least = ref_half_round(1e-5f), Q = (float)((1 << f->bits) - 1), M = (float)(1 << (f->bits - 1));
    for (int64_t i = r->from; i < r->end; i++) {
        if (f->W[i] < r->wmin) r->wmin = f->W[i];
        if (f->W[i] > r->wmax) r->wmax = f->W[i];
    }
    r->lo = r->wmin * coefficient(f, r->group, 0);
    r->hi = r->wmax * coefficient(f, r->group, 1);
    if (f->zero == REF_SYM) {
        float a = -r->lo, c = r->hi, sign = c < a ? 1.0f : -1.0f;
        r->s = ref_half_round(sign * (a > c ? a : c) / M);
        r->s = r->s < 0.0f ? (r->s < -least ? r->s : -least) : (r->s > least ? r->s : least);
        r->zp = M;
    } else {
        r->s = ref_half_round((r->hi - r->lo) / Q);
        if (r->s < least) r->s = least;
        float free_zp = rintf(-r->lo / r->s);
        r->zp = clamp(free_zp, (float)f->zero_min, Q);
        r->zero_live = r->zp == free_zp;
    }
    r->live = fabsf(r->s) > least;
}

static void quantize(const ref_fq *f, ref_out *o, const ref_group *r) {
    float Q = (float)((1 << f->bits) - 1), b = -r->zp * r->s;
    if (f->zero == REF_F16MIN) b = ref_half_round(b);
    for (int64_t i = r->from; i < r->end; i++) {
        float V = f->v && f->v_div != 0.0f ? (float)f->v[i] / f->v_div : 0.0f;
        float free_q = rintf(f->W[i] / r->s + V) + r->zp, q = clamp(free_q, 0.0f, Q);
        o->in[i] = q == free_q;
        o->codes[i] = (uint8_t)q;
        o->Wq[i] = f->zero == REF_F16MIN ? r->s * q + b : r->s * (q - r->zp);
    }
    o->range[2 * r->group] = r->wmin;
    o->range[2 * r->group + 1] = r->wmax;
    o->s[r->group] = r->s;
    o->zp[r->group] = r->zp;
    o->b[r->group] = b;
    o->live[r->group] = r->live;
}

/* The closed forms of the straight-through estimator: rounding has derivative 1, a clamp 1 inside, 0 outside.
 */
static void differentiate(const ref_fq *f, ref_out *o, const ref_group *r) {
    double Q = (1 << f->bits) - 1, M = 1 << (f->bits - 1), s = (double)r->s, zp = (double)r->zp;
    double a = -(double)r->lo, c = (double)r->hi, wmin = (double)r->wmin, wmax = (double)r->wmax;
    double k = a > c ? 1 : a < c ? 0 : 0.5, sign = c < a ? 1 : -1, steps = f->zero == REF_SYM ? M : Q;
    double z0 = f->zero == REF_SYM || !r->zero_live ? 0.0 : -a / s;
    int64_t at = r->group;
    for (int64_t i = r->from; i < r->end; i++) {
        double G = (double)f->dW[i], in = o->in[i], w = (double)f->W[i] / s, q = o->codes[i], tmin, tmax;
        double ds = r->live * G * ((q - zp) - (in != 0 ? w : z0));
        if (f->zero == REF_SYM) {
            tmin = k * ds * sign * -wmin / M;
            tmax = (1 - k) * ds * sign * wmax / M;
        } else {
            tmin = ds * -wmin / Q + r->zero_live * G * (1 - in) * wmin;
            tmax = ds * wmax / Q;
        }
        double parts = r->live * fabs(G) * (fabs(q - zp) + fabs(w) + fabs(z0)) / steps;
        o->dv[i] = G * s * in;
        o->dmin[at] += tmin;
        o->dmax[at] += tmax;
        o->dmin_abs[at] += fabs(tmin);
        o->dmax_abs[at] += fabs(tmax);
        o->dmin_slack[at] += parts * -wmin;
        o->dmax_slack[at] += parts * wmax;
    }
}

void ref_fq_run(ref_out *o, const ref_fq *f, void *memory) {
    carve(o, f, memory);
    for (int64_t row = 0; row < f->O; row++)
        for (int64_t j = 0; j < o->groups; j++) {
            int64_t from = row * f->I + j * f->G, row_end = (row + 1) * f->I;
            ref_group r = {.group = row * o->groups + j, .from = from, .end = from + f->G};
            if (r.end > row_end) r.end = row_end;
            find_scale(f, &r);
            quantize(f, o, &r);
            if (f->dW) differentiate(f, o, &r);
        }
}

int32_t ref_sign_step(int32_t p, double d, int32_t units, int32_t lo, int32_t hi) {
    p = p < lo ? lo : p > hi ? hi : p;
    p -= units * (d > 0 ? 1 : d < 0 ? -1 : 0);
    return p < lo ? lo : p > hi ? hi : p;
}

double ref_adam_step(double p, double d, double *m, double *s, int32_t t, int32_t T) {
    const double b1 = (double)0.9f, b2 = (double)0.999f;
    *m = b1 * *m + (1 - b1) * d;
    *s = b2 * *s + (1 - b2) * d * d;
    double mean = *m / (1 - pow(b1, t + 1)), square = *s / (1 - pow(b2, t + 1));
    return p - (T - t) * mean / (sqrt(square) + 1e-12);
}
