/* Cases of the ops that move, add and multiply, and of a tuning run's bookkeeping. */
#include "selftest.h"
#include "ref.h"
#include "ref_fakequant.h"
#include <math.h>

/* p: words. */
ar_status ar__st_copy(ar__st *st, const int32_t *p) {
    int32_t *values = NULL;
    ar_tensor *src = NULL, *dst = NULL;
    AR_TRY(ar__st_integers(st, &values, p[0], INT32_MIN, INT32_MAX));
    AR_TRY(ar__st_tensor(st, &src, AR_I32, p[0], 0, values));
    AR_TRY(ar__st_tensor(st, &dst, AR_I32, p[0], 0, NULL));
    AR_TRY(ar_op_copy(st->g, dst, src));
    AR_TRY(ar__st_run(st));
    return ar__st_exact(st, "copy", dst, values);
}

/* p: words. */
ar_status ar__st_fill(ar__st *st, const int32_t *p) {
    int32_t *values = NULL;
    ar_tensor *dst = NULL;
    AR_TRY(ar__st_integers(st, &values, p[0], 77, 77));
    AR_TRY(ar__st_tensor(st, &dst, AR_I32, p[0], 0, NULL));
    AR_TRY(ar_op_fill(st->g, dst, 77));
    AR_TRY(ar__st_run(st));
    return ar__st_exact(st, "fill", dst, values);
}

/* p: elements, rounds. */
ar_status ar__st_peak(ar__st *st, const int32_t *p) {
    double sum = 0, *want = NULL;
    ar_tensor *y = NULL;
    for (int32_t c = 0; c < 8; c++) {
        double s = c / 8.0;
        for (int32_t i = 0; i < p[1]; i++) s = s * 0.75 + 0.5;
        sum += s;
    }
    AR_TRY(ar__st_doubles(st, &want, NULL, p[0]));
    for (int32_t i = 0; i < p[0]; i++) want[i] = sum;
    AR_TRY(ar__st_tensor(st, &y, AR_F32, p[0], 0, NULL));
    AR_TRY(ar_op_peak(st->g, y, (uint32_t)p[1], 0.75f, 0.5f));
    AR_TRY(ar__st_run(st));
    return ar__st_compare(st, "peak", y, want);
}

/* p: elements, rounds of s / 2 + 1, which fp16 holds up to six. Where there is no such arithmetic the kernel
 * is never used, and f32 is asked for instead. */
ar_status ar__st_peak_f16(ar__st *st, const int32_t *p) {
    uint16_t *want = NULL;
    ar_tensor *y = NULL;
    float sum = 0;
    if (!st->device->facts.has_f16_arith) return ar__st_peak(st, p);
    for (int32_t c = 0; c < 8; c++) {
        float s = (float)c / 8.0f;
        for (int32_t i = 0; i < p[1]; i++) s = s * 0.5f + 1.0f;
        sum += s;
    }
    AR_TRY(ar__st_array(st, (void **)&want, p[0], sizeof *want));
    for (int32_t i = 0; i < p[0]; i++) want[i] = ar_f32_to_f16(sum);
    AR_TRY(ar__st_tensor(st, &y, AR_F16, p[0], 0, NULL));
    AR_TRY(ar_op_peak(st->g, y, (uint32_t)p[1], 0.5f, 1.0f));
    AR_TRY(ar__st_run(st));
    return ar__st_exact(st, "peak_f16", y, want);
}

/* p: elements, rounds. */
ar_status ar__st_peak_dot(ar__st *st, const int32_t *p) {
    static const int32_t bytes[] = {1, 127, -127, 63}; /* of op_peak.c */
    int32_t *want = NULL;
    ar_tensor *y = NULL;
    uint32_t sum = 0;
    for (uint32_t c = 0; c < 8; c++) {
        uint32_t s = c;
        for (int32_t i = 0; i < p[1]; i++) {
            uint32_t low = s & 0x7f7f7f7fu;
            for (int32_t k = 0; k < 4; k++) s += (low >> 8 * k & 255u) * (uint32_t)bytes[k];
        }
        sum += s;
    }
    AR_TRY(ar__st_integers(st, &want, p[0], (int32_t)sum, (int32_t)sum));
    AR_TRY(ar__st_tensor(st, &y, AR_I32, p[0], 0, NULL));
    AR_TRY(ar_op_peak(st->g, y, (uint32_t)p[1], 0, 0));
    AR_TRY(ar__st_run(st));
    return ar__st_exact(st, "peak_dot", y, want);
}

