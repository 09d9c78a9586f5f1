/* Cases of searched grids and soft codes. */
#include "ref_fakequant.h"
#include "ref_soft.h"
#include "selftest.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static ar_scheme scheme_of(const int32_t *p) {
    if (p[0] > 0) return (ar_scheme){p[0], p[4], (ar_zero_kind)p[1], 0, AR_SUPER_NONE};
    return ar_scheme_super((ar_super)p[1]);
}

static ar_status grids(ar__st *st, ar_tensor **t, float **values, int64_t O, int64_t groups, int32_t each) {
    AR_TRY(ar__st_normal(st, values, O * groups * each, 1.0f));
    AR_TRY(ar_tensor_create(t, st->device, AR_F32, 3, (const int64_t[]){O, groups, each}));
    st->tensors[st->tensor_count++] = *t;
    return ar_tensor_write(*t, *values, 0, O * groups * each);
}

/* p: bits, zero kind, O, I, group, weighted. The found grid's error over the smallest there is. */
ar_status ar__st_group_search(ar__st *st, const int32_t *p) {
    ar_scheme scheme = scheme_of(p);
    int64_t O = p[2], I = p[3], groups = ar_scheme_groups(&scheme, I), G = groups == 1 ? I : p[4];
    float *w = NULL, *h = NULL, *found = NULL;
    ar_tensor *W = NULL, *H = NULL, *grid = NULL;
    AR_TRY(ar__st_normal(st, &w, O * I, 1.0f));
    AR_TRY(ar__st_normal(st, &h, I, 1.0f));
    for (int64_t i = 0; i < I; i++) h[i] = h[i] * h[i] + 0.01f;
    for (int64_t i = 0; i < G; i++) w[i] = 0.0f; /* a dead group */
    AR_TRY(ar__st_tensor(st, &W, AR_F32, O, I, w));
    AR_TRY(ar__st_tensor(st, &H, AR_F32, I, 0, h));
    AR_TRY(grids(st, &grid, &found, O, groups, 2));
    AR_TRY(ar_op_group_search(st->g, grid, W, p[5] ? H : NULL, &scheme));
    AR_TRY(ar__st_run(st));
    AR_TRY(ar_tensor_read(grid, found, 0, O * groups * 2));
    double worst = 0, Q = (double)(1 << scheme.bits) - 1;
    for (int64_t g = 0; g < O * groups; g++) {
        int64_t from = g % groups * G, n = from + G < I ? G : I - from;
        const float *at = w + g / groups * I + from, *weights = p[5] ? h + from : NULL;
        double best = ref_search(at, weights, n, p[1], Q, scheme.zero_min),
               here = ref_grid_error(at, weights, n, (double)found[2 * g], (double)found[2 * g + 1], Q);
        worst = fmax(worst, here - best > 1e-12 ? here / best - 1.0 : 0.0);
    }
    ar__st_report(st, "group_search", worst, st->bound, "of the smallest error");
    return AR_OK;
}

/* p: 0, double-quantized structure, O, I. */
ar_status ar__st_super_grid(ar__st *st, const int32_t *p) {
    ar_scheme scheme = scheme_of(p);
    int64_t O = p[2], groups = ar_scheme_groups(&scheme, p[3]);
    float *start = NULL, *unused = NULL;
    double *want = NULL;
    ar_tensor *tstart = NULL, *grid = NULL;
    AR_TRY(grids(st, &tstart, &start, O, groups, 4));
    AR_TRY(grids(st, &grid, &unused, O, groups, 2));
    AR_TRY(ar__st_doubles(st, &want, unused, O * groups * 2));
    for (int64_t i = 0; i < O * groups; i++) {
        double d = (double)start[4 * i], sc = (double)start[4 * i + 2];
        want[2 * i] = d * sc;
        want[2 * i + 1] = scheme.zero == AR_ZERO_F16MIN ? (double)start[4 * i + 1] * (double)start[4 * i + 3]
                                                        : d * sc * (1 << (scheme.bits - 1));
    }
    AR_TRY(ar_op_super_grid(st->g, grid, tstart, &scheme));
    AR_TRY(ar__st_run(st));
    return ar__st_compare(st, "super_grid", grid, want);
}

