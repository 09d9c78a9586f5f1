/* Case of one step of generation: rotation at a position, append to the caches, attention over them. */
#include "selftest.h"
#include "ref.h"

typedef struct sizes {
    int32_t B, C, H, K, D, pos, pairs;
} sizes;

/* A cache (B, C, K D) whose first pos positions hold rows of history (B, pos + 1, K D). */
static ar_status make_cache(ar__st *st, ar_tensor **cache, const sizes *n, const float *history) {
    int32_t I = n->K * n->D, T = n->pos + 1;
    if (st->tensor_count == AR__ST_HELD) return ar__fail(AR_ERR_ARG, "selftest: too many tensors");
    AR_TRY(ar_tensor_create(cache, st->device, AR_F32, 3, (int64_t[]){n->B, n->C, I}));
    st->tensors[st->tensor_count++] = *cache;
    for (int32_t b = 0; b < n->B; b++)
        AR_TRY(ar_tensor_write(*cache, &history[(int64_t)b * T * I], (int64_t)b * n->C * I,
                               (int64_t)n->pos * I));
    return AR_OK;
}

/* The newest row of every sequence of history, as a tensor. */
static ar_status newest_rows(ar__st *st, ar_tensor **t, const sizes *n, const float *history) {
    int32_t I = n->K * n->D, T = n->pos + 1;
    float *rows = NULL;
    AR_TRY(ar__st_array(st, (void **)&rows, (int64_t)n->B * I, sizeof *rows));
    for (int32_t b = 0; b < n->B; b++)
        for (int32_t i = 0; i < I; i++) rows[b * I + i] = history[((int64_t)b * T + n->pos) * I + i];
    return ar__st_tensor(st, t, AR_F32, n->B, I, rows);
}

/* y of the newest token: all keys turned nowhere but the newest, which the op turns at pos, and q with it. */
static ar_status reference(ar__st *st, double *y, double *q_turned, const sizes *n, const float *q,
                           const float *k, const float *v, const float *freq) {
    int32_t T = n->pos + 1, HD = n->H * n->D, KD = n->K * n->D;
    double *dq = NULL, *dk = NULL, *dv = NULL, *all = NULL, *out = NULL, *turned = NULL;
    AR_TRY(ar__st_doubles(st, &dq, q, (int64_t)n->B * HD));
    AR_TRY(ar__st_doubles(st, &dk, k, (int64_t)n->B * T * KD));
    AR_TRY(ar__st_doubles(st, &dv, v, (int64_t)n->B * T * KD));
    AR_TRY(ar__st_doubles(st, &all, NULL, (int64_t)T * HD));
    AR_TRY(ar__st_doubles(st, &out, NULL, (int64_t)T * HD));
    AR_TRY(ar__st_doubles(st, &turned, NULL, KD));
    ref_rope(q_turned, dq, freq, n->B, n->H, 1, n->D, n->pairs, n->pos, 1);
    for (int32_t b = 0; b < n->B; b++) {
        double *keys = &dk[(int64_t)b * T * KD], *newest = &keys[(int64_t)n->pos * KD];
        ref_rope(turned, newest, freq, 1, n->K, 1, n->D, n->pairs, n->pos, 1);
        for (int32_t i = 0; i < KD; i++) newest[i] = turned[i];
        for (int32_t i = 0; i < HD; i++) all[(int64_t)n->pos * HD + i] = q_turned[b * HD + i];
        ref_attention(out, all, keys, &dv[(int64_t)b * T * KD], 1, T, n->H, n->K, n->D);
        for (int32_t i = 0; i < HD; i++) y[b * HD + i] = out[(int64_t)n->pos * HD + i];
    }
    return AR_OK;
}

/* p: B, C, H, K, D, pos, pairs (0 = D/2). */
ar_status ar__st_generate(ar__st *st, const int32_t *p) {
    sizes n = {p[0], p[1], p[2], p[3], p[4], p[5], p[6] ? p[6] : p[4] / 2};
    int32_t T = n.pos + 1, HD = n.H * n.D, KD = n.K * n.D;
    float *q = NULL, *k = NULL, *v = NULL, *freq = NULL;
    double *want = NULL, *turned = NULL;
    ar_tensor *tq = NULL, *tk = NULL, *tv = NULL, *kc = NULL, *vc = NULL, *tf = NULL, *pos = NULL;
    ar_tensor *rq = NULL, *rk = NULL, *y = NULL;
    AR_TRY(ar__st_normal(st, &q, (int64_t)n.B * HD, 1.0f));
    AR_TRY(ar__st_normal(st, &k, (int64_t)n.B * T * KD, 1.0f));
    AR_TRY(ar__st_normal(st, &v, (int64_t)n.B * T * KD, 1.0f));
    AR_TRY(ar__st_array(st, (void **)&freq, n.pairs, sizeof *freq));
    freq[0] = 1.0f;
    for (int32_t i = 1; i < n.pairs; i++) freq[i] = freq[i - 1] * 0.75f;
    AR_TRY(ar__st_doubles(st, &want, NULL, (int64_t)n.B * HD));
    AR_TRY(ar__st_doubles(st, &turned, NULL, (int64_t)n.B * HD));
    AR_TRY(reference(st, want, turned, &n, q, k, v, freq));
    AR_TRY(ar__st_tensor(st, &tq, AR_F32, n.B, HD, q));
    AR_TRY(newest_rows(st, &tk, &n, k));
    AR_TRY(newest_rows(st, &tv, &n, v));
    AR_TRY(make_cache(st, &kc, &n, k));
    AR_TRY(make_cache(st, &vc, &n, v));
    AR_TRY(ar__st_tensor(st, &tf, AR_F32, n.pairs, 0, freq));
    AR_TRY(ar__st_tensor(st, &pos, AR_I32, 1, 0, &n.pos));
    AR_TRY(ar_op_rope_at(st->g, &rq, tq, tf, pos, n.D, n.C));
    AR_TRY(ar_op_rope_at(st->g, &rk, tk, tf, pos, n.D, n.C));
    AR_TRY(ar_op_cache_append(st->g, kc, rk, pos));
    AR_TRY(ar_op_cache_append(st->g, vc, tv, pos));
    AR_TRY(ar_op_attention_cached(st->g, &y, rq, kc, vc, pos, n.D));
    ar_graph_keep(st->g, rq);
    ar_graph_keep(st->g, y);
    AR_TRY(ar__st_run(st));
    AR_TRY(ar__st_compare(st, "rope_at", rq, turned));
    return ar__st_compare(st, "attention_cached", y, want);
}