/* p: rows, rounds. Elements by the plain definition, each of the products by itself. */
ar_status ar__st_peak_matrix(ar__st *st, const int32_t *p) {
    const ar_plan *plan = &st->device->plan;
    const int64_t row = ar_peak_matrix_row(st->device);
    const uint32_t *f = plan->coop_fragment;
    const int32_t M = f[0] ? (int32_t)f[0] : 8, N = f[1] ? (int32_t)f[1] : 8, K = f[2] ? (int32_t)f[2] : 8;
    float *want = NULL;
    ar_tensor *y = NULL;
    AR_TRY(ar__st_array(st, (void **)&want, row * p[0], sizeof *want));
    for (int64_t e = 0; e < row * p[0]; e++) {
        int32_t m = (int32_t)(e % (M * N) / N), n = (int32_t)(e % N), sum = 0;
        for (int32_t k = 0; k < K; k++)
            for (int32_t s = 0; s < 8; s++)
                sum += ((m + 2 * k + s / 4) % 3 - 1) * ((2 * n + k + s % 4) % 3 - 1);
        want[e] = (float)(sum * p[1]);
    }
    AR_TRY(ar__st_tensor(st, &y, AR_F32, row * p[0], 0, NULL));
    AR_TRY(ar_op_peak_matrix(st->g, y, (uint32_t)p[1]));
    AR_TRY(ar__st_run(st));
    return ar__st_exact(st, "peak_matrix", y, want);
}

/* p: N, I. y = (a + b) + a, so that a's gradient adds up. */
ar_status ar__st_add(ar__st *st, const int32_t *p) {
    int64_t count = (int64_t)p[0] * p[1];
    double *a = NULL, *b = NULL, *want = NULL, *dy = NULL;
    ar_tensor *ta = NULL, *tb = NULL, *sum = NULL, *y = NULL, *loss = NULL;
    AR_TRY(ar__st_leaf(st, &ta, &a, p[0], p[1], 1.0f));
    AR_TRY(ar__st_leaf(st, &tb, &b, p[0], p[1], 1.0f));
    AR_TRY(ar__st_doubles(st, &want, NULL, count));
    for (int64_t i = 0; i < count; i++) want[i] = 2 * a[i] + b[i];
    AR_TRY(ar_op_add(st->g, &sum, ta, tb));
    AR_TRY(ar_op_add(st->g, &y, sum, ta));
    ar_graph_keep(st->g, y);
    AR_TRY(ar__st_loss(st, &loss, &dy, y, want));
    AR_TRY(ar_graph_backward(st->g, loss));
    ar_graph_keep(st->g, ar_tensor_grad(ta));
    ar_graph_keep(st->g, ar_tensor_grad(tb));
    AR_TRY(ar__st_run(st));
    AR_TRY(ar__st_compare(st, "add", y, want));
    AR_TRY(ar__st_compare(st, "add_to", ar_tensor_grad(tb), dy));
    for (int64_t i = 0; i < count; i++) dy[i] *= 2;
    return ar__st_compare(st, "add_to", ar_tensor_grad(ta), dy);
}

/* p: elements. */
ar_status ar__st_mean(ar__st *st, const int32_t *p) {
    int64_t n = p[0];
    float *values = NULL;
    double *dx = NULL, want = 0;
    ar_tensor *x = NULL, *m = NULL;
    AR_TRY(ar__st_normal(st, &values, n, 1.0f));
    AR_TRY(ar__st_doubles(st, &dx, NULL, n));
    for (int64_t i = 0; i < n; i++) {
        values[i] += 1.0f; /* a mean near zero has no relative error */
        want += (double)values[i] / (double)n;
        dx[i] = 1 / (double)n;
    }
    AR_TRY(ar__st_tensor(st, &x, AR_F32, n, 0, values));
    ar_tensor_set_needs_grad(x, true);
    AR_TRY(ar_op_mean(st->g, &m, x));
    ar_graph_keep(st->g, m);
    AR_TRY(ar_graph_backward(st->g, m));
    ar_graph_keep(st->g, ar_tensor_grad(x));
    AR_TRY(ar__st_run(st));
    AR_TRY(ar__st_compare(st, "sum_part", m, &want));
    return ar__st_compare(st, "mean_bwd", ar_tensor_grad(x), dx);
}