/* p: bits, zero kind, O, I, group, form. */
ar_status ar__st_soft_start(ar__st *st, const int32_t *p) {
    ar_soft_form form = (ar_soft_form)p[5];
    ar_scheme scheme = scheme_of(p);
    int64_t O = p[2], I = p[3], groups = ar_scheme_groups(&scheme, I), G = groups == 1 ? I : p[4];
    float *s = NULL;
    double *w = NULL, *want = NULL, Q = (double)(1 << scheme.bits) - 1;
    ar_tensor *W = NULL, *grid = NULL, *u = NULL;
    AR_TRY(ar__st_leaf(st, &W, &w, O, I, 1.0f));
    AR_TRY(ar__st_leaf(st, &u, &want, O, I, 1.0f));
    AR_TRY(grids(st, &grid, &s, O, groups, 2));
    for (int64_t i = 0; i < O * groups; i++) s[2 * i] += s[2 * i] < 0.0f ? -0.1f : 0.1f; /* parts of f32 */
    AR_TRY(ar_tensor_write(grid, s, 0, O * groups * 2));
    for (int64_t i = 0; i < O * I; i++) {
        const float *at = s + 2 * (i / I * groups + i % I / G);
        double place = (w[i] + (double)at[1]) / (double)at[0], f = floor(place);
        want[i] = form == AR_SOFT_NEAR
                      ? fmin(fmax(place, -1), Q + 1)
                      : fmin(fmax(f, -1), Q) + (fmin(fmax(place - f, 0.001), 0.999) + 0.1) / 1.2;
    }
    AR_TRY(ar_op_soft_start(st->g, u, W, grid, &scheme, form));
    AR_TRY(ar__st_run(st));
    return ar__st_compare(st, form == AR_SOFT_TWO ? "frozen_start" : "soft_start", u, want);
}

typedef struct soft_case {
    ar_soft soft;
    ref_soft ref;
    float *d;
    ar_tensor *momentum, *D;
} soft_case;

static ar_status squares(ar__st *st, ar_tensor **t, double **values, int64_t O, int64_t I) {
    float *as_floats = NULL;
    AR_TRY(ar__st_normal(st, &as_floats, O * I, 1.0f));
    for (int64_t i = 0; i < O * I; i++) as_floats[i] *= as_floats[i];
    AR_TRY(ar__st_tensor(st, t, AR_F32, O, I, as_floats));
    return ar__st_doubles(st, values, as_floats, O * I);
}

/* Places on the grid, beside it and decided ones; factors near 1. */
static ar_status make_soft(ar__st *st, soft_case *c, const int32_t *p, float *rates, int32_t T,
                           ar_soft_form form) {
    const ar_scheme scheme = scheme_of(p);
    bool super = scheme.super != AR_SUPER_NONE;
    int64_t O = p[2], I = p[3], groups = ar_scheme_groups(&scheme, I);
    int32_t per = super ? AR_SUPER_BLOCK / scheme.group : 1, last = (1 << scheme.bits) - 1,
            each = form == AR_SOFT_TWO ? 8 : 4;
    ar_tensor *square = NULL;
    float *u = NULL, *ab = NULL, *grid = NULL;
    ar_tensor *factors = NULL, *tgrid = NULL, *tu = NULL, *trates = NULL, *step = NULL;
    AR_TRY(ar__st_normal(st, &u, O * I, 1.0f));
    for (int64_t i = 0; i < O * I; i++) {
        u[i] = fminf(fmaxf((float)last * (0.5f + 0.4f * u[i]), -1.0f), (float)last + 1.0f);
        if (form == AR_SOFT_TWO) u[i] = floorf(u[i]) + fmaxf(u[i] - floorf(u[i]), 0.02f) * 0.97f;
        if (i % 7 == 0) u[i] = 512.0f + (float)(i / 7 % (last + 1));
    }
    AR_TRY(ar__st_tensor(st, &tu, AR_F32, O, I, u));
    AR_TRY(grids(st, &tgrid, &grid, O, groups, 2));
    AR_TRY(grids(st, &factors, &ab, O, groups / per, each));
    for (int64_t i = 0; i < O * groups / per * each; i++)
        ab[i] = i % each < 2   ? 1.0f + 0.1f * ab[i]
                : i % each > 5 ? 0.0f
                : i % each > 3 ? ab[i] * ab[i]
                               : ab[i];
    AR_TRY(ar_tensor_write(factors, ab, 0, O * groups / per * each));
    AR_TRY(ar__st_tensor(st, &trates, AR_F32, T + 1, 4, rates));
    AR_TRY(ar__st_tensor(st, &step, AR_I32, 1, 0, NULL));
    AR_TRY(ar__st_leaf(st, &c->momentum, &c->ref.momentum, O, I, 1.0f));
    AR_TRY(ar__st_normal(st, &c->d, O * I, 1.0f));
    AR_TRY(ar__st_tensor(st, &c->D, AR_F32, O, I, c->d));
    if (form == AR_SOFT_TWO) AR_TRY(squares(st, &square, &c->ref.square, O, I));
    c->soft = (ar_soft){scheme, tu, tgrid, factors, trates, step, form, square};
    c->ref = (ref_soft){.O = O,
                        .I = I,
                        .G = groups == 1 ? I : scheme.group,
                        .per_unit = per,
                        .Q = last,
                        .tied = scheme.zero != AR_ZERO_F16MIN,
                        .grid = grid,
                        .momentum = c->ref.momentum,
                        .square = c->ref.square};
    AR_TRY(ar__st_doubles(st, &c->ref.u, u, O * I));
    return ar__st_doubles(st, &c->ref.ab, ab, O * groups / per * each);
}

