/* The start of a double-quantized super-block as plain f32 C: the scalar truth of the super_* kernels, from
 * which they may not differ by a bit. Equations 7 to 9 of docs/methods.md. */
#include "super_start.h"
#include <float.h>
#include <math.h>
#include <string.h>

void ar_super_limits(int32_t *least, int32_t *most, ar_super super) {
    static const int32_t limits[AR_SUPER_COUNT][2] = {[AR_SUPER_Q2_K] = {0, 15},
                                                      [AR_SUPER_Q3_K] = {-32, 31},
                                                      [AR_SUPER_Q4_K] = {0, 63},
                                                      [AR_SUPER_Q5_K] = {0, 63},
                                                      [AR_SUPER_Q6_K] = {-128, 127}};
    *least = limits[super][0];
    *most = limits[super][1];
}

enum { CANDIDATES = 37, SYM_REACH = 9, SCALE_REACH = 9, REFINE_ROUNDS = 2, MAX_GROUPS = AR__SUPER_GROUPS };
static const float tiny = 0x1p-24f;

/* One super-block. w and importance (NULL = 1) are its 256 inputs. */
typedef struct super_block {
    const float *w, *importance;
    int32_t G, per; /* weights to a group, groups */
    bool pairs;
    float Q, zp, least, most;
    float twice[MAX_GROUPS]; /* twice the mean |w| */
    float s[MAX_GROUPS], m[MAX_GROUPS], h_s[MAX_GROUPS], h_m[MAX_GROUPS];
    float d, dmin, i[MAX_GROUPS], j[MAX_GROUPS];
} super_block;

static float clamp(float x, float lo, float hi) { return x < lo ? lo : x > hi ? hi : x; }

/* As ar_div in shaders/num.h: what is below the normal numbers is 0. */
static float quotient(float a, float b) {
    float q = a / b;
    return fabsf(a) < FLT_MIN || fabsf(q) < FLT_MIN ? 0.0f : q;
}

static float half(float f) { return ar_f16_to_f32(ar_f32_to_f16(f)); }

static float weight_of(const super_block *b, int32_t group, int32_t k) {
    float importance = b->importance ? b->importance[group * b->G + k] : 1.0f;
    return importance * (b->twice[group] + fabsf(b->w[group * b->G + k]));
}

/* ---- equation 7: scale and minimum of one group ---- */

typedef struct group_fit {
    float s, m, h, error;
    bool valid;
} group_fit;

static group_fit fit_pair(const super_block *b, int32_t group, float lo, float inv, float sa, float sx) {
    const float *w = b->w + group * b->G;
    float sl = 0.0f, sll = 0.0f, slx = 0.0f;
    for (int32_t k = 0; k < b->G; k++) {
        float l = clamp(rintf(inv * (w[k] - lo)), 0.0f, b->Q), al = weight_of(b, group, k) * l;
        sl += al;
        sll += al * l;
        slx += al * w[k];
    }
    float det = sa * sll - sl * sl, up_s = sa * slx - sx * sl, up_m = sl * slx - sll * sx;
    if (!(det > 0.0f)) return (group_fit){0};
    group_fit f = {quotient(up_s, det), quotient(up_m, det), sll, 0.0f, true};
    if (f.m < 0.0f) {
        f.m = 0.0f;
        f.s = quotient(slx, sll);
    }
    for (int32_t k = 0; k < b->G; k++) {
        float l = clamp(rintf(inv * (w[k] - lo)), 0.0f, b->Q), diff = (f.s * l - f.m) - w[k];
        f.error += weight_of(b, group, k) * (diff * diff);
    }
    return f;
}

static void scan(super_block *b, int32_t group) {
    const float *w = b->w + group * b->G;
    float lo = 0.0f, hi = w[0], sum = 0.0f, top = 0.0f, sa = 0.0f, sx = 0.0f, best = 3.0e38f;
    for (int32_t k = 0; k < b->G; k++) {
        lo = fminf(lo, w[k]);
        hi = fmaxf(hi, w[k]);
        top = fmaxf(top, fabsf(w[k]));
        sum += fabsf(w[k]);
    }
    b->twice[group] = sum * (2.0f / (float)b->G);
    for (int32_t k = 0; k < b->G; k++) {
        float a = weight_of(b, group, k);
        sa += a;
        sx += a * w[k];
    }
    float span = hi - lo;
    b->s[group] = b->h_s[group] = 0.0f;
    b->m[group] = top >= tiny ? -lo : 0.0f;
    b->h_m[group] = sa;
    for (int32_t c = 0; c < CANDIDATES && top >= tiny && span > 0.0f; c++) {
        float inv = quotient(b->Q + (0.05f * (float)c - 0.9f), span);
        group_fit f = fit_pair(b, group, lo, inv, sa, sx);
        if (!f.valid || !(f.error < best) || !(f.s > 0.0f)) continue;
        best = f.error;
        b->s[group] = f.s;
        b->m[group] = f.m;
        b->h_s[group] = f.h;
    }
}

