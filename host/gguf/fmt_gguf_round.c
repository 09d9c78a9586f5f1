/* Rounding of matrices that are not tuned (the embedding, the head) to GGUF's block types. Every group of
 * weights is fitted by scanning how much of its range the codes span and solving, for each set of codes, for
 * the scale (and minimum) with the least squared error; the smallest error over the scan is kept. In
 * super-blocks the groups' scales are then multiples of d (and dmin): neighbouring multiples are tried with
 * codes rounded anew under each. Rows are rounded on all processors, each from its own numbers alone. */
#include "fmt_gguf.h"
#include "parallel.h"
#include <float.h>
#include <math.h>
#include <string.h>

#define MAX_GROUP 32
#define STEPS     10  /* of the scan, to either side */
#define STEP      0.1 /* codes */

/* W' = s (q - middle) or s q - m, whatever they are stored as. */
typedef struct fit {
    double s, m, error;
} fit;

static int32_t code_of(double x, int32_t most) { return x <= 0.0 ? 0 : x >= most ? most : (int32_t)rint(x); }

/* Squared error of codes rounded under s and m (m = s middle for symmetric ones). */
static double error_of(const float *w, int32_t count, double s, double m, int32_t most) {
    double inv = s != 0.0 ? 1.0 / s : 0.0, sum = 0.0;
    for (int32_t i = 0; i < count; i++) {
        double e = (double)w[i] - (s * code_of(((double)w[i] + m) * inv, most) - m);
        sum += e * e;
    }
    return sum;
}

/* The largest magnitude's sign makes s, so that the lowest code, which has no opposite, is used for it. */
static fit fit_symmetric(const float *w, int32_t count, int32_t bits) {
    int32_t middle = 1 << (bits - 1), most = 2 * middle - 1;
    double top = 0.0;
    for (int32_t i = 0; i < count; i++)
        if (fabs((double)w[i]) > fabs(top)) top = (double)w[i];
    fit best = {0.0, 0.0, DBL_MAX};
    if (top == 0.0) return (fit){0};
    for (int32_t k = -STEPS; k <= STEPS; k++) {
        double inv = -((double)middle + k * STEP) / top, wq = 0.0, qq = 0.0;
        for (int32_t i = 0; i < count; i++) {
            double q = code_of((double)w[i] * inv + middle, most) - middle;
            wq += (double)w[i] * q;
            qq += q * q;
        }
        if (qq == 0.0) continue;
        double s = wq / qq, error = error_of(w, count, s, s * middle, most);
        if (error < best.error) best = (fit){s, s * middle, error};
    }
    return best;
}

/* s >= 0 and, with min_sign, m >= 0 (super-blocks store no other). */
static fit fit_range(const float *w, int32_t count, int32_t bits, bool min_sign) {
    int32_t most = (1 << bits) - 1;
    double lo = (double)w[0], hi = lo;
    for (int32_t i = 1; i < count; i++) {
        lo = fmin(lo, (double)w[i]);
        hi = fmax(hi, (double)w[i]);
    }
    if (min_sign && lo > 0.0) lo = 0.0;
    if (hi <= lo) return (fit){0.0, -lo, 0.0};
    fit best = {0.0, 0.0, DBL_MAX};
    for (int32_t k = -STEPS; k <= STEPS; k++) {
        double inv = (most + k * STEP) / (hi - lo), n = count, sw = 0.0, sq = 0.0, swq = 0.0, sqq = 0.0;
        for (int32_t i = 0; i < count; i++) {
            double q = code_of(((double)w[i] - lo) * inv, most);
            sw += (double)w[i];
            sq += q;
            swq += (double)w[i] * q;
            sqq += q * q;
        }
        double det = n * sqq - sq * sq;
        if (sqq == 0.0) continue;
        double s = swq / sqq, m = 0.0; /* where one code is all there is, or the minimum may not be above 0 */
        if (det > 0.0 && (!min_sign || sq * swq >= sqq * sw)) {
            s = (n * swq - sw * sq) / det;
            m = (sq * swq - sqq * sw) / det;
        }
        double error = error_of(w, count, s, m, most);
        if (s > 0.0 && error < best.error) best = (fit){s, m, error};
    }
    return best;
}

static void store_codes(uint8_t *codes, const float *w, int32_t count, double s, double m, int32_t most) {
    double inv = s != 0.0 ? 1.0 / s : 0.0;
    for (int32_t i = 0; i < count; i++) codes[i] = (uint8_t)code_of(((double)w[i] + m) * inv, most);
}

static double half(double x) { return (double)ar_f16_to_f32(ar_f32_to_f16((float)x)); }

/* ---- groups with scales of their own ---- */

static void round_group(ar_qlinear *q, int64_t group, const float *w) {
    int32_t G = q->scheme.group, most = (1 << q->scheme.bits) - 1, middle = 1 << (q->scheme.bits - 1);
    fit f = q->mins ? fit_range(w, G, q->scheme.bits, false) : fit_symmetric(w, G, q->scheme.bits);
    q->scales[group] = ar_f32_to_f16((float)f.s);
    double s = half(f.s), m = q->mins ? half(f.m) : s * middle;
    q->zeros[group] = (uint8_t)middle;
    if (q->mins) {
        q->mins[group] = ar_f32_to_f16((float)-f.m);
        q->zeros[group] = (uint8_t)(s > 0.0 ? code_of(m / s, most) : 0);
    }
    store_codes(q->codes + group * G, w, G, s, m, most);
    if (s == 0.0) memset(q->codes + group * G, q->mins ? 0 : middle, (size_t)G);
}