/* p: bits (0 = double-quantized), zero kind or structure, O, I, group. Three steps around the first
 * decisions; forwards, soft and hard, before the last of them. */
ar_status ar__st_soft(ar__st *st, const int32_t *p) {
    enum { T = 20 };
    float rates[4 * (T + 1)];
    soft_case c = {.d = NULL};
    double *want = NULL, *want_hard = NULL;
    ar_tensor *Wq = NULL, *hard = NULL;
    ar_soft_rates(rates, T, 1.0f, 0.1f);
    AR_TRY(make_soft(st, &c, p, rates, T, AR_SOFT_NEAR));
    AR_TRY(ar__st_doubles(st, &want, NULL, c.ref.O * c.ref.I));
    AR_TRY(ar__st_doubles(st, &want_hard, NULL, c.ref.O * c.ref.I));
    AR_TRY(ar_op_soft_quant(st->g, &Wq, &c.soft, false));
    AR_TRY(ar_op_soft_quant(st->g, &hard, &c.soft, true));
    ar_graph_keep(st->g, Wq);
    ar_graph_keep(st->g, hard);
    AR_TRY(ar_op_soft_step(st->g, &c.soft, c.momentum, c.D));
    AR_TRY(ar_graph_build(st->g));
    for (int32_t t = T / 2 - 1; t <= T / 2 + 1; t++) {
        AR_TRY(ar_tensor_write((ar_tensor *)c.soft.step, &t, 0, 1));
        AR_TRY(ar_graph_run(st->g));
        c.ref.rates = rates + 4 * t;
        ref_soft_forward(want, &c.ref, 0);
        ref_soft_forward(want_hard, &c.ref, 1);
        ref_soft_step(&c.ref, c.d);
    }
    AR_TRY(ar_device_wait(st->device));
    const char *any = c.ref.I % 4 ? "_any" : "";
    char forward[32], step[32];
    snprintf(forward, sizeof forward, "soft_forward%s", any);
    snprintf(step, sizeof step, "soft_step%s", any);
    AR_TRY(ar__st_compare(st, forward, Wq, want));
    AR_TRY(ar__st_compare(st, forward, hard, want_hard));
    AR_TRY(ar__st_compare(st, step, c.soft.u, c.ref.u));
    AR_TRY(ar__st_compare(st, step, c.momentum, c.ref.momentum));
    return ar__st_compare(st, step, c.soft.ab, c.ref.ab);
}

/* The same of codes between two: three steps, then decisions. */
ar_status ar__st_frozen(ar__st *st, const int32_t *p) {
    enum { T = 20 };
    float rates[4 * (T + 1)], room = 0.35f;
    soft_case c = {.d = NULL};
    double *want = NULL, *want_hard = NULL;
    ar_tensor *Wq = NULL, *hard = NULL, *at = NULL, *taken = NULL;
    ar_frozen_rates(rates, T, 2.0f, 1.0f);
    AR_TRY(make_soft(st, &c, p, rates, T, AR_SOFT_TWO));
    AR_TRY(ar__st_tensor(st, &at, AR_F32, 1, 0, &room));
    AR_TRY(ar__st_leaf(st, &taken, &want, c.ref.O, c.ref.I, 1.0f));
    AR_TRY(ar__st_doubles(st, &want_hard, NULL, c.ref.O * c.ref.I));
    AR_TRY(ar_op_soft_quant(st->g, &Wq, &c.soft, false));
    AR_TRY(ar_op_soft_quant(st->g, &hard, &c.soft, true));
    ar_graph_keep(st->g, Wq);
    ar_graph_keep(st->g, hard);
    AR_TRY(ar_op_frozen_step(st->g, &c.soft, c.momentum, c.D));
    AR_TRY(ar_op_copy(st->g, taken, c.soft.u));
    AR_TRY(ar_op_frozen_decide(st->g, taken, at, &c.soft.scheme));
    AR_TRY(ar_graph_build(st->g));
    for (int32_t t = 0; t < 3; t++) {
        AR_TRY(ar_tensor_write((ar_tensor *)c.soft.step, &t, 0, 1));
        AR_TRY(ar_graph_run(st->g));
        c.ref.rates = rates + 4 * t;
        ref_frozen_forward(want, &c.ref, 0);
        ref_frozen_forward(want_hard, &c.ref, 1);
        ref_frozen_step(&c.ref, c.d);
    }
    AR_TRY(ar_device_wait(st->device));
    const char *any = c.ref.I % 4 ? "_any" : "";
    char forward[32], step[32];
    snprintf(forward, sizeof forward, "frozen_forward%s", any);
    snprintf(step, sizeof step, "frozen_step%s", any);
    AR_TRY(ar__st_compare(st, forward, Wq, want));
    AR_TRY(ar__st_compare(st, forward, hard, want_hard));
    AR_TRY(ar__st_compare(st, step, c.soft.u, c.ref.u));
    AR_TRY(ar__st_compare(st, step, c.soft.square, c.ref.square));
    AR_TRY(ar__st_compare(st, step, c.soft.ab, c.ref.ab));
    ref_frozen_decide(&c.ref, (double)room);
    return ar__st_compare(st, "frozen_decide", taken, c.ref.u);
}

