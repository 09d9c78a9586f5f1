/* A few rows of what a device says codes and scales are, computed again on the host from the weights and the
 * tuned state: a device that computes nothing, or one kernel wrongly, gives codes like any others. The
 * formulas are those of fq_scale, fq_codes, fq_super_scale and fq_super_codes (docs/methods.md, equations 1
 * to 3 and 10). */
#include "ar_error.h"
#include "core.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 3
#define NEAR 1e-3 /* of a rounding's middle: f32 may fall on either side */

typedef struct row {
    const ar_qlinear *q;
    const ar_fq_desc *fq;
    int64_t row;
    float *w, *v, *mm, *start; /* v, mm NULL where nothing is tuned; start (groups, 4) of super kinds alone */
} row;

/* ---- reading ---- */

/* Elements [from, from + count) of a tensor of a state's type, as floats. */
static ar_status read_floats(float *dst, const ar_tensor *t, int64_t from, int64_t count) {
    ar_dtype dtype = ar_tensor_dtype(t);
    if (dtype == AR_F32) return ar_tensor_read(t, dst, from, count);
    void *raw = ar__alloc((size_t)count, ar_dtype_bytes(dtype));
    if (!raw) return AR_ERR_MEMORY;
    ar_status status = ar_tensor_read(t, raw, from, count);
    for (int64_t i = 0; status == AR_OK && i < count; i++)
        dst[i] = dtype == AR_I16 ? (float)((const int16_t *)raw)[i] : (float)((const int32_t *)raw)[i];
    free(raw);
    return status;
}

static ar_status read_row(row *r, const ar_tensor *W, const ar_tensor *range, const ar_fq_state *st) {
    int64_t I = r->q->I, groups = r->q->groups;
    AR_TRY(ar_tensor_read(W, r->w, r->row * I, I));
    if (r->v) AR_TRY(read_floats(r->v, st->v, r->row * I, I));
    if (r->mm) AR_TRY(read_floats(r->mm, st->mm, r->row * groups * 2, groups * 2));
    if (r->start) AR_TRY(ar_tensor_read(range, r->start, r->row * groups * 4, groups * 4));
    return AR_OK;
}

/* ---- computing ---- */

static double clamp(double x, double lo, double hi) { return x < lo ? lo : x > hi ? hi : x; }

/* Is found = clamp(round(x) + middle, lo, hi), where x is known but for f32's roundings? */
static bool rounds_to(double found, double x, double middle, double lo, double hi) {
    double slack = NEAR + 4e-7 * fabs(x);
    return found >= clamp(rint(x - slack) + middle, lo, hi) &&
           found <= clamp(rint(x + slack) + middle, lo, hi);
}

/* fp16 numbers that are at most one step apart. */
static bool is_near_half(double a, double b) { return fabs(a - b) <= 1.2e-7 + fabs(b) * 0x1p-10; }

static double coefficient(const row *r, int64_t group, int which) {
    double m_div = (double)r->fq->m_div;
    return r->mm && m_div > 0.0 ? (m_div + (double)r->mm[2 * group + which]) / m_div : 1.0;
}

static double offset(const row *r, int64_t i) {
    return r->v && r->fq->v_div > 0.0f ? (double)r->v[i] / (double)r->fq->v_div : 0.0;
}

/* Scale and zero point of a plain group from the range of its weights. */
static bool is_plain_scale(const row *r, int64_t group, int64_t from, int64_t end) {
    const ar_scheme *scheme = &r->fq->scheme;
    int64_t at = r->row * r->q->groups + group;
    float lo = 0.0f, hi = 0.0f;
    for (int64_t i = from; i < end; i++) lo = fminf(lo, r->w[i]), hi = fmaxf(hi, r->w[i]);
    float range[2] = {(float)((double)lo * clamp(coefficient(r, group, 0), 0, 1)),
                      (float)((double)hi * clamp(coefficient(r, group, 1), 0, 1))};
    uint16_t scale, min;
    ar__group_scale(&scale, &min, scheme, range);
    double s = (double)ar_f16_to_f32(r->q->scales[at]), want = (double)ar_f16_to_f32(scale);
    if (!isfinite(want) || (r->q->mins && !isfinite(ar_f16_to_f32(min)))) return true; /* refused elsewhere */
    /* equal ends of a symmetric range may fall to either sign */
    bool tie = scheme->zero == AR_ZERO_SYM && is_near_half((double)-range[0], (double)range[1]);
    if (!is_near_half(s, want) && !(tie && is_near_half(-s, want))) return false;
    if (scheme->zero == AR_ZERO_SYM) return r->q->zeros[at] == 1 << (scheme->bits - 1);
    double most = (1 << scheme->bits) - 1;
    if (!rounds_to(r->q->zeros[at], -(double)range[0] / s, 0, scheme->zero_min, most)) return false;
    return !r->q->mins || is_near_half((double)ar_f16_to_f32(r->q->mins[at]), -s * r->q->zeros[at]);
}