/* p: N, I, with weights, some of them 0. */
ar_status ar__st_mse(ar__st *st, const int32_t *p) {
    int32_t N = p[0], I = p[1];
    double *y = NULL, *target = NULL, *weight = NULL, *dy = NULL;
    float *values = NULL;
    ar_tensor *ty = NULL, *tt = NULL, *tw = NULL, *loss = NULL;
    AR_TRY(ar__st_leaf(st, &ty, &y, N, I, 1.0f));
    AR_TRY(ar__st_leaf(st, &tt, &target, N, I, 1.0f));
    ar_tensor_set_needs_grad(tt, false);
    if (p[2]) {
        AR_TRY(ar__st_normal(st, &values, N, 1.0f));
        for (int32_t n = 0; n < N; n++) values[n] = values[n] > -0.5f ? values[n] + 0.5f : 0.0f;
        AR_TRY(ar__st_doubles(st, &weight, values, N));
        AR_TRY(ar__st_tensor(st, &tw, AR_F32, N, 0, values));
    }
    AR_TRY(ar__st_doubles(st, &dy, NULL, (int64_t)N * I));
    double want = ref_mse(y, target, weight, N, I);
    ref_mse_grad(dy, y, target, weight, N, I);
    AR_TRY(ar_op_mse(st->g, &loss, ty, tt, tw));
    ar_graph_keep(st->g, loss);
    AR_TRY(ar_graph_backward(st->g, loss));
    ar_graph_keep(st->g, ar_tensor_grad(ty));
    AR_TRY(ar__st_run(st));
    AR_TRY(ar__st_compare(st, "mse_part", loss, &want));
    return ar__st_compare(st, "mse_bwd", ar_tensor_grad(ty), dy);
}

/* A leaf of normal numbers or, so that every order gives the same sum and fp16 holds them, of small whole
 * ones; 2: a few are large, which fp16 does not hold; 3: normal, one column in 13 ten thousand times as
 * large. */
static ar_status product_leaf(ar__st *st, ar_tensor **t, double **values, int64_t rows, int64_t cols,
                              int32_t kind) {
    int32_t *whole = NULL;
    float *made = NULL;
    if (kind == 0) return ar__st_leaf(st, t, values, rows, cols, 1.0f);
    AR_TRY(ar__st_integers(st, &whole, rows * cols, -8, 8));
    AR_TRY(ar__st_normal(st, &made, rows * cols, 1.0f));
    for (int64_t i = 0; i < rows * cols; i++)
        if (kind == 3)
            made[i] *= i % cols % 13 == 5 ? 1e4f : 1.0f;
        else
            made[i] = (float)whole[i] * (kind == 2 && i % 997 == 5 ? 16384.0f : 1.0f);
    AR_TRY(ar__st_doubles(st, values, made, rows * cols));
    AR_TRY(ar__st_tensor(st, t, AR_F32, rows, cols, made));
    ar_tensor_set_needs_grad(*t, true);
    return AR_OK;
}

