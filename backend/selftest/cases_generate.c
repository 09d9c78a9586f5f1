/* Cases of generation: rotation at positions, append to the caches, attention over them; B sequences that
 * already have pos tokens get T more. */
#include "graph.h"
#include "op.h"
#include "ref.h"
#include "selftest.h"
#include <math.h>

typedef struct sizes {
    int32_t B, T, H, K, D, pos, C, pairs, window, cap;
} sizes;

/* A cache (B, K, C, D) whose first pos positions hold those of history (B, pos + T, K D), the rest a number
 * that would be noticed. */
static ar_status make_cache(ar__st *st, ar_tensor **cache, const sizes *n, const float *history) {
    int64_t count = (int64_t)n->B * n->K * n->C * n->D;
    uint16_t *halves = NULL;
    if (st->tensor_count == AR__ST_HELD) return ar__fail(AR_ERR_ARG, "selftest: too many tensors");
    AR_TRY(ar__st_array(st, (void **)&halves, count, sizeof *halves));
    for (int64_t i = 0; i < count; i++) {
        int64_t e = i % n->D, c = i / n->D % n->C, k = i / n->D / n->C % n->K, b = i / n->D / n->C / n->K;
        bool past = c < n->pos;
        halves[i] =
            past ? ar_f32_to_f16(history[((b * (n->pos + n->T) + c) * n->K + k) * n->D + e]) : 0x7800u;
    }
    AR_TRY(ar_tensor_create(cache, st->device, AR_F16, 4, (int64_t[]){n->B, n->K, n->C, n->D}));
    st->tensors[st->tensor_count++] = *cache;
    return ar_tensor_write(*cache, halves, 0, count);
}

static float rounded(double x) { return ar_f16_to_f32(ar_f32_to_f16((float)x)); }

/* Turns the T newest rows of x (B, S, heads D), S = pos + T, as Hugging Face's rotate-half does. */
static ar_status turn_newest(ar__st *st, double *x, const sizes *n, const float *freq, int32_t heads,
                             int32_t S) {
    double *turned = NULL;
    int64_t width = (int64_t)heads * n->D;
    AR_TRY(ar__st_doubles(st, &turned, NULL, width));
    for (int32_t b = 0; b < n->B; b++)
        for (int32_t t = 0; t < n->T; t++) {
            double *row = &x[((int64_t)b * S + S - n->T + t) * width];
            ref_rope(turned, row, freq, 1, heads, 1, n->D, n->pairs, n->pos + t, 1);
            for (int64_t i = 0; i < width; i++) row[i] = turned[i];
        }
    return AR_OK;
}

/* One row of attention: query q (D) at position `at` over keys and values (S, K D). */
static void attend(double *y, const double *q, const double *k, const double *v, const sizes *n, int32_t head,
                   int32_t at) {
    int32_t first = n->window > 0 && at + 1 > n->window ? at + 1 - n->window : 0, kh = head / (n->H / n->K);
    double top = -1e300, sum = 0, scale = 1 / sqrt((double)n->D);
    for (int32_t e = 0; e < n->D; e++) y[e] = 0;
    for (int32_t pass = 0; pass < 2; pass++)
        for (int32_t j = first; j <= at; j++) {
            int64_t row = ((int64_t)j * n->K + kh) * n->D;
            double s = 0;
            for (int32_t e = 0; e < n->D; e++) s += q[e] * k[row + e] * scale;
            if (n->cap) s = n->cap * tanh(s / n->cap);
            if (pass == 0 && s > top) top = s;
            if (pass == 0) continue;
            sum += exp(s - top);
            for (int32_t e = 0; e < n->D; e++) y[e] += exp(s - top) * v[row + e];
        }
    for (int32_t e = 0; e < n->D; e++) y[e] /= sum;
}