/* ---- super-blocks ---- */

typedef struct limits {
    int32_t sc_lo, sc_hi, mn_hi;
} limits;

static limits limits_of(ar_super super) {
    switch (super) {
    case AR_SUPER_Q2_K: return (limits){0, 15, 15};
    case AR_SUPER_Q3_K: return (limits){-32, 31, 0};
    case AR_SUPER_Q6_K: return (limits){-128, 127, 0};
    default: return (limits){0, 63, 63};
    }
}

static int32_t clamp(double x, int32_t lo, int32_t hi) {
    return x <= lo ? lo : x >= hi ? hi : (int32_t)rint(x);
}

/* The multiples of d and dmin near f that round the group best. */
static void choose_multiples(int32_t *sc, int32_t *mn, const float *w, const ar_scheme *s, const fit *f,
                             double d, double dmin) {
    limits l = limits_of(s->super);
    int32_t most = (1 << s->bits) - 1, middle = 1 << (s->bits - 1);
    bool sym = s->zero == AR_ZERO_SYM;
    int32_t sc0 = d != 0.0 ? clamp(f->s / d, l.sc_lo, l.sc_hi) : 0,
            mn0 = dmin != 0.0 ? clamp(f->m / dmin, 0, l.mn_hi) : 0;
    double best = DBL_MAX;
    for (int32_t a = sc0 - 1; a <= sc0 + 1; a++)
        for (int32_t b = mn0 - 1; b <= mn0 + 1; b++) {
            if (a < l.sc_lo || a > l.sc_hi || b < 0 || b > l.mn_hi) continue;
            double scale = (double)((float)d * (float)a),
                   error = error_of(w, s->group, scale, sym ? scale * middle : dmin * b, most);
            if (scale == 0.0 && sym) { /* all values are 0 */
                error = 0.0;
                for (int32_t i = 0; i < s->group; i++) error += (double)w[i] * (double)w[i];
            }
            if (error < best) {
                best = error;
                *sc = a;
                *mn = b;
            }
        }
}

static void round_super(ar_qlinear *q, int64_t super, const float *w) {
    const ar_scheme *s = &q->scheme;
    int32_t G = s->group, groups = AR_SUPER_BLOCK / G, most = (1 << s->bits) - 1, middle = 1 << (s->bits - 1);
    limits l = limits_of(s->super);
    bool sym = s->zero == AR_ZERO_SYM;
    fit fits[AR_SUPER_BLOCK / 16];
    double top = 0.0, top_min = 0.0;
    for (int32_t k = 0; k < groups; k++) {
        fits[k] = sym ? fit_symmetric(w + k * G, G, s->bits) : fit_range(w + k * G, G, s->bits, true);
        if (fabs(fits[k].s) > fabs(top)) top = fits[k].s;
        top_min = fmax(top_min, fits[k].m);
    }
    double d = half(top / (sym ? l.sc_lo : l.sc_hi)), dmin = sym ? 0.0 : half(top_min / l.mn_hi);
    q->d[super] = ar_f32_to_f16((float)d);
    if (q->dmin) q->dmin[super] = ar_f32_to_f16((float)dmin);
    for (int32_t k = 0; k < groups; k++) {
        int64_t group = super * groups + k;
        int32_t sc = 0, mn = 0;
        choose_multiples(&sc, &mn, w + k * G, s, &fits[k], d, dmin);
        q->sub_scales[group] = (int8_t)sc;
        if (q->sub_mins) q->sub_mins[group] = (uint8_t)mn;
        double scale = d * sc;
        store_codes(q->codes + group * G, w + k * G, G, scale, sym ? scale * middle : dmin * mn, most);
        if (scale == 0.0) memset(q->codes + group * G, sym ? middle : 0, (size_t)G);
    }
}

typedef struct rows {
    ar_qlinear *q;
    const float *W;
} rows;

static void round_row(void *ctx, int64_t o) {
    ar_qlinear *q = ((const rows *)ctx)->q;
    const float *W = ((const rows *)ctx)->W;
    if (q->scheme.super != AR_SUPER_NONE)
        for (int64_t k = o * q->supers; k < (o + 1) * q->supers; k++)
            round_super(q, k, W + k * AR_SUPER_BLOCK);
    else
        for (int64_t k = o * q->groups; k < (o + 1) * q->groups; k++)
            round_group(q, k, W + k * q->scheme.group);
}

ar_status ar__gguf_round(ar_qlinear *q, const char *what, const float *W, int64_t row) {
    AR_TRY(ar_quant_check_weights(what, W, &q->scheme, row, q->O, q->I));
    ar__parallel(q->O, round_row, &(rows){q, W});
    return ar_qlinear_check_scales(q, what, row);
}
