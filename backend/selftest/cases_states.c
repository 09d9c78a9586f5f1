/* Cases of the ops of nets of few states, against ref_states.c. */
#include "selftest.h"
#include "ref_states.h"
#include <math.h>

#define MOMENTUM 0.25f

/* Statistics that are given, or were there before the batch. */
static ar_status running(ar__st *st, ar_tensor **t, double **copy, ar_stats stats, int32_t C) {
    int32_t rows = stats == AR_STATS_BATCH ? C : 1;
    float *values = NULL;
    if (stats == AR_STATS_LAYER) return AR_OK;
    AR_TRY(ar__st_normal(st, &values, 2 * rows, 0.5f));
    for (int32_t i = 0; i < rows; i++) values[2 * i + 1] = 0.5f + fabsf(values[2 * i + 1]);
    AR_TRY(ar__st_doubles(st, copy, values, 2 * rows));
    return ar__st_tensor(st, t, AR_F32, rows, 2, values);
}

static ar_status compare_running(ar__st *st, const ar_tensor *t, double *was, const double *x, int32_t C,
                                 const ref_norm *n) {
    for (int32_t c = 0; c < (n->stats == AR_STATS_BATCH ? C : 1); c++) {
        double s[2];
        ref_spread_stats(&s[0], &s[1], x, 0, c, n);
        for (int k = 0; k < 2; k++) was[2 * c + k] += (double)MOMENTUM * (s[k] - was[2 * c + k]);
    }
    return ar__st_compare(st, "lbn_running", t, was);
}

/* p: images, places, channels, ar_stats, whether it trains. */
ar_status ar__st_spread_norm(ar__st *st, const int32_t *p) {
    int64_t count = (int64_t)p[0] * p[1] * p[2];
    ar_stats stats = (ar_stats)p[3];
    bool learns = p[4] && stats != AR_STATS_LAYER && stats != AR_STATS_FIXED;
    double *x = NULL, *gamma = NULL, *beta = NULL, *was = NULL, *y_ref = NULL, *dy = NULL, *dx = NULL,
           *dgamma = NULL, *dbeta = NULL;
    ar_tensor *tx = NULL, *tgamma = NULL, *tbeta = NULL, *run = NULL, *y = NULL, *loss = NULL;
    AR_TRY(ar__st_leaf(st, &tx, &x, (int64_t)p[0] * p[1], p[2], 1.0f));
    AR_TRY(ar__st_leaf(st, &tgamma, &gamma, p[2], 0, 1.0f));
    AR_TRY(ar__st_leaf(st, &tbeta, &beta, p[2], 0, 1.0f));
    AR_TRY(running(st, &run, &was, stats, p[2]));
    AR_TRY(ar__st_doubles(st, &y_ref, NULL, count));
    AR_TRY(ar__st_doubles(st, &dx, NULL, count));
    AR_TRY(ar__st_doubles(st, &dgamma, NULL, p[2]));
    AR_TRY(ar__st_doubles(st, &dbeta, NULL, p[2]));
    ar_spread_norm n = {.stats = stats,
                        .places = p[1],
                        .eps = 0.01f,
                        .momentum = MOMENTUM,
                        .running = run,
                        .is_training = p[4]};
    ref_norm r = {p[0], p[1], p[2], stats, (double)n.eps, learns ? NULL : was};
    ref_spread_norm(y_ref, x, gamma, beta, &r);
    AR_TRY(ar_op_spread_norm(st->g, &y, tx, tgamma, tbeta, &n));
    ar_graph_keep(st->g, y);
    AR_TRY(ar__st_loss(st, &loss, &dy, y, y_ref));
    ref_spread_norm_grad(dx, dgamma, dbeta, dy, x, gamma, &r);
    AR_TRY(ar_graph_backward(st->g, loss));
    ar_tensor *grads[] = {ar_tensor_grad(tx), ar_tensor_grad(tgamma), ar_tensor_grad(tbeta)};
    for (int i = 0; i < 3; i++) ar_graph_keep(st->g, grads[i]);
    AR_TRY(ar__st_run(st));
    AR_TRY(ar__st_compare(st, learns || stats == AR_STATS_LAYER ? "lbn_apply" : "lbn_affine", y, y_ref));
    AR_TRY(ar__st_compare(st, "lbn_dx", grads[0], dx));
    AR_TRY(ar__st_compare(st, "lbn_affine_grad", grads[1], dgamma));
    AR_TRY(ar__st_compare(st, "lbn_affine_grad", grads[2], dbeta));
    return learns ? compare_running(st, run, was, x, p[2], &r) : AR_OK;
}