/* ar__st_loss whose gradient is 2^-power of what it would be, as rows weigh as much. */
static ar_status faint_loss(ar__st *st, ar_tensor **loss, double **dy, ar_tensor *y, const double *y_ref,
                            int32_t power) {
    if (power == 0 || st->is_forward) return ar__st_loss(st, loss, dy, y, y_ref);
    int32_t N = (int32_t)ar_tensor_dim(y, 0), O = (int32_t)ar_tensor_dim(y, 1);
    double *target_ref = NULL, *weight_ref = NULL;
    float *weight = NULL;
    ar_tensor *target = NULL, *weights = NULL;
    AR_TRY(ar__st_leaf(st, &target, &target_ref, N, O, 1.0f));
    ar_tensor_set_needs_grad(target, false);
    AR_TRY(ar__st_normal(st, &weight, N, 1.0f));
    for (int32_t n = 0; n < N; n++) weight[n] = ldexpf(1.0f, -power);
    AR_TRY(ar__st_tensor(st, &weights, AR_F32, N, 0, weight));
    AR_TRY(ar__st_doubles(st, &weight_ref, weight, N));
    AR_TRY(ar_op_mse(st->g, loss, y, target, weights));
    AR_TRY(ar__st_doubles(st, dy, NULL, (int64_t)N * O));
    ref_mse_grad(*dy, y_ref, target_ref, weight_ref, N, O);
    return AR_OK;
}

/* The loss's gradient at the y that was found instead of y_ref: where y is near its target, rounding y to
 * fp16 changes it by more than the products behind it may. */
static ar_status follow_found(ar__st *st, double *dy, const ar_tensor *y, const double *y_ref,
                              int32_t power) {
    int64_t count = ar_tensor_count(y);
    float *found = NULL;
    AR_TRY(ar__st_array(st, (void **)&found, count, sizeof *found));
    AR_TRY(ar_tensor_read(y, found, 0, count));
    for (int64_t i = 0; i < count; i++)
        dy[i] += ldexp(2.0, -power) * ((double)found[i] - y_ref[i]) / (double)count;
    return AR_OK;
}

static ar_status linear(ar__st *st, const int32_t *p) {
    bool is_f16 = ar__st_rounds(st->device, AR_F_gemm);
    double bound = st->bound;
    int32_t N = p[0], O = p[1], I = p[2];
    double *x = NULL, *W = NULL, *bias = NULL, *y_ref = NULL, *dy = NULL, *dx = NULL, *dW = NULL,
           *dbias = NULL;
    ar_tensor *tx = NULL, *tW = NULL, *tb = NULL, *y = NULL, *loss = NULL;
    AR_TRY(product_leaf(st, &tx, &x, N, I, p[5]));
    AR_TRY(product_leaf(st, &tW, &W, O, I, p[5] == 1 || p[5] == 2));
    if (p[3]) {
        AR_TRY(ar__st_leaf(st, &tb, &bias, O, 0, 1.0f));
        AR_TRY(ar__st_doubles(st, &dbias, NULL, O));
    }
    AR_TRY(ar__st_doubles(st, &y_ref, NULL, (int64_t)N * O));
    AR_TRY(ar__st_doubles(st, &dx, NULL, (int64_t)N * I));
    AR_TRY(ar__st_doubles(st, &dW, NULL, (int64_t)O * I));
    ref_linear(y_ref, x, W, bias, N, O, I);
    AR_TRY(ar_op_linear(st->g, &y, tx, tW, tb));
    ar_graph_keep(st->g, y);
    AR_TRY(faint_loss(st, &loss, &dy, y, y_ref, p[6]));
    AR_TRY(ar_graph_backward(st->g, loss));
    ar_graph_keep(st->g, ar_tensor_grad(tx));
    ar_graph_keep(st->g, ar_tensor_grad(tW));
    if (tb) ar_graph_keep(st->g, ar_tensor_grad(tb));
    AR_TRY(ar__st_run(st));
    const char *kernel = ar__kernels[st->device->plan.variants[AR_F_gemm]].name;
    st->bound = is_f16 && p[5] != 1 && p[5] != 2 ? AR__ST_F16 : bound;
    AR_TRY(ar__st_compare(st, kernel, y, y_ref));
    if (is_f16 && !st->is_forward) AR_TRY(follow_found(st, dy, y, y_ref, p[6]));
    ref_linear_grad(dx, dW, dbias, dy, x, W, N, O, I);
    st->bound = is_f16 ? AR__ST_F16 : bound;
    AR_TRY(ar__st_compare(st, kernel, ar_tensor_grad(tx), dx));
    AR_TRY(ar__st_compare(st, kernel, ar_tensor_grad(tW), dW));
    return tb ? ar__st_compare(st, "sum_rows", ar_tensor_grad(tb), dbias) : AR_OK;
}

