/* Cases of quantized activations and integer products. */
#include "ref_acts.h"
#include "selftest.h"
#include <math.h>
#include <string.h>

/* Values with a few far ones, a row of zeros and one without negative values. */
static ar_status make_values(ar__st *st, float **x, int64_t N, int64_t I) {
    AR_TRY(ar__st_normal(st, x, N * I, 1.0f));
    for (int64_t i = 0; i < N * I; i++) {
        if (ar__st_random(st) % 61 == 0) (*x)[i] *= 30.0f;
        if (i / I == 1) (*x)[i] = 0.0f;
        if (i / I == 2 && (*x)[i] < 0.0f) (*x)[i] = -(*x)[i];
    }
    return AR_OK;
}

/* Grids as the reference has them, one for each row or one for all: of the values or, static, of less. */
static ar_status make_grids(ar__st *st, float **grid, const float *x, const ar_acts_scheme *s, int64_t N,
                            int64_t I) {
    AR_TRY(ar__st_array(st, (void **)grid, s->range == AR_ACTS_TOKEN ? N * 2 : 2, sizeof **grid));
    for (int64_t n = 0; s->range == AR_ACTS_TOKEN && n < N; n++)
        ref_acts_grid(*grid + 2 * n, x + n * I, I, s->bits, s->asym);
    if (s->range == AR_ACTS_TENSOR) ref_acts_grid(*grid, x, N * I, s->bits, s->asym);
    if (s->range == AR_ACTS_STATIC) ref_acts_grid(*grid, (float[]){-2.5f, 1.5f}, 2, s->bits, s->asym);
    return AR_OK;
}

typedef struct expected {
    float *x, *grid;
    double *grids, *y, *dx;
    uint32_t *codes;
} expected;

static ar_status expect(ar__st *st, expected *e, const ar_acts_scheme *s, int64_t N, int64_t I) {
    int64_t words = (I + 3) / 4;
    AR_TRY(make_values(st, &e->x, N, I));
    AR_TRY(make_grids(st, &e->grid, e->x, s, N, I));
    AR_TRY(ar__st_doubles(st, &e->grids, e->grid, s->range == AR_ACTS_TOKEN ? N * 2 : 2));
    AR_TRY(ar__st_doubles(st, &e->y, NULL, N * I));
    AR_TRY(ar__st_array(st, (void **)&e->codes, N * words, sizeof *e->codes));
    for (int64_t n = 0; n < N; n++) {
        const float *grid = e->grid + (s->range == AR_ACTS_TOKEN ? 2 * n : 0);
        for (int64_t i = 0; i < words * 4; i++) {
            int32_t q = i < I ? ref_acts_code(e->x[n * I + i], grid, s->bits) : (int32_t)grid[1];
            e->codes[n * words + i / 4] |= (uint32_t)(q & 255) << 8 * (i % 4);
            if (i < I) e->y[n * I + i] = (double)(((float)q - grid[1]) * grid[0]);
        }
    }
    return AR_OK;
}

/* p: bits, range, asymmetric, N, I. Grids, values and codes to the bit. */
ar_status ar__st_acts(ar__st *st, const int32_t *p) {
    const ar_acts_scheme s = {p[0], (ar_acts_range)p[1], p[2] != 0};
    int64_t N = p[3], I = p[4];
    expected e = {0};
    double *dy = NULL;
    ar_tensor *x = NULL, *grid = NULL, *y = NULL, *codes = NULL, *loss = NULL;
    AR_TRY(expect(st, &e, &s, N, I));
    AR_TRY(ar__st_tensor(st, &x, AR_F32, N, I, e.x));
    ar_tensor_set_needs_grad(x, true);
    if (s.range == AR_ACTS_STATIC)
        AR_TRY(ar__st_tensor(st, &grid, AR_F32, 1, 2, e.grid));
    else
        AR_TRY(ar_op_acts_grid(st->g, &grid, x, &s));
    AR_TRY(ar_op_acts_quant(st->g, &y, x, grid, &s));
    AR_TRY(ar_op_acts_codes(st->g, &codes, x, grid, &s));
    if (s.range != AR_ACTS_STATIC) ar_graph_keep(st->g, grid);
    ar_graph_keep(st->g, y);
    ar_graph_keep(st->g, codes);
    AR_TRY(ar__st_loss(st, &loss, &dy, y, e.y));
    AR_TRY(ar_graph_backward(st->g, loss));
    if (ar_tensor_grad(x)) ar_graph_keep(st->g, ar_tensor_grad(x));
    AR_TRY(ar__st_run(st));
    AR_TRY(ar__st_same(st, "acts_grid", grid, e.grids));
    AR_TRY(ar__st_same(st, "acts_quant", y, e.y));
    AR_TRY(ar__st_exact(st, "acts_codes", codes, e.codes));
    if (st->is_forward) return AR_OK;
    for (int64_t i = 0; i < N * I; i++)
        if (s.range == AR_ACTS_STATIC && !ref_acts_inside(e.x[i], e.grid, s.bits)) dy[i] = 0.0;
    return ar__st_compare(st, "acts_grad", ar_tensor_grad(x), dy);
}