/* want (B T, H D) and the rotated queries; dk and dv become what the caches should hold. */
static ar_status reference(ar__st *st, double *want, double *dq, double *dk, double *dv, const sizes *n,
                           const float *freq) {
    int32_t S = n->pos + n->T;
    int64_t HD = (int64_t)n->H * n->D, KD = (int64_t)n->K * n->D;
    if (n->pairs > 0) {
        AR_TRY(turn_newest(st, dq, n, freq, n->H, n->T));
        AR_TRY(turn_newest(st, dk, n, freq, n->K, S));
    }
    for (int64_t i = 0; i < n->B * S * KD; i++) {
        dk[i] = rounded(dk[i]);
        dv[i] = rounded(dv[i]);
    }
    for (int32_t b = 0; b < n->B; b++)
        for (int32_t t = 0; t < n->T; t++)
            for (int32_t h = 0; h < n->H; h++) {
                int64_t at = ((int64_t)b * n->T + t) * HD + (int64_t)h * n->D;
                attend(&want[at], &dq[at], &dk[b * S * KD], &dv[b * S * KD], n, h, n->pos + t);
            }
    return AR_OK;
}

/* q, k and v of the new tokens as columns of one tensor (B T, (H + 2 K) D). */
static ar_status make_columns(ar__st *st, ar_tensor **t, const sizes *n, const float *q, const float *k,
                              const float *v) {
    int64_t HD = (int64_t)n->H * n->D, KD = (int64_t)n->K * n->D, width = HD + 2 * KD, S = n->pos + n->T;
    float *all = NULL;
    AR_TRY(ar__st_array(st, (void **)&all, n->B * n->T * width, sizeof *all));
    for (int64_t row = 0; row < n->B * n->T; row++) {
        int64_t past = row / n->T * S + n->pos + row % n->T;
        for (int64_t i = 0; i < HD; i++) all[row * width + i] = q[row * HD + i];
        for (int64_t i = 0; i < KD; i++) all[row * width + HD + i] = k[past * KD + i];
        for (int64_t i = 0; i < KD; i++) all[row * width + HD + KD + i] = v[past * KD + i];
    }
    return ar__st_tensor(st, t, AR_F32, n->B * n->T, width, all);
}

static ar_status make_angles(ar__st *st, ar_tensor **t, const sizes *n, float *freq) {
    float *cs = NULL;
    *t = NULL;
    if (n->pairs == 0) return AR_OK;
    AR_TRY(ar__st_array(st, (void **)&cs, (int64_t)n->T * n->pairs * 2, sizeof *cs));
    for (int32_t i = 0; i < n->pairs; i++) freq[i] = i ? freq[i - 1] * 0.75f : 1.0f;
    for (int32_t p = 0; p < n->T; p++)
        for (int32_t i = 0; i < n->pairs; i++) {
            float angle = (float)(n->pos + p) * freq[i];
            cs[2 * (p * n->pairs + i)] = (float)cos((double)angle);
            cs[2 * (p * n->pairs + i) + 1] = (float)sin((double)angle);
        }
    AR_TRY(ar_tensor_create(t, st->device, AR_F32, 3, (int64_t[]){n->T, n->pairs, 2}));
    st->tensors[st->tensor_count++] = *t;
    return ar_tensor_write(*t, cs, 0, ar_tensor_count(*t));
}

/* What a cache holds at the new positions, against x (B, pos + T, K D): at most one fp16 step off. */
static ar_status check_cache(ar__st *st, const char *kernel, const ar_tensor *cache, const double *x,
                             const sizes *n) {
    uint16_t *halves = NULL;
    double error = 0;
    AR_TRY(ar__st_array(st, (void **)&halves, ar_tensor_count(cache), sizeof *halves));
    AR_TRY(ar_tensor_read(cache, halves, 0, ar_tensor_count(cache)));
    for (int64_t i = 0; i < ar_tensor_count(cache); i++) {
        int64_t e = i % n->D, c = i / n->D % n->C, k = i / n->D / n->C % n->K, b = i / n->D / n->C / n->K;
        bool held = c < n->pos + n->T;
        double expected =
            held ? x[((b * (n->pos + n->T) + c) * n->K + k) * n->D + e] : (double)ar_f16_to_f32(0x7800u);
        double off = fabs((double)ar_f16_to_f32(halves[i]) - expected) / (fabs(expected) + 1);
        if (off > error) error = off;
    }
    ar__st_report(st, kernel, error, 1.0 / 1024, "");
    return AR_OK;
}