static bool is_super_scale(const row *r, int64_t group) {
    int64_t at = r->row * r->q->groups + group, super = at * r->fq->scheme.group / AR_SUPER_BLOCK;
    const float *start = r->start + 4 * group;
    int32_t least, most;
    ar_super_limits(&least, &most, r->fq->scheme.super);
    double d = (double)ar_f16_to_f32(r->q->d[super]), dmin;
    if (!is_near_half(d, (double)start[0])) return false;
    if (d != 0.0 &&
        !rounds_to(r->q->sub_scales[at], (double)start[2] * coefficient(r, group, 0), 0, least, most))
        return false;
    if (!r->q->dmin) return true;
    dmin = (double)ar_f16_to_f32(r->q->dmin[super]);
    return is_near_half(dmin, (double)start[1]) &&
           (dmin == 0.0 ||
            rounds_to(r->q->sub_mins[at], (double)start[3] * coefficient(r, group, 1), 0, 0, most));
}

/* The scale, zero point and minimum that the codes of a group were made with. */
static void scale_of(const row *r, int64_t group, double *s, double *zero, double *min) {
    const ar_qlinear *q = r->q;
    int64_t at = r->row * q->groups + group, super = at * r->fq->scheme.group / AR_SUPER_BLOCK;
    *min = 0.0;
    if (!q->d) {
        *s = (double)ar_f16_to_f32(q->scales[at]);
        *zero = q->zeros[at];
        return;
    }
    *s = (double)ar_f16_to_f32(q->d[super]) * q->sub_scales[at];
    *zero = q->dmin ? 0.0 : (double)(1 << (r->fq->scheme.bits - 1));
    if (q->dmin) *min = (double)ar_f16_to_f32(q->dmin[super]) * q->sub_mins[at];
}

/* NULL = the group is right; else what is not. *at = the first such weight, or the group's first. */
static const char *check_group(const row *r, int64_t group, int64_t *at) {
    int64_t G = r->q->groups == 1 ? r->q->I : r->fq->scheme.group, from = group * G,
            end = from + G < r->q->I ? from + G : r->q->I;
    double s, zero, min, most = (1 << r->fq->scheme.bits) - 1;
    *at = from;
    scale_of(r, group, &s, &zero, &min);
    if (!isfinite(s) || !isfinite(min)) return NULL; /* ar_qlinear_check_scales refuses it by name */
    if (r->q->d ? !is_super_scale(r, group) : !is_plain_scale(r, group, from, end)) return "scale";
    for (; *at < end; ++*at) {
        double x = s != 0.0 ? ((double)r->w[*at] + min) / s : 0.0;
        if (!rounds_to(r->q->codes[r->row * r->q->I + *at], x + offset(r, *at), zero, 0, most)) return "code";
    }
    return NULL;
}

static ar_status check_row(const row *r) {
    for (int64_t group = 0; group < r->q->groups; group++) {
        int64_t at;
        const char *wrong = check_group(r, group, &at);
        if (wrong)
            return ar__fail(
                AR_ERR_CHECK,
                "the %s that the device gave for row %lld, column %lld (weight %g) is not what the "
                "host computes: the device computes wrongly",
                wrong, (long long)r->row, (long long)at, (double)r->w[at]);
    }
    return AR_OK;
}

ar_status ar__recompute(const ar_qlinear *q, ar_device *device, const ar_tensor *W, const ar_tensor *range,
                        const ar_fq_state *st, const ar_fq_desc *fq) {
    ar_status status = AR_OK;
    size_t I = (size_t)q->I, groups = (size_t)q->groups;
    row r = {.q = q, .fq = fq};
    if (q->O == 0 || strcmp(ar_device_get_facts(device)->api, "null") == 0) return AR_OK;
    r.w = ar__alloc(I, sizeof *r.w);
    if (st->v) r.v = ar__alloc(I, sizeof *r.v);
    if (st->mm) r.mm = ar__alloc(groups, 2 * sizeof *r.mm);
    if (fq->scheme.super != AR_SUPER_NONE) r.start = ar__alloc(groups, 4 * sizeof *r.start);
    if (!r.w || (st->v && !r.v) || (st->mm && !r.mm) || (fq->scheme.super != AR_SUPER_NONE && !r.start))
        AR_GO(AR_ERR_MEMORY);
    const int64_t rows[ROWS] = {0, q->O * 5 / 8, q->O - 1};
    for (int32_t i = 0; i < ROWS; i++) {
        r.row = rows[i];
        if (i && rows[i] == rows[i - 1]) continue;
        AR_GO(read_row(&r, W, range, st));
        AR_GO(check_row(&r));
    }
done:
    free(r.w);
    free(r.v);
    free(r.mm);
    free(r.start);
    return status;
}
