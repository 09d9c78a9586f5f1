/* Cases of num.h, the arithmetic that must come out the same on every device. */
#include "selftest.h"
#include "ref.h"
#include <math.h>
#include <string.h>

static float as_float(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static uint32_t as_bits(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

/* Half of the pairs are what the quantizer divides: a weight at, or one step beside, a tie k + 1/2 of a scale
 * b. The other half have random mantissas and exponents in -40..40, so that quotients stay normal. */
static void fill_pairs(ar__st *st, float *a, float *b, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        uint64_t r = ar__st_random(st), s = ar__st_random(st);
        uint32_t sign = (uint32_t)(s >> 63) << 31;
        if (i % 2) {
            b[i] = as_float(sign | ((uint32_t)(97 + s % 30) << 23) | (uint32_t)(r & 0x7fffff));
            float tie = ((float)(r >> 24 & 255) + 0.5f) * b[i];
            a[i] = as_float(as_bits(tie) + (uint32_t)(r >> 40) % 3 - 1);
        } else {
            b[i] = as_float(sign | ((uint32_t)(87 + s % 81) << 23) | (uint32_t)(r & 0x7fffff));
            a[i] = as_float(((uint32_t)(87 + (s >> 20) % 81) << 23) | (uint32_t)(r >> 30 & 0x7fffff));
        }
    }
}

/* p: pairs. Error: how many quotients are not the correctly rounded ones. */
ar_status ar__st_div(ar__st *st, const int32_t *p) {
    float *a = NULL, *b = NULL, *want = NULL;
    ar_tensor *ta = NULL, *tb = NULL, *y = NULL;
    int64_t n = p[0];
    AR_TRY(ar__st_array(st, (void **)&a, n, sizeof *a));
    AR_TRY(ar__st_array(st, (void **)&b, n, sizeof *b));
    AR_TRY(ar__st_array(st, (void **)&want, n, sizeof *want));
    fill_pairs(st, a, b, p[0]);
    for (int64_t i = 0; i < n; i++) want[i] = a[i] / b[i]; /* the host's division is IEEE's */
    AR_TRY(ar__st_tensor(st, &ta, AR_F32, n, 0, a));
    AR_TRY(ar__st_tensor(st, &tb, AR_F32, n, 0, b));
    AR_TRY(ar_graph_temp(st->g, &y, AR_F32, 1, &n));
    ar_graph_keep(st->g, y);
    uint32_t word = 0;
    ar__emit_desc d = {.kernel = AR_K_div_check,
                       .specs = {st->device->plan.wg, 1},
                       .operands = {{ta, 0, 0}, {tb, 0, 0}, {y, 0, 0}},
                       .params = &word,
                       .bytes = 12.0 * (double)n};
    AR_TRY(ar__emit_split(st->g, &d, &(ar__split){.units = n, .split = 7u}));
    AR_TRY(ar__st_run(st));
    return ar__st_exact(st, "div_check", y, want);
}

/* The first 2^16 words are all fp16 codes; then the floats at, and one step beside, every fp16 value and
 * every midpoint of two; the rest random bits. */
static void fill_words(ar__st *st, uint32_t *x, int32_t n) {
    int32_t at = 0;
    for (uint32_t h = 0; h < 65536 && at < n; h++) x[at++] = h;
    for (uint32_t h = 0; h < 65536; h++) {
        if ((h & 0x7c00) == 0x7c00) continue;
        double here = ref_half_value((uint16_t)h), next = ref_half_value((uint16_t)(h + 1));
        if ((h & 0x7fff) == 0x7bff) next = here > 0 ? 65536 : -65536; /* where infinity would stand */
        uint32_t value = as_bits((float)here), middle = as_bits((float)((here + next) / 2));
        for (uint32_t beside = 0; beside < 3 && at + 2 <= n; beside++) {
            x[at++] = value == 0 || value == 0x80000000u ? value + beside : value + beside - 1;
            x[at++] = middle + beside - 1;
        }
    }
    static const uint32_t specials[] = {0x7f800000, 0xff800000, 0x7f7fffff, 0xff7fffff,
                                        0x7fc00000, 0xffc00001, 0x7f800001, 0x00000001,
                                        0x80000001, 0x007fffff, 0x00800000};
    for (size_t i = 0; i < sizeof specials / sizeof specials[0] && at < n; i++) x[at++] = specials[i];
    while (at < n) x[at++] = (uint32_t)ar__st_random(st);
}

static bool is_nan_bits(uint32_t u) { return (u & 0x7fffffff) > 0x7f800000; }

/* The bits of x rounded to fp16. */
static uint32_t rounded_bits(uint32_t x) {
    return as_bits((float)ref_half_value(ref_half_bits(as_float(x))));
}

/* p: words. Error: how many codes, values or roundings differ; NaN may have any payload. */
ar_status ar__st_half(ar__st *st, const int32_t *p) {
    int64_t n = p[0], differ = 0;
    uint32_t *x = NULL, *got = NULL, *back = NULL, *rounded = NULL, word = 0;
    ar_tensor *tx = NULL, *h = NULL, *y = NULL, *z = NULL;
    AR_TRY(ar__st_array(st, (void **)&x, n, sizeof *x));
    AR_TRY(ar__st_array(st, (void **)&got, n, sizeof *got));
    AR_TRY(ar__st_array(st, (void **)&back, n, sizeof *back));
    AR_TRY(ar__st_array(st, (void **)&rounded, n, sizeof *rounded));
    fill_words(st, x, p[0]);
    AR_TRY(ar__st_tensor(st, &tx, AR_U32, n, 0, x));
    AR_TRY(ar_graph_temp(st->g, &h, AR_U32, 1, &n));
    AR_TRY(ar_graph_temp(st->g, &y, AR_U32, 1, &n));
    ar_graph_keep(st->g, h);
    ar_graph_keep(st->g, y);
    AR_TRY(ar_graph_temp(st->g, &z, AR_U32, 1, &n));
    ar_graph_keep(st->g, z);
    ar__emit_desc d = {.kernel = AR_K_half_check,
                       .specs = {st->device->plan.wg, 1},
                       .operands = {{tx, 0, 0}, {h, 0, 0}, {y, 0, 0}, {z, 0, 0}},
                       .params = &word,
                       .bytes = 16.0 * (double)n};
    AR_TRY(ar__emit_split(st->g, &d, &(ar__split){.units = n, .split = 15u}));
    AR_TRY(ar__st_run(st));
    AR_TRY(ar_tensor_read(h, got, 0, n));
    AR_TRY(ar_tensor_read(y, back, 0, n));
    AR_TRY(ar_tensor_read(z, rounded, 0, n));
    for (int64_t i = 0; i < n; i++) {
        bool is_code_right =
            is_nan_bits(x[i]) ? (got[i] & 0x7fff) > 0x7c00 : got[i] == ref_half_bits(as_float(x[i]));
        uint16_t code = (uint16_t)(x[i] & 0xffff);
        bool is_nan = (code & 0x7fff) > 0x7c00;
        bool is_value_right = is_nan ? is_nan_bits(back[i]) : back[i] == as_bits((float)ref_half_value(code));
        bool is_rounded_right = is_nan_bits(x[i]) || rounded[i] == rounded_bits(x[i]);
        differ += !is_code_right + !is_value_right + !is_rounded_right;
    }
    ar__st_report(st, "half_check", (double)differ, 0, "wrong codes, values and roundings");
    return AR_OK;
}