/* ---- codes that stay ---- */

/* p: bits (0 = double-quantized), zero kind or structure, O, I, group. The gradient is told twice. */
ar_status ar__st_scales(ar__st *st, const int32_t *p) {
    const ar_scheme scheme = scheme_of(p);
    int64_t O = p[2], I = p[3], groups = ar_scheme_groups(&scheme, I), words = (I + 3) / 4;
    int64_t per = scheme.super != AR_SUPER_NONE ? AR_SUPER_BLOCK / scheme.group : 1,
            G = groups == 1 ? I : scheme.group, units = groups / per;
    float *grid = NULL, *ab = NULL, *zero = NULL, *d = NULL;
    int32_t *codes = NULL;
    uint8_t *bytes = NULL;
    double *want = NULL, *grad = NULL;
    ar_tensor *tc = NULL, *tg = NULL, *tab = NULL, *tz = NULL, *td = NULL, *Wq = NULL;
    AR_TRY(grids(st, &tg, &grid, O, groups, 2));
    AR_TRY(grids(st, &tab, &ab, O, units, 2));
    AR_TRY(grids(st, &tz, &zero, O, units, 2));
    AR_TRY(ar__st_integers(st, &codes, (int32_t)(O * words), 0, 0x3fffffff));
    AR_TRY(ar__st_normal(st, &d, O * I, 1.0f));
    bytes = (uint8_t *)codes;
    for (int64_t i = 0; i < O * words * 4; i++) bytes[i] &= (uint8_t)((1 << scheme.bits) - 1);
    memset(zero, 0, (size_t)(O * units * 2) * sizeof *zero);
    AR_TRY(ar_tensor_write(tz, zero, 0, O * units * 2));
    AR_TRY(ar__st_tensor(st, &tc, AR_I32, O, words, codes));
    AR_TRY(ar__st_tensor(st, &td, AR_F32, O, I, d));
    AR_TRY(ar__st_doubles(st, &want, NULL, O * I));
    AR_TRY(ar__st_doubles(st, &grad, NULL, O * units * 2));
    for (int64_t o = 0; o < O; o++)
        for (int64_t k = 0; k < I; k++) {
            int64_t g = o * groups + k / G, u = o * units + k / G / per;
            bool tied = scheme.zero != AR_ZERO_F16MIN;
            double S = (double)grid[2 * g], M = (double)grid[2 * g + 1], c = bytes[o * words * 4 + k],
                   by = 2 * (double)d[o * I + k];
            want[o * I + k] = (double)ab[2 * u] * S * c - (double)ab[2 * u + !tied] * M;
            grad[2 * u] += by * (S * c - (tied ? M : 0));
            grad[2 * u + 1] -= tied ? 0 : by * M;
        }
    const ar_coded w = {&scheme, tc, tg, tab, I};
    AR_TRY(ar_op_scale_quant(st->g, &Wq, &w, false));
    ar_graph_keep(st->g, Wq);
    AR_TRY(ar_op_scale_grad(st->g, tz, &w, td));
    AR_TRY(ar_op_scale_grad(st->g, tz, &w, td));
    AR_TRY(ar__st_run(st));
    AR_TRY(ar__st_compare(st, "scale_forward", Wq, want));
    return ar__st_compare(st, "scale_grad", tz, grad);
}