/* p: N, O, I, with bias, groups wanted (1: the largest tiles, 9999: the smallest; 0: as the plan says), whole
 * numbers (1) or some large (2, 3), gradients divided by 2^p, depth in parts (1). */
ar_status ar__st_linear(ar__st *st, const int32_t *p) {
    ar_plan *plan = &st->device->plan;
    const uint32_t groups = plan->gemm_groups, ways = plan->ways, asked = plan->ways_asked;
    if (p[4]) plan->gemm_groups = (uint32_t)p[4];
    if (p[7]) plan->ways |= 1u << AR_W_gemm_depth, plan->ways_asked |= 1u << AR_W_gemm_depth;
    ar_status status = linear(st, p);
    plan->gemm_groups = groups;
    plan->ways = ways, plan->ways_asked = asked;
    return status;
}

/* Numbers of many sizes, some halfway between two of bf16 and, is_large, some beyond fp16; as doubles what
 * bf16 has of them. */
static ar_status brain_leaf(ar__st *st, ar_tensor **t, double **values, int64_t rows, int64_t cols,
                            bool is_large) {
    float *made = NULL, *rounded = NULL;
    AR_TRY(ar__st_normal(st, &made, rows * cols, 1.0f));
    AR_TRY(ar__st_normal(st, &rounded, rows * cols, 1.0f));
    for (int64_t i = 0; i < rows * cols; i++) {
        if (i % 5 == 1) made[i] = (float)(257 + 2 * (i % 127)) / 256.0f;
        if (i % 7 == 2) made[i] *= 1e-4f;
        if (is_large && i % 97 == 5) made[i] *= 1e5f;
        rounded[i] = ref_brain_round(made[i]);
    }
    AR_TRY(ar__st_doubles(st, values, rounded, rows * cols));
    AR_TRY(ar__st_tensor(st, t, AR_F32, rows, cols, made));
    ar_tensor_set_needs_grad(*t, true);
    return AR_OK;
}

/* p: N, O, I, some large: linear of operands rounded to bf16, whatever multiplies them. */
ar_status ar__st_linear_bf16(ar__st *st, const int32_t *p) {
    int32_t N = p[0], O = p[1], I = p[2];
    double *x = NULL, *W = NULL, *y_ref = NULL, *dy = NULL, *dx = NULL, *dW = NULL;
    ar_tensor *tx = NULL, *tW = NULL, *tdy = NULL, *y = NULL, *loss = NULL;
    AR_TRY(brain_leaf(st, &tx, &x, N, I, p[3] != 0));
    AR_TRY(brain_leaf(st, &tW, &W, O, I, false));
    AR_TRY(brain_leaf(st, &tdy, &dy, N, O, p[3] != 0));
    ar_tensor_set_needs_grad(tdy, false);
    AR_TRY(ar__st_doubles(st, &y_ref, NULL, (int64_t)N * O));
    AR_TRY(ar__st_doubles(st, &dx, NULL, (int64_t)N * I));
    AR_TRY(ar__st_doubles(st, &dW, NULL, (int64_t)O * I));
    ref_linear(y_ref, x, W, NULL, N, O, I);
    ref_linear_grad(dx, dW, NULL, dy, x, W, N, O, I);
    st->device->plan.allows_bf16 = true;
    AR_TRY(ar_op_linear(st->g, &y, tx, tW, NULL));
    ar_graph_keep(st->g, y);
    AR_TRY(ar_op_pull(st->g, &loss, y, tdy));
    AR_TRY(ar_graph_backward(st->g, loss));
    st->device->plan.allows_bf16 = false;
    ar_graph_keep(st->g, ar_tensor_grad(tx));
    ar_graph_keep(st->g, ar_tensor_grad(tW));
    AR_TRY(ar__st_run(st));
    const char *kernel = ar__kernels[st->device->plan.variants[AR_F_gemm]].name;
    AR_TRY(ar__st_compare(st, kernel, y, y_ref));
    AR_TRY(ar__st_compare(st, kernel, ar_tensor_grad(tx), dx));
    return ar__st_compare(st, kernel, ar_tensor_grad(tW), dW);
}