/* p: N, I. Counts of two matrices' rows, one after the other. */
ar_status ar__st_acts_count(ar__st *st, const int32_t *p) {
    int64_t N = p[0], I = p[1];
    float *zeros = NULL;
    double *want = NULL;
    ar_tensor *counts = NULL;
    AR_TRY(ar__st_array(st, (void **)&zeros, 2 * AR_ACTS_BINS, sizeof *zeros));
    AR_TRY(ar__st_doubles(st, &want, NULL, 2 * AR_ACTS_BINS));
    AR_TRY(ar__st_tensor(st, &counts, AR_F32, 2, AR_ACTS_BINS, zeros));
    for (int32_t k = 0; k < 2; k++) {
        float *x = NULL;
        ar_tensor *X = NULL;
        AR_TRY(make_values(st, &x, N, I));
        for (int64_t n = 0; n < N; n++) {
            want[ref_acts_bin(x + n * I, I, -1)] += 1.0;
            want[AR_ACTS_BINS + ref_acts_bin(x + n * I, I, 1)] += 1.0;
        }
        AR_TRY(ar__st_tensor(st, &X, AR_F32, N, I, x));
        AR_TRY(ar_op_acts_count(st->g, counts, X));
    }
    AR_TRY(ar__st_run(st));
    return ar__st_same(st, "acts_count", counts, want);
}

/* What the ends of a range add to the gradient dy of its values x. */
static void expect_ends(double *dy, const float *x, const double *y, const float *grid, int64_t count,
                        const ar_acts_scheme *s) {
    double lo = 0, hi = 0, D = 0, h = (double)(1 << (s->bits - 1));
    for (int64_t i = 0; i < count; i++) {
        lo = fmin(lo, (double)x[i]);
        hi = fmax(hi, (double)x[i]);
        D += dy[i] * (y[i] - (double)x[i]) / (double)grid[0];
    }
    for (int64_t i = 0; i < count; i++) {
        double at = (double)x[i];
        if (at == hi && at > 0 && (s->asym || hi >= -lo)) dy[i] += D / (s->asym ? 2 * h - 1 : h - 0.5);
        if (at == lo && at < 0 && (s->asym || hi < -lo)) dy[i] -= D / (s->asym ? 2 * h - 1 : h - 0.5);
    }
}

/* p: bits, range, asymmetric, N, I. */
ar_status ar__st_acts_ranged(ar__st *st, const int32_t *p) {
    const ar_acts_scheme s = {p[0], (ar_acts_range)p[1], p[2] != 0};
    int64_t N = p[3], I = p[4], count = s.range == AR_ACTS_TOKEN ? I : N * I;
    expected e = {0};
    double *dy = NULL;
    ar_tensor *x = NULL, *y = NULL, *loss = NULL;
    AR_TRY(expect(st, &e, &s, N, I));
    AR_TRY(ar__st_tensor(st, &x, AR_F32, N, I, e.x));
    ar_tensor_set_needs_grad(x, true);
    AR_TRY(ar_op_acts_ranged(st->g, &y, x, &s));
    ar_graph_keep(st->g, y);
    AR_TRY(ar__st_loss(st, &loss, &dy, y, e.y));
    AR_TRY(ar_graph_backward(st->g, loss));
    if (ar_tensor_grad(x)) ar_graph_keep(st->g, ar_tensor_grad(x));
    AR_TRY(ar__st_run(st));
    AR_TRY(ar__st_same(st, "acts_quant", y, e.y));
    for (int64_t n = 0; n < N * I; n += count)
        expect_ends(dy + n, e.x + n, e.y + n, e.grid + (n / count) * 2, count, &s);
    return ar__st_compare(st, "acts_ends", ar_tensor_grad(x), dy);
}