/* Moves weights whose code hangs on the last bits of u, until there are none. */
static void decide(float *W, double *wide, double *y, double *u, int32_t O, int32_t I,
                   const ar_state_weight *s) {
    for (int again = 1, round = 0; again && round < 100; round++) {
        again = 0;
        for (int64_t i = 0; i < (int64_t)O * I; i++) wide[i] = (double)W[i];
        ref_state_weight(y, u, wide, O, I, s);
        for (int64_t i = 0; i < (int64_t)O * I; i++) {
            double at = (double)s->gain * u[i], whole = s->M == 2 ? 0 : floor(at) + 0.5;
            double edge = fabs(at - rint(at));
            if (fabs(at - whole) > 1e-4 && edge > 1e-4) continue;
            W[i] += 0.003f;
            again = 1;
        }
    }
}

/* p: rows, columns, states, whether standardized, whether gradients end at the clip. */
ar_status ar__st_state_weight(ar__st *st, const int32_t *p) {
    int64_t count = (int64_t)p[0] * p[1];
    ar_state_weight s = {
        .M = p[2], .gain = p[2] ? (float)p[2] / 4 : 1, .standardize = p[3], .plain = 1.5f, .inside = p[4]};
    float *W = NULL;
    double *wide = NULL, *u = NULL, *y_ref = NULL, *dy = NULL, *dW = NULL;
    ar_tensor *tW = NULL, *y = NULL, *loss = NULL;
    AR_TRY(ar__st_normal(st, &W, count, 0.5f));
    AR_TRY(ar__st_doubles(st, &wide, W, count));
    AR_TRY(ar__st_doubles(st, &u, NULL, count));
    AR_TRY(ar__st_doubles(st, &y_ref, NULL, count));
    AR_TRY(ar__st_doubles(st, &dW, NULL, count));
    if (p[1] > 1) decide(W, wide, y_ref, u, p[0], p[1], &s);
    ref_state_weight(y_ref, u, wide, p[0], p[1], &s);
    AR_TRY(ar__st_tensor(st, &tW, AR_F32, p[0], p[1], W));
    ar_tensor_set_needs_grad(tW, true);
    AR_TRY(ar_op_state_weight(st->g, &y, tW, &s));
    ar_graph_keep(st->g, y);
    AR_TRY(ar__st_loss(st, &loss, &dy, y, y_ref));
    ref_state_weight_grad(dW, dy, wide, p[0], p[1], &s);
    AR_TRY(ar_graph_backward(st->g, loss));
    ar_graph_keep(st->g, ar_tensor_grad(tW));
    AR_TRY(ar__st_run(st));
    AR_TRY(ar__st_compare(st, "state_weight", y, y_ref));
    return ar__st_compare(st, "state_weight_grad", ar_tensor_grad(tW), dW);
}