/* A table of words, also of no columns. */
static ar_status table(ar__st *st, ar_tensor **t, int64_t rows, int64_t cols, const int32_t *values) {
    if (cols) return ar__st_tensor(st, t, AR_I32, rows, cols, values);
    return ar_graph_temp(st->g, t, AR_I32, 2, (int64_t[]){rows, 0});
}

/* p: S, R, B: step 1 of a schedule of two. */
ar_status ar__st_gather(ar__st *st, const int32_t *p) {
    int32_t S = p[0], R = p[1], B = p[2], one = 1, *values = NULL, *sched = NULL, *want = NULL;
    ar_tensor *src = NULL, *ts = NULL, *step = NULL, *y = NULL;
    AR_TRY(ar__st_integers(st, &values, (int64_t)S * R, INT32_MIN, INT32_MAX));
    AR_TRY(ar__st_integers(st, &sched, 2 * (int64_t)B, 0, S - 1));
    sched[B] = S - 1;
    AR_TRY(ar__st_array(st, (void **)&want, (int64_t)B * R, sizeof *want));
    for (int32_t b = 0; b < B; b++)
        for (int32_t r = 0; r < R; r++) want[b * R + r] = values[sched[B + b] * R + r];
    AR_TRY(table(st, &src, S, R, values));
    AR_TRY(table(st, &ts, 2, B, sched));
    AR_TRY(ar__st_tensor(st, &step, AR_I32, 1, 0, &one));
    AR_TRY(ar_op_gather(st->g, &y, src, ts, step, B));
    ar_graph_keep(st->g, y);
    AR_TRY(ar__st_run(st));
    return ar__st_exact(st, "gather", y, want);
}

/* p: elements, steps. Losses fall and rise; after all replays dst holds src of the best step. */
ar_status ar__st_tuning_state(ar__st *st, const int32_t *p) {
    int32_t n = p[0], steps = p[1], zero = 0, *src = NULL, *want = NULL;
    float start[2] = {3.4e38f, -1.0f}, *losses = NULL, least[2] = {3.4e38f, -1.0f};
    ar_tensor *tsrc = NULL, *dst = NULL, *best = NULL, *history = NULL, *loss = NULL, *step = NULL,
              *improved = NULL;
    AR_TRY(ar__st_normal(st, &losses, steps, 1.0f));
    AR_TRY(ar__st_array(st, (void **)&src, n, sizeof *src));
    AR_TRY(ar__st_array(st, (void **)&want, n, sizeof *want));
    AR_TRY(ar__st_tensor(st, &tsrc, AR_I32, n, 0, NULL));
    AR_TRY(ar__st_tensor(st, &dst, AR_I32, n, 0, NULL));
    AR_TRY(ar__st_tensor(st, &best, AR_F32, 2, 0, start));
    AR_TRY(ar__st_tensor(st, &history, AR_F32, steps, 0, NULL));
    AR_TRY(ar__st_tensor(st, &loss, AR_F32, 1, 0, NULL));
    AR_TRY(ar__st_tensor(st, &step, AR_I32, 1, 0, &zero));
    AR_TRY(ar_op_best(st->g, &improved, best, history, loss, step));
    AR_TRY(ar_op_copy_if(st->g, dst, tsrc, improved));
    AR_TRY(ar_op_advance(st->g, step));
    AR_TRY(ar_graph_build(st->g));
    for (int32_t s = 0; s < steps; s++) {
        for (int32_t i = 0; i < n; i++) src[i] = s * 1000 + i;
        AR_TRY(ar_tensor_write(loss, &losses[s], 0, 1));
        AR_TRY(ar_tensor_write(tsrc, src, 0, n));
        AR_TRY(ar_graph_run(st->g));
        if (losses[s] < least[0]) least[0] = losses[s], least[1] = (float)s;
    }
    AR_TRY(ar_device_wait(st->device));
    for (int32_t i = 0; i < n; i++) want[i] = (int32_t)least[1] * 1000 + i;
    AR_TRY(ar__st_exact(st, "copy_if", dst, want));
    AR_TRY(ar__st_exact(st, "best", best, least));
    AR_TRY(ar__st_exact(st, "best", history, losses));
    return ar__st_exact(st, "advance", step, &steps);
}