static void scan_sym(super_block *b, int32_t group) {
    const float *w = b->w + group * b->G;
    float top = 0.0f, sum = 0.0f, best = 0.0f, M = b->zp;
    for (int32_t k = 0; k < b->G; k++) {
        if (fabsf(w[k]) > fabsf(top)) top = w[k];
        sum += fabsf(w[k]);
    }
    b->twice[group] = sum * (2.0f / (float)b->G);
    b->s[group] = b->m[group] = b->h_s[group] = b->h_m[group] = 0.0f;
    for (int32_t c = -SYM_REACH; c <= SYM_REACH && fabsf(top) >= tiny; c++) {
        float inv = quotient(-(M + 0.1f * (float)c), top), sll = 0.0f, slx = 0.0f;
        for (int32_t k = 0; k < b->G; k++) {
            float l = clamp(rintf(inv * w[k]), -M, M - 1.0f), al = weight_of(b, group, k) * l;
            sll += al * l;
            slx += al * w[k];
        }
        if (!(sll > 0.0f)) continue;
        float fit = quotient(slx, sll), score = slx * fit;
        if (!(score > best)) continue;
        best = score;
        b->s[group] = fit;
        b->h_s[group] = sll;
    }
}

/* ---- equation 8: the scales of the super-block ---- */

static float multiple(float s, float d, float least, float most) {
    return d == 0.0f ? 0.0f : clamp(rintf(s / d), least, most);
}

/* The d that serves the groups' values best. */
static float block_scale(const float *values, const float *h, int32_t count, float least, float most) {
    float top = 0.0f, limit = least < 0.0f ? least : most, best = 3.0e38f, d = 0.0f;
    for (int32_t j = 0; j < count; j++)
        if (fabsf(values[j]) > fabsf(top)) top = values[j];
    for (int32_t c = 0; c < 2 * SCALE_REACH + 1; c++) {
        int32_t k = c == 0 ? 0 : c <= SCALE_REACH ? c - SCALE_REACH - 1 : c - SCALE_REACH;
        float t = half(quotient(top, limit + 0.1f * (float)(limit < 0.0f ? -k : k))), error = 0.0f;
        for (int32_t j = 0; j < count; j++) {
            float off = t * multiple(values[j], t, least, most) - values[j];
            error += h[j] * (off * off);
        }
        if (c == 0) d = t; /* stays where fp16 holds none of them, and says so */
        if (!(error < best)) continue;
        best = error;
        d = t;
    }
    return d;
}

/* ---- equation 9: the multiples of the groups ---- */

static float code_of(const super_block *b, float w, float s, float m) {
    float x = s != 0.0f ? (w + m) / s : 0.0f;
    return clamp(rintf(x) + b->zp, 0.0f, b->Q);
}

static float error_of(const super_block *b, int32_t group, float s, float m) {
    float error = 0.0f;
    for (int32_t k = 0; k < b->G; k++) {
        float w = b->w[group * b->G + k], diff = (s * (code_of(b, w, s, m) - b->zp) - m) - w;
        error += weight_of(b, group, k) * (diff * diff);
    }
    return error;
}

static void refine(super_block *b, int32_t group) {
    float i0 = b->i[group], j0 = b->j[group], best = 3.0e38f;
    for (int32_t c = 0; c < 9 * REFINE_ROUNDS && b->d != 0.0f; c++) {
        if (c % 9 == 0) i0 = b->i[group], j0 = b->j[group];
        int32_t way = (c + 4) % 9; /* the middle first */
        float i = clamp(i0 + (float)(way / 3 - 1), b->least, b->most);
        float j = b->pairs ? clamp(j0 + (float)(way % 3 - 1), 0.0f, b->most) : 0.0f;
        float error = error_of(b, group, b->d * i, b->dmin * j);
        if (!(error < best)) continue;
        best = error;
        b->i[group] = i;
        b->j[group] = j;
    }
}

void ar__super_start(ar__super_fit *fit, const ar_scheme *scheme, const float *w, const float *importance) {
    int32_t least, most;
    ar_super_limits(&least, &most, scheme->super);
    super_block b = {.w = w,
                     .importance = importance,
                     .G = scheme->group,
                     .per = AR_SUPER_BLOCK / scheme->group,
                     .pairs = scheme->zero != AR_ZERO_SYM,
                     .Q = (float)((1 << scheme->bits) - 1),
                     .zp = scheme->zero == AR_ZERO_SYM ? (float)(1 << (scheme->bits - 1)) : 0.0f,
                     .least = (float)least,
                     .most = (float)most};
    for (int32_t group = 0; group < b.per; group++) {
        if (b.pairs)
            scan(&b, group);
        else
            scan_sym(&b, group);
    }
    b.d = block_scale(b.s, b.h_s, b.per, b.least, b.most);
    b.dmin = b.pairs ? block_scale(b.m, b.h_m, b.per, 0.0f, b.most) : 0.0f;
    for (int32_t group = 0; group < b.per; group++) {
        b.i[group] = multiple(b.s[group], b.d, b.least, b.most);
        b.j[group] = multiple(b.m[group], b.dmin, 0.0f, b.most);
        refine(&b, group);
    }
    *fit = (ar__super_fit){.d = b.d, .dmin = b.dmin};
    memcpy(fit->i, b.i, sizeof fit->i);
    memcpy(fit->j, b.j, sizeof fit->j);
}