/* p: O, I, whether by the inverse. A matrix, and one row by the same scales. */
ar_status ar__st_channel_scale(ar__st *st, const int32_t *p) {
    int64_t O = p[0], I = p[1];
    double *theta = NULL, *want[2] = {NULL, NULL}, *dy = NULL, *d = NULL, sign = p[2] ? -1.0 : 1.0;
    float *x = NULL;
    ar_tensor *X[2] = {NULL, NULL}, *y[2] = {NULL, NULL}, *t = NULL, *loss[2] = {NULL, NULL}, *sum = NULL;
    AR_TRY(ar__st_leaf(st, &t, &theta, I, 0, 0.7f));
    AR_TRY(ar__st_doubles(st, &d, NULL, I));
    for (int32_t k = 0; k < 2; k++) {
        int64_t rows = k ? 1 : O;
        AR_TRY(ar__st_normal(st, &x, rows * I, 1.0f));
        AR_TRY(ar__st_doubles(st, &want[k], x, rows * I));
        for (int64_t i = 0; i < rows * I; i++) want[k][i] *= exp(sign * theta[i % I]);
        AR_TRY(ar__st_tensor(st, &X[k], AR_F32, rows, I, x));
        AR_TRY(ar_op_channel_scale(st->g, &y[k], X[k], t, p[2] != 0));
        ar_graph_keep(st->g, y[k]);
        AR_TRY(ar__st_loss(st, &loss[k], &dy, y[k], want[k]));
        for (int64_t i = 0; i < rows * I; i++) d[i % I] += sign * dy[i] * want[k][i];
    }
    AR_TRY(ar_op_add(st->g, &sum, loss[0], loss[1]));
    AR_TRY(ar_graph_backward(st->g, sum));
    if (ar_tensor_grad(t)) ar_graph_keep(st->g, ar_tensor_grad(t));
    AR_TRY(ar__st_run(st));
    for (int32_t k = 0; k < 2; k++) AR_TRY(ar__st_compare(st, "channel_scale", y[k], want[k]));
    return ar__st_compare(st, "channel_grad", ar_tensor_grad(t), d);
}

/* p: N, I. The range of two matrices, one after the other. */
ar_status ar__st_acts_range(ar__st *st, const int32_t *p) {
    int64_t N = p[0], I = p[1];
    double want[2] = {0, 0};
    const float zeros[2] = {0, 0};
    ar_tensor *range = NULL;
    AR_TRY(ar__st_tensor(st, &range, AR_F32, 1, 2, zeros));
    for (int32_t k = 0; k < 2; k++) {
        float *x = NULL;
        ar_tensor *X = NULL;
        AR_TRY(make_values(st, &x, N, I));
        for (int64_t i = 0; i < N * I; i++) {
            want[0] = (double)x[i] < want[0] ? (double)x[i] : want[0];
            want[1] = (double)x[i] > want[1] ? (double)x[i] : want[1];
        }
        AR_TRY(ar__st_tensor(st, &X, AR_F32, N, I, x));
        AR_TRY(ar_op_acts_range(st->g, range, X));
    }
    AR_TRY(ar__st_run(st));
    return ar__st_same(st, "acts_join", range, want);
}

/* ---- integer products ---- */

typedef struct weight {
    uint8_t *codes, *zeros;
    uint16_t *scales;
    double *S;
    int32_t *zero;
    int64_t groups, G;
} weight;