/* p: rows, columns, states, margin in tenths of a code. */
ar_status ar__st_state_round(ar__st *st, const int32_t *p) {
    int64_t count = (int64_t)p[0] * p[1];
    ar_state_round s = {.M = p[2], .gain = 1.3f, .margin = (float)p[3] / 10};
    double *x = NULL, *y_ref = NULL, *dy = NULL, *dx = NULL;
    ar_tensor *tx = NULL, *y = NULL, *loss = NULL;
    AR_TRY(ar__st_leaf(st, &tx, &x, p[0], p[1], 3.0f));
    AR_TRY(ar__st_doubles(st, &y_ref, NULL, count));
    AR_TRY(ar__st_doubles(st, &dx, NULL, count));
    for (int64_t i = 0; i < count; i++) {
        float at = s.gain * (float)x[i];
        y_ref[i] = s.M ? fmin(s.M - 1, fmax(0, rint((double)at))) : fmax(0, (double)at);
    }
    AR_TRY(ar_op_state_round(st->g, &y, tx, &s));
    ar_graph_keep(st->g, y);
    AR_TRY(ar__st_loss(st, &loss, &dy, y, y_ref));
    for (int64_t i = 0; i < count; i++) {
        float at = s.gain * (float)x[i], low = s.M ? -s.margin : 0, high = (float)(s.M - 1) + s.margin;
        dx[i] = at >= low && (!s.M || at <= high) ? (double)s.gain * dy[i] : 0;
    }
    AR_TRY(ar_graph_backward(st->g, loss));
    ar_graph_keep(st->g, ar_tensor_grad(tx));
    AR_TRY(ar__st_run(st));
    AR_TRY(ar__st_compare(st, "state_round", y, y_ref));
    return ar__st_compare(st, "state_round_grad", ar_tensor_grad(tx), dx);
}

/* Words of four numbers each. */
static ar_status pack(ar__st *st, int32_t **packed, const int32_t *codes, int64_t rows, int32_t count) {
    int32_t each = (count + 3) / 4;
    AR_TRY(ar__st_array(st, (void **)packed, rows * each, sizeof **packed));
    for (int64_t r = 0; r < rows; r++)
        for (int32_t i = 0; i < count; i++)
            (*packed)[r * each + i / 4] |=
                (int32_t)(((uint32_t)codes[r * count + i] & 255u) << (uint32_t)(i % 4 * 8));
    return AR_OK;
}

/* z of output o at a place; x (B, H, W, C), w (O, K, K, C). */
static int32_t sum_of(const int32_t *x, const int32_t *w, const ar_states_shape *s, int64_t at, int32_t o) {
    int32_t z = 0, h = (int32_t)(at / s->W % s->H), left = (int32_t)(at % s->W);
    for (int32_t k = 0; k < s->K * s->K; k++)
        for (int32_t c = 0; c < s->C; c++) {
            int32_t y = h + k / s->K - s->K / 2, v = left + k % s->K - s->K / 2;
            if (y < 0 || v < 0 || y >= s->H || v >= s->W) continue;
            z += x[((at / s->W / s->H * s->H + y) * s->W + v) * s->C + c] *
                 w[(o * s->K * s->K + k) * s->C + c];
        }
    return z;
}

/* What the three ops give. */
typedef struct numbers {
    int32_t *x, *w, *edges, *turned, *codes, *pooled;
    double *scores;
    float *fold;
} numbers;

static void expect(numbers *n, const ar_states_shape *s) {
    int64_t places = s->images * s->H * s->W;
    for (int64_t at = 0; at < places; at++)
        for (int32_t o = 0; o < s->O; o++) {
            int32_t z = sum_of(n->x, n->w, s, at, o), code = 0;
            for (int32_t t = 0; t < s->M - 1; t++) {
                int32_t edge = n->edges[o * (s->M - 1) + t];
                code += n->turned[o] ? z <= edge : z >= edge;
            }
            n->codes[at * s->O + o] = code;
            n->scores[at * s->O + o] = (double)n->fold[2 * o] * z + (double)n->fold[2 * o + 1];
        }
    for (int64_t at = 0; at < s->images * (s->H / 2) * (s->W / 2); at++)
        for (int32_t o = 0; o < s->O; o++) {
            int64_t b = at / (s->W / 2) / (s->H / 2);
            int32_t h = (int32_t)(at / (s->W / 2) % (s->H / 2)), w = (int32_t)(at % (s->W / 2)), most = 0;
            for (int32_t k = 0; k < 4; k++) {
                int32_t code = n->codes[((b * s->H + 2 * h + k / 2) * s->W + 2 * w + k % 2) * s->O + o];
                if (code > most) most = code;
            }
            n->pooled[at * s->O + o] = most;
        }
}