/* p: B, T, H, K, D, pos, form: 1 = no rotation, 2 = part of the dims, 4 = a window of 5,
 * 8 = attention_append, 16 = scores capped at 1. */
ar_status ar__st_generate(ar__st *st, const int32_t *p) {
    sizes n = {p[0],
               p[1],
               p[2],
               p[3],
               p[4],
               p[5],
               p[5] + p[1] + 3,
               p[6] & 1   ? 0
               : p[6] & 2 ? p[4] / 4
                          : p[4] / 2,
               p[6] & 4 ? 5 : 0,
               p[6] & 16 ? 1 : 0};
    int64_t HD = (int64_t)n.H * n.D, KD = (int64_t)n.K * n.D, S = n.pos + n.T, rows = (int64_t)n.B * n.T;
    bool is_joined = p[6] & 8;
    float *q = NULL, *k = NULL, *v = NULL, *freq = NULL;
    double *want = NULL, *dq = NULL, *dk = NULL, *dv = NULL;
    ar_tensor *all = NULL, *kc = NULL, *vc = NULL, *angles = NULL, *pos = NULL, *rq = NULL, *y = NULL;
    AR_TRY(ar__st_normal(st, &q, rows * HD, 1.0f));
    AR_TRY(ar__st_normal(st, &k, n.B * S * KD, 1.0f));
    AR_TRY(ar__st_normal(st, &v, n.B * S * KD, 1.0f));
    AR_TRY(ar__st_array(st, (void **)&freq, n.D, sizeof *freq));
    AR_TRY(ar__st_doubles(st, &want, NULL, rows * HD));
    AR_TRY(ar__st_doubles(st, &dq, q, rows * HD));
    AR_TRY(ar__st_doubles(st, &dk, k, n.B * S * KD));
    AR_TRY(ar__st_doubles(st, &dv, v, n.B * S * KD));
    AR_TRY(make_angles(st, &angles, &n, freq));
    AR_TRY(reference(st, want, dq, dk, dv, &n, freq));
    AR_TRY(make_columns(st, &all, &n, q, k, v));
    AR_TRY(make_cache(st, &kc, &n, k));
    AR_TRY(make_cache(st, &vc, &n, v));
    AR_TRY(ar__st_tensor(st, &pos, AR_I32, 1, 0, &n.pos));
    ar_columns cq = {all, 0, HD}, ck = {all, HD, KD}, cv = {all, HD + KD, KD};
    const char *name = is_joined ? "attention_append" : ar__kernels[ar__cached_kernel(st->device, n.T)].name;
    if (is_joined) {
        st->device->plan.ways |= 1u << AR_W_append; /* try_case puts the plan back */
        AR_TRY(
            ar_op_attention_append(st->g, &y, &cq, &ck, &cv, kc, vc, angles, pos, 0, n.window, (float)n.cap));
        if (st->g->dispatch_count != 1)
            return ar__fail(AR_ERR_CHECK, "selftest: the plan records no attention_append");
    } else {
        AR_TRY(ar_op_cache_append(st->g, &rq, &cq, &ck, &cv, kc, vc, angles, pos));
        AR_TRY(ar_op_attention_cached(st->g, &y, rq, kc, vc, pos, 0, n.window, (float)n.cap));
        ar_graph_keep(st->g, rq);
    }
    ar_graph_keep(st->g, y);
    AR_TRY(ar__st_run(st));
    if (rq) AR_TRY(ar__st_compare(st, "cache_append", rq, dq));
    AR_TRY(check_cache(st, is_joined ? name : "cache_append", kc, dk, &n));
    AR_TRY(check_cache(st, is_joined ? name : "cache_append", vc, dv, &n));
    return ar__st_compare(st, name, y, want);
}