static ar_status make_weight(ar__st *st, weight *w, const ar_scheme *s, int64_t O, int64_t I) {
    int32_t last = (1 << s->bits) - 1;
    w->groups = ar_scheme_groups(s, I);
    w->G = w->groups == 1 ? I : s->group;
    AR_TRY(ar__st_array(st, (void **)&w->codes, O * I, 1));
    AR_TRY(ar__st_array(st, (void **)&w->zeros, O * w->groups, 1));
    AR_TRY(ar__st_array(st, (void **)&w->scales, O * w->groups, sizeof *w->scales));
    AR_TRY(ar__st_array(st, (void **)&w->S, O * w->groups, sizeof *w->S));
    AR_TRY(ar__st_integers(st, &w->zero, O * w->groups, 0, last));
    for (int64_t i = 0; i < O * I; i++) w->codes[i] = (uint8_t)(ar__st_random(st) & (uint64_t)last);
    for (int64_t g = 0; g < O * w->groups; g++) {
        w->scales[g] = (uint16_t)(0x2000 + ar__st_random(st) % 0x400 + (ar__st_random(st) % 2 << 15));
        w->S[g] = (double)ar_f16_to_f32(w->scales[g]);
        if (s->zero == AR_ZERO_SYM) w->zero[g] = 1 << (s->bits - 1);
        w->zeros[g] = (uint8_t)w->zero[g];
    }
    return AR_OK;
}

static ar_status expect_product(ar__st *st, double **y, const expected *e, const weight *w,
                                const ar_acts_scheme *s, int64_t N, int64_t O, int64_t I) {
    int32_t *a = NULL;
    AR_TRY(ar__st_doubles(st, y, NULL, N * O));
    AR_TRY(ar__st_array(st, (void **)&a, I, sizeof *a));
    for (int64_t n = 0; n < N; n++) {
        const float *grid = e->grid + (s->range == AR_ACTS_TOKEN ? 2 * n : 0);
        for (int64_t i = 0; i < I; i++) a[i] = ref_acts_code(e->x[n * I + i], grid, s->bits);
        for (int64_t o = 0; o < O; o++)
            (*y)[n * O + o] = ref_int_dot(a, (double)grid[0], (int32_t)grid[1], w->codes + o * I,
                                          w->S + o * w->groups, w->zero + o * w->groups, I, w->G);
    }
    return AR_OK;
}

/* p: bits and zero kind of the weight, range of the activations, N, O, I, group. Those have 8 bits, and are
 * asymmetric where the weight is. */
ar_status ar__st_linear_int(ar__st *st, const int32_t *p) {
    const ar_scheme scheme = {p[0], p[6], (ar_zero_kind)p[1], 0, AR_SUPER_NONE};
    const ar_acts_scheme s = {8, (ar_acts_range)p[2], scheme.zero == AR_ZERO_INT};
    int64_t N = p[3], O = p[4], I = p[5];
    expected e = {0};
    weight w = {0};
    double *want = NULL, *b = NULL;
    ar_tensor *x = NULL, *grid = NULL, *codes = NULL, *y = NULL, *bias = NULL;
    ar_int_weight *W = NULL;
    AR_TRY(expect(st, &e, &s, N, I));
    AR_TRY(make_weight(st, &w, &scheme, O, I));
    AR_TRY(expect_product(st, &want, &e, &w, &s, N, O, I));
    AR_TRY(ar__st_tensor(st, &x, AR_F32, N, I, e.x));
    AR_TRY(ar__st_leaf(st, &bias, &b, O, 0, 1.0f));
    for (int64_t i = 0; i < N * O; i++) want[i] += b[i % O];
    const ar_resident_weight_desc desc = {.type = AR_QT_GROUP,
                                          .O = O,
                                          .I = I,
                                          .scheme = scheme,
                                          .codes = w.codes,
                                          .scales = w.scales,
                                          .zeros = scheme.zero == AR_ZERO_INT ? w.zeros : NULL};
    ar_status status = ar_int_weight_create(&W, st->device, &desc);
    if (status == AR_OK) status = ar_op_acts_grid(st->g, &grid, x, &s);
    if (status == AR_OK) status = ar_op_acts_codes(st->g, &codes, x, grid, &s);
    if (status == AR_OK) status = ar_op_linear_int(st->g, &y, codes, grid, W, bias);
    if (status == AR_OK) ar_graph_keep(st->g, y);
    if (status == AR_OK) status = ar__st_run(st);
    if (status == AR_OK) status = ar__st_compare(st, "int_linear", y, want);
    ar_int_weight_destroy(W);
    return status;
}