static ar_status draw_numbers(ar__st *st, numbers *n, const ar_states_shape *s) {
    int64_t places = s->images * s->H * s->W, weights = (int64_t)s->O * s->K * s->K * s->C;
    AR_TRY(ar__st_integers(st, &n->x, places * s->C, 0, 255));
    AR_TRY(ar__st_integers(st, &n->w, weights, -128, 127));
    AR_TRY(ar__st_integers(st, &n->turned, s->O, 0, 1));
    AR_TRY(ar__st_integers(st, &n->edges, (int64_t)s->O * (s->M - 1), -40000, 40000));
    for (int32_t o = 0; o < s->O; o++) /* any edges count alike; sorted as they are in nets */
        for (int32_t t = 1; t < s->M - 1; t++)
            for (int32_t k = t; k > 0 && n->edges[o * (s->M - 1) + k] < n->edges[o * (s->M - 1) + k - 1];
                 k--) {
                int32_t last = n->edges[o * (s->M - 1) + k];
                n->edges[o * (s->M - 1) + k] = n->edges[o * (s->M - 1) + k - 1];
                n->edges[o * (s->M - 1) + k - 1] = last;
            }
    AR_TRY(ar__st_normal(st, &n->fold, 2 * s->O, 0.1f));
    AR_TRY(ar__st_array(st, (void **)&n->codes, places * s->O, sizeof *n->codes));
    AR_TRY(ar__st_array(st, (void **)&n->pooled, places * s->O, sizeof *n->pooled));
    AR_TRY(ar__st_doubles(st, &n->scores, NULL, places * s->O));
    expect(n, s);
    return AR_OK;
}

/* p: images, height, width, channels, window, outputs, states. */
ar_status ar__st_states_int(ar__st *st, const int32_t *p) {
    const ar_states_shape s = {p[0], p[1], p[2], p[3], p[4], p[5], p[6]};
    ar_states_shape given = {.images = p[0], .H = p[1], .W = p[2], .C = p[5], .K = 1, .O = 1};
    int64_t places = s.images * s.H * s.W, halves = s.images * (s.H / 2) * (s.W / 2);
    numbers n;
    int32_t *packed = NULL;
    ar_tensor *x = NULL, *w = NULL, *edges = NULL, *turned = NULL, *fold = NULL, *codes = NULL,
              *pooled = NULL, *scores = NULL;
    AR_TRY(draw_numbers(st, &n, &s));
    AR_TRY(pack(st, &packed, n.x, places, s.C));
    AR_TRY(ar__st_tensor(st, &x, AR_I32, places, (s.C + 3) / 4, packed));
    AR_TRY(pack(st, &packed, n.w, (int64_t)s.O * s.K * s.K, s.C));
    AR_TRY(ar__st_tensor(st, &w, AR_I32, s.O, (int64_t)s.K * s.K * ((s.C + 3) / 4), packed));
    AR_TRY(ar__st_tensor(st, &edges, AR_I32, s.O, s.M - 1, n.edges));
    AR_TRY(ar__st_tensor(st, &turned, AR_I32, s.O, 0, n.turned));
    AR_TRY(ar__st_tensor(st, &fold, AR_F32, s.O, 2, n.fold));
    AR_TRY(ar_op_states_codes(st->g, &codes, x, w, edges, turned, &s));
    AR_TRY(ar_op_states_scores(st->g, &scores, x, w, fold, &s));
    if (halves) AR_TRY(ar_op_states_pool(st->g, &pooled, codes, &given));
    ar_graph_keep(st->g, codes);
    ar_graph_keep(st->g, scores);
    if (pooled) ar_graph_keep(st->g, pooled);
    AR_TRY(ar__st_run(st));
    AR_TRY(pack(st, &packed, n.codes, places, s.O));
    AR_TRY(ar__st_exact(st, "states_codes", codes, packed));
    AR_TRY(ar__st_compare(st, "states_scores", scores, n.scores));
    if (!pooled) return AR_OK;
    AR_TRY(pack(st, &packed, n.pooled, halves, s.O));
    return ar__st_exact(st, "states_pool", pooled, packed);
}
