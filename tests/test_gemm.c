/* Kernels of the dense ops against scalar double references, and their gradients against central differences,
 * on every device found. Includes the backend's own header for ar__gemm.
 * ctest-labels: device vulkan */
#include "op_check.h"
#include "internal.h"

/* ---- gemm ---- */

typedef struct gemm_case {
    int64_t M, N, K;
    bool a_transposed, b_transposed, accumulate;
} gemm_case;

static void reference_gemm(double *c, const float *a, const float *b, const gemm_case *s) {
    for (int64_t m = 0; m < s->M; m++)
        for (int64_t n = 0; n < s->N; n++) {
            double sum = s->accumulate ? c[m * s->N + n] : 0;
            for (int64_t k = 0; k < s->K; k++)
                sum += (double)a[s->a_transposed ? k * s->M + m : m * s->K + k] *
                       b[s->b_transposed ? n * s->K + k : k * s->N + n];
            c[m * s->N + n] = sum;
        }
}

static void gemm_matches(ar_device *device, void *ctx) {
    const gemm_case *s = ctx;
    float *a = check_floats(s->M * s->K, 1, -1, 1), *b = check_floats(s->K * s->N, 2, -1, 1);
    float *c = check_floats(s->M * s->N, 3, -1, 1);
    double *want = calloc((size_t)(s->M * s->N + 1), sizeof *want);
    for (int64_t i = 0; i < s->M * s->N; i++) want[i] = c[i];
    reference_gemm(want, a, b, s);
    ar_tensor *A =
        check_tensor(device, AR_F32, s->a_transposed ? s->K : s->M, s->a_transposed ? s->M : s->K, a);
    ar_tensor *B =
        check_tensor(device, AR_F32, s->b_transposed ? s->N : s->K, s->b_transposed ? s->K : s->N, b);
    ar_tensor *C = check_tensor(device, AR_F32, s->M, s->N, c);
    ar_graph *g = NULL;
    CHECK_OK(ar_graph_create(&g, device));
    CHECK_OK(ar__gemm(g, C, (ar__matrix){A, s->a_transposed}, (ar__matrix){B, s->b_transposed}, s->M, s->N,
                      s->K, s->accumulate));
    CHECK_OK(ar_graph_build(g));
    CHECK_OK(ar_graph_run(g));
    char what[96];
    snprintf(what, sizeof what, "gemm %lldx%lldx%lld%s%s%s", (long long)s->M, (long long)s->N,
             (long long)s->K, s->a_transposed ? " A^T" : "", s->b_transposed ? " B^T" : "",
             s->accumulate ? " +=" : "");
    check_tensor_close(device, what, C, want, 2e-6 * sqrt((double)s->K + 1));
    ar_graph_destroy(g);
    ar_tensor_destroy(A);
    ar_tensor_destroy(B);
    ar_tensor_destroy(C);
    free(a);
    free(b);
    free(c);
    free(want);
}

/* In a simulator a size runs with nothing transposed, with everything, and with one of the other six ways. */
static bool is_left_out(size_t size, int kind) {
    return check_is_small() && kind != 0 && kind != 7 && (size_t)kind != 1 + size % 6;
}

static void all_gemm_sizes(ar_device *device, void *ctx) {
    static const int64_t sizes[][3] = {{1, 1, 1},    {8, 64, 16},  {7, 31, 5},   {9, 33, 17},  {63, 65, 64},
                                       {64, 63, 65}, {97, 101, 3}, {1, 257, 61}, {130, 1, 19}, {0, 5, 7},
                                       {5, 0, 7},    {5, 7, 0},    {17, 16, 127}};
    (void)ctx;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int kind = 0; kind < 8; kind++) {
            gemm_case s = {sizes[i][0], sizes[i][1], sizes[i][2], kind & 1, kind & 2, kind & 4};
            if (check_is_small() && s.K > 17) s.K = 17;
            if (!is_left_out(i, kind)) gemm_matches(device, &s);
        }
}

static void gemm_equals_double_reference(void **state) {
    (void)state;
    check_each_device(all_gemm_sizes, NULL);
}

/* Pieces so small that sources, packs and C are all cut. */
static void small_pieces(ar_plan *plan) { plan->piece_bytes = check_is_small() ? 10240 : 65536; }

static void gemms_above_a_piece(ar_device *device, void *ctx) {
    (void)ctx;
    for (int kind = 0; kind < 8; kind++) {
        gemm_case long_k = {130, 70, 300, kind & 1, kind & 2, kind & 4},
                  very_long_k = {19, 37, 1500, true, false, kind & 4};
        if (is_left_out(3, kind)) continue; /* leaves 0, 4 and 7 */
        if (check_is_small()) long_k.M = 65, long_k.N = 41, long_k.K = 75, very_long_k.K = 375;
        gemm_matches(device, &long_k);
        if (kind == 0 || kind == 4)
            gemm_matches(device, &very_long_k); /* one panel passes a piece: K is cut */
    }
}

static void gemm_in_small_pieces_equals_reference(void **state) {
    (void)state;
    check_each_plan(gemms_above_a_piece, NULL, small_pieces);
}

static void large_tile(ar_plan *plan) {
    plan->gemm_tm = 11; /* no multiple of 4 */
    plan->gemm_tn = 1;
    plan->gemm_wgx = 3;
    memset(plan->gemm_by_rows, 0, sizeof plan->gemm_by_rows);
}

static void no_lanes(ar_plan *plan) {
    plan->variants[AR_F_gemm] = AR_K_gemm, plan->gemm_lanes = 0;
    plan->gemm_tn = 2;
    memset(plan->gemm_by_rows, 0, sizeof plan->gemm_by_rows);
}

static void small_pieces_of_shared_tiles(ar_plan *plan) {
    small_pieces(plan);
    plan->variants[AR_F_gemm] = AR_K_gemm_tiles, plan->gemm_lanes = 0;
    plan->gemm_side = 64;
    plan->gemm_groups = 2;
    memset(plan->gemm_by_rows, 0, sizeof plan->gemm_by_rows);
}

/* Depths in parts: bits differ from those of a whole depth, sums do not. */
static void in_parts(ar_plan *plan) {
    plan->ways |= 1u << AR_W_gemm_depth, plan->ways_asked |= 1u << AR_W_gemm_depth;
}

static void deep_gemms(ar_device *device, void *ctx) {
    (void)ctx;
    for (int kind = 1; kind < 8; kind += 4)
        gemm_matches(device, &(gemm_case){kind == 5 ? 37 : 1, 33, 1109, kind & 1, kind & 2, kind & 4});
}

/* Products of few rows, and of many, by tiles of their own. */
static void tiles_by_rows(ar_plan *plan) {
    const uint32_t few[AR_TILE_VALUES] = {4, 1, 2, 1}, many[AR_TILE_VALUES] = {8, 1, 1, 4};
    no_lanes(plan);
    memcpy(plan->gemm_by_rows[2], few, sizeof few);
    memcpy(plan->gemm_by_rows[3], many, sizeof many);
}

static void gemm_with_another_tile_equals_reference(void **state) {
    (void)state;
    check_each_plan(gemms_above_a_piece, NULL, small_pieces_of_shared_tiles);
    check_each_plan(all_gemm_sizes, NULL, large_tile);
    check_each_plan(all_gemm_sizes, NULL, no_lanes);
    check_each_plan(all_gemm_sizes, NULL, tiles_by_rows);
    check_each_plan(deep_gemms, NULL, in_parts);
}

/* A tensor packed the same way twice is packed once, until something writes it. */
static void packs_are_shared_until_written(void **state) {
    (void)state;
    ar_device *device = NULL;
    ar_graph *g = NULL;
    ar_tensor *y[4];
    ar_graph_stats stats;
    CHECK_OK(ar_device_open(&device, &(ar_device_desc){.select = "null"}));
    ar_tensor *x = check_tensor(device, AR_F32, 16, 32, NULL), *W = check_tensor(device, AR_F32, 8, 32, NULL);
    ar_tensor *fresh = check_tensor(device, AR_F32, 16, 32, NULL);
    CHECK_OK(ar_graph_create(&g, device));
    for (int i = 0; i < 3; i++) CHECK_OK(ar_op_linear(g, &y[i], x, W, NULL)); /* 2 packs + 3 products */
    CHECK_OK(ar_op_copy(g, x, fresh));
    CHECK_OK(ar_op_linear(g, &y[3], x, W, NULL)); /* x packed anew */
    CHECK_OK(ar_graph_build(g));
    ar_graph_get_stats(g, &stats);
    assert_int_equal(stats.dispatches, 5 + 1 + 2);
    ar_graph_destroy(g);
    ar_tensor_destroy(x);
    ar_tensor_destroy(W);
    ar_tensor_destroy(fresh);
    ar_device_close(device);
}

/* ---- gradients ---- */

static ar_status forward_linear(ar_graph *g, ar_tensor **y, ar_tensor **t, void *ctx) {
    (void)ctx;
    return ar_op_linear(g, y, t[0], t[1], t[2]);
}

static void linear_gradient(ar_device *device, const int64_t *s /* N, O, I */) {
    float *x = check_floats(s[0] * s[2], 1, -1, 1), *W = check_floats(s[1] * s[2], 2, -1, 1);
    float *bias = check_floats(s[1], 3, -1, 1);
    check_gradient c = {.what = "linear", .forward = forward_linear, .leaf_count = 3};
    c.leaves[0] = check_tensor(device, AR_F32, s[0], s[2], x);
    c.leaves[1] = check_tensor(device, AR_F32, s[1], s[2], W);
    c.leaves[2] = check_tensor(device, AR_F32, s[1], -1, bias);
    check_gradients(device, &c);
    for (int i = 0; i < 3; i++) ar_tensor_destroy(c.leaves[i]);
    free(x);
    free(W);
    free(bias);
}

static void linear_gradients(ar_device *device, void *ctx) {
    static const int64_t sizes[][3] = {{1, 1, 1}, {7, 5, 3}, {33, 17, 65}};
    (void)ctx;
    for (int i = 0; i < 3; i++)
        linear_gradient(device, i == 2 && check_is_small() ? (const int64_t[]){9, 17, 13} : sizes[i]);
}

static void linear_gradient_equals_difference(void **state) {
    (void)state;
    check_each_device(linear_gradients, NULL);
}

/* (x + x) W1 + (x + b) with x used four times: contributions add up. */
static ar_status forward_shared(ar_graph *g, ar_tensor **y, ar_tensor **t, void *ctx) {
    ar_tensor *twice = NULL, *product = NULL, *sum = NULL;
    (void)ctx;
    ar_status status = ar_op_add(g, &twice, t[0], t[0]);
    if (status == AR_OK) status = ar_op_linear(g, &product, twice, t[1], NULL);
    if (status == AR_OK) status = ar_op_add(g, &sum, t[0], t[2]);
    return status == AR_OK ? ar_op_add(g, y, product, sum) : status;
}

static void shared_gradient(ar_device *device, void *ctx) {
    float *x = check_floats(9 * 13, 1, -1, 1), *W = check_floats(13 * 13, 2, -1, 1),
          *b = check_floats(9 * 13, 3, -1, 1);
    (void)ctx;
    check_gradient c = {.what = "add", .forward = forward_shared, .leaf_count = 3};
    c.leaves[0] = check_tensor(device, AR_F32, 9, 13, x);
    c.leaves[1] = check_tensor(device, AR_F32, 13, 13, W);
    c.leaves[2] = check_tensor(device, AR_F32, 9, 13, b);
    check_gradients(device, &c);
    for (int i = 0; i < 3; i++) ar_tensor_destroy(c.leaves[i]);
    free(x);
    free(W);
    free(b);
}

static void gradients_of_a_shared_tensor_add_up(void **state) {
    (void)state;
    check_each_device(shared_gradient, NULL);
}

/* ---- mean, mse ---- */

static void mean_case(ar_device *device, int64_t count) {
    float *x = check_floats(count, 5, -2, 3);
    double want = 0, slope = 1.0 / (double)(count ? count : 1);
    for (int64_t i = 0; i < count; i++) want += (double)x[i] / (double)count;
    ar_tensor *t = check_tensor(device, AR_F32, count, -1, x), *m = NULL;
    ar_graph *g = NULL;
    CHECK_OK(ar_graph_create(&g, device));
    ar_tensor_set_needs_grad(t, true);
    CHECK_OK(ar_op_mean(g, &m, t));
    CHECK_OK(ar_graph_backward(g, m));
    ar_graph_keep(g, m);
    if (count) ar_graph_keep(g, ar_tensor_grad(t));
    CHECK_OK(ar_graph_build(g));
    CHECK_OK(ar_graph_run(g));
    check_tensor_close(device, "mean", m, &want, 2e-6);
    if (count) {
        float *grad = check_read(ar_tensor_grad(t));
        for (int64_t i = 0; i < count; i++) assert_float_equal(grad[i], (float)slope, (float)(slope * 1e-6));
        free(grad);
    }
    ar_graph_destroy(g);
    ar_tensor_destroy(t);
    free(x);
}

/* As small as the segments of a sum allow. */
static void small_segments(ar_plan *plan) { plan->piece_bytes = check_is_small() ? 17408 : 65536; }

static void mean_cases(ar_device *device, void *ctx) {
    static const int64_t counts[] = {1, 2, 63, 64, 65, 4095, 4096, 4097, 100003, 0};
    (void)ctx;
    for (int i = 0; i < 10; i++)
        if (!check_is_small() || counts[i] < 100003) mean_case(device, counts[i]);
}

static void mean_equals_double_reference(void **state) {
    (void)state;
    check_each_device(mean_cases, NULL);
    check_each_plan(mean_cases, NULL, small_segments);
}

typedef struct mse_case {
    int64_t N, I;
    bool weighted;
} mse_case;

/* The loss of y + step * direction, by the device. */
static double mse_at(ar_device *device, const mse_case *s, const float *y, const float *direction, float step,
                     const ar_tensor *R, const ar_tensor *M) {
    int64_t count = s->N * s->I;
    float *moved = malloc((size_t)count * sizeof *moved + 1), *loss;
    ar_tensor *Y, *L = NULL;
    ar_graph *g = NULL;
    for (int64_t i = 0; i < count; i++) moved[i] = y[i] + step * direction[i];
    Y = check_tensor(device, AR_F32, s->N, s->I, moved);
    CHECK_OK(ar_graph_create(&g, device));
    CHECK_OK(ar_op_mse(g, &L, Y, R, M));
    ar_graph_keep(g, L);
    CHECK_OK(ar_graph_build(g));
    CHECK_OK(ar_graph_run(g));
    loss = check_read(L);
    double value = (double)loss[0];
    ar_graph_destroy(g);
    ar_tensor_destroy(Y);
    free(moved);
    free(loss);
    return value;
}

/* A square's central difference is exact but for rounding. */
static void mse_differs_as_its_gradient(ar_device *device, const mse_case *s, const float *y,
                                        const ar_tensor *R, const ar_tensor *M, const float *grad) {
    int64_t count = s->N * s->I;
    float *direction = check_floats(count, 7, -1, 1);
    double along = 0;
    for (int64_t i = 0; i < count; i++) {
        direction[i] = grad[i] < 0 ? -fabsf(direction[i]) : fabsf(direction[i]);
        along += (double)grad[i] * (double)direction[i];
    }
    double numeric =
        (mse_at(device, s, y, direction, 0.25f, R, M) - mse_at(device, s, y, direction, -0.25f, R, M)) / 0.5;
    assert_true(fabs(numeric - along) <= 1e-4 * along + 1e-6);
    free(direction);
}

static void mse_matches(ar_device *device, const mse_case *s) {
    int64_t count = s->N * s->I;
    float *y = check_floats(count, 1, -1, 1), *target = check_floats(count, 2, -1, 1),
          *weight = check_floats(s->N, 3, 0, 2);
    double loss = 0, *slope = calloc((size_t)count + 1, sizeof *slope);
    for (int64_t n = 0; n < s->N; n++) weight[n] = !s->weighted ? 1.0f : weight[n] < 0.5f ? 0.0f : weight[n];
    for (int64_t i = 0; i < count; i++) {
        double d = (double)y[i] - (double)target[i], w = (double)weight[i / s->I];
        loss += w * d * d / (double)count;
        slope[i] = 2 * w * d / (double)count;
    }
    ar_tensor *Y = check_tensor(device, AR_F32, s->N, s->I, y),
              *R = check_tensor(device, AR_F32, s->N, s->I, target);
    ar_tensor *M = check_tensor(device, AR_F32, s->N, -1, weight), *L = NULL;
    ar_graph *g = NULL;
    CHECK_OK(ar_graph_create(&g, device));
    ar_tensor_set_needs_grad(Y, true);
    CHECK_OK(ar_op_mse(g, &L, Y, R, s->weighted ? M : NULL));
    ar_graph_keep(g, L);
    if (count) {
        CHECK_OK(ar_graph_backward(g, L));
        ar_graph_keep(g, ar_tensor_grad(Y));
    }
    CHECK_OK(ar_graph_build(g));
    CHECK_OK(ar_graph_run(g));
    check_tensor_close(device, "mse", L, &loss, 2e-6);
    if (count) {
        float *grad = check_read(ar_tensor_grad(Y));
        for (int64_t i = 0; i < count; i++)
            assert_float_equal(grad[i], (float)slope[i], 4e-6f / (float)count);
        mse_differs_as_its_gradient(device, s, y, R, s->weighted ? M : NULL, grad);
        free(grad);
    }
    ar_graph_destroy(g);
    ar_tensor_destroy(Y);
    ar_tensor_destroy(R);
    ar_tensor_destroy(M);
    free(y);
    free(target);
    free(weight);
    free(slope);
}

static void mse_cases(ar_device *device, void *ctx) {
    static const mse_case cases[] = {{1, 1, false},   {1, 63, true}, {5, 13, true},  {64, 64, false},
                                     {17, 241, true}, {0, 5, false}, {9, 4097, true}};
    (void)ctx;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mse_case s = cases[i];
        if (check_is_small() && s.I == 4097) s.I = 513;
        mse_matches(device, &s);
    }
}

static void mse_equals_double_reference(void **state) {
    (void)state;
    check_each_device(mse_cases, NULL);
    check_each_plan(mse_cases, NULL, small_segments);
}

/* ---- copies and bookkeeping ---- */

static void copy_case(ar_device *device, int64_t count) {
    float *x = check_floats(count, 5, -2, 3);
    ar_tensor *src = check_tensor(device, AR_F32, count, -1, x),
              *dst = check_tensor(device, AR_I32, count, -1, NULL);
    ar_graph *g = NULL;
    CHECK_OK(ar_graph_create(&g, device));
    CHECK_OK(ar_op_copy(g, dst, src));
    CHECK_OK(ar_graph_build(g));
    CHECK_OK(ar_graph_run(g));
    float *got = check_read(dst);
    assert_memory_equal(got, x, (size_t)count * 4);
    ar_graph_destroy(g);
    ar_tensor_destroy(src);
    ar_tensor_destroy(dst);
    free(got);
    free(x);
}

static void copy_cases(ar_device *device, void *ctx) {
    static const int64_t counts[] = {1, 63, 64, 65, 100007, 0};
    (void)ctx;
    for (int i = 0; i < 6; i++) copy_case(device, check_is_small() && counts[i] == 100007 ? 5003 : counts[i]);
}

static void copy_is_exact(void **state) {
    (void)state;
    check_each_device(copy_cases, NULL);
    check_each_plan(copy_cases, NULL, small_segments);
}

static void gather_case(ar_device *device, void *ctx) {
    enum { S = 537, R = 129, B = 3, STEPS = 4 };
    float *src = check_floats(S * R, 9, -1, 1);
    int32_t sched[STEPS * B], step = 2;
    uint64_t state = check_seed();
    (void)ctx;
    for (int i = 0; i < STEPS * B; i++) sched[i] = (int32_t)(check_random(&state) % S);
    ar_tensor *source = check_tensor(device, AR_F32, S, R, src), *y = NULL;
    ar_tensor *schedule = check_tensor(device, AR_I32, STEPS, B, sched),
              *now = check_tensor(device, AR_I32, 1, -1, &step);
    ar_graph *g = NULL;
    CHECK_OK(ar_graph_create(&g, device));
    CHECK_OK(ar_op_gather(g, &y, source, schedule, now, B));
    CHECK_OK(ar_op_advance(g, now));
    ar_graph_keep(g, y);
    CHECK_OK(ar_graph_build(g));
    for (; step < STEPS; step++) {
        CHECK_OK(ar_graph_run(g));
        float *got = check_read(y);
        for (int b = 0; b < B; b++) assert_memory_equal(got + b * R, src + sched[step * B + b] * R, R * 4);
        free(got);
    }
    ar_graph_destroy(g);
    ar_tensor_destroy(source);
    ar_tensor_destroy(schedule);
    ar_tensor_destroy(now);
    free(src);
}

static void gather_takes_the_batch_of_each_step(void **state) {
    (void)state;
    check_each_device(gather_case, NULL);
    check_each_plan(gather_case, NULL, small_segments);
}

static void best_case(ar_device *device, void *ctx) {
    enum { STEPS = 5, COUNT = 1003 };
    static const float losses[STEPS] = {3, 4, 1, 1, 0.5f};
    float best[2] = {INFINITY, -1}, history[STEPS] = {0};
    int16_t values[COUNT];
    int32_t step = 0;
    (void)ctx;
    ar_tensor *loss = check_tensor(device, AR_F32, 1, -1, NULL),
              *now = check_tensor(device, AR_I32, 1, -1, &step);
    ar_tensor *kept = check_tensor(device, AR_F32, 2, -1, best),
              *log = check_tensor(device, AR_F32, STEPS, -1, history);
    ar_tensor *state = check_tensor(device, AR_I16, COUNT, -1, NULL),
              *saved = check_tensor(device, AR_I16, COUNT, -1, NULL);
    ar_tensor *improved = NULL;
    ar_graph *g = NULL;
    CHECK_OK(ar_graph_create(&g, device));
    CHECK_OK(ar_op_best(g, &improved, kept, log, loss, now));
    CHECK_OK(ar_op_copy_if(g, saved, state, improved));
    CHECK_OK(ar_op_advance(g, now));
    CHECK_OK(ar_graph_build(g));
    for (int i = 0; i < STEPS; i++) {
        for (int j = 0; j < COUNT; j++) values[j] = (int16_t)(i * 1000 + j);
        CHECK_OK(ar_tensor_write(state, values, 0, COUNT));
        CHECK_OK(ar_tensor_write(loss, &losses[i], 0, 1));
        CHECK_OK(ar_graph_run(g));
        int expected = i < 2 ? 0 : i < 4 ? 2 : 4; /* equal losses do not improve */
        int16_t *got = check_read(saved);
        for (int j = 0; j < COUNT; j++) assert_int_equal(got[j], (int16_t)(expected * 1000 + j));
        free(got);
        CHECK_OK(ar_tensor_read(kept, best, 0, 2));
        assert_true(best[0] == losses[expected] && best[1] == (float)expected);
    }
    CHECK_OK(ar_tensor_read(log, history, 0, STEPS));
    assert_memory_equal(history, losses, sizeof losses);
    ar_graph_destroy(g);
    ar_tensor *all[] = {loss, now, kept, log, state, saved};
    for (int i = 0; i < 6; i++) ar_tensor_destroy(all[i]);
}

static void best_step_is_kept(void **state) {
    (void)state;
    check_each_device(best_case, NULL);
}

/* ---- bad input ---- */

static void ops_refuse_wrong_shapes(void **state) {
    (void)state;
    ar_device *device = NULL;
    ar_graph *g = NULL;
    ar_tensor *y = NULL;
    CHECK_OK(ar_device_open(&device, &(ar_device_desc){.select = "null"}));
    ar_tensor *x = check_tensor(device, AR_F32, 4, 6, NULL), *W = check_tensor(device, AR_F32, 5, 7, NULL);
    ar_tensor *ids = check_tensor(device, AR_I32, 4, 6, NULL),
              *small = check_tensor(device, AR_F32, 3, -1, NULL);
    CHECK_OK(ar_graph_create(&g, device));
    assert_int_equal(ar_op_linear(g, &y, x, W, NULL), AR_ERR_SHAPE);
    assert_int_equal(ar_op_linear(g, &y, x, ids, NULL), AR_ERR_DTYPE);
    assert_int_equal(ar_op_linear(g, &y, x, x, small), AR_ERR_SHAPE);
    assert_int_equal(ar_op_add(g, &y, x, W), AR_ERR_SHAPE);
    assert_int_equal(ar_op_mse(g, &y, x, W, NULL), AR_ERR_SHAPE);
    assert_int_equal(ar_op_mse(g, &y, x, x, small), AR_ERR_SHAPE);
    assert_int_equal(ar_op_mean(g, &y, ids), AR_ERR_DTYPE);
    assert_int_equal(ar_op_copy(g, x, W), AR_ERR_SHAPE);
    assert_int_equal(ar_op_copy_if(g, x, ids, small), AR_ERR_DTYPE);
    assert_int_equal(ar_op_gather(g, &y, x, x, small, 6), AR_ERR_DTYPE);
    ar_graph_destroy(g);
    ar_tensor *all[] = {x, W, ids, small};
    for (int i = 0; i < 4; i++) ar_tensor_destroy(all[i]);
    ar_device_close(device);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gemm_equals_double_reference),
        cmocka_unit_test(gemm_in_small_pieces_equals_reference),
        cmocka_unit_test(gemm_with_another_tile_equals_reference),
        cmocka_unit_test(packs_are_shared_until_written),
        cmocka_unit_test(linear_gradient_equals_difference),
        cmocka_unit_test(gradients_of_a_shared_tensor_add_up),
        cmocka_unit_test(mean_equals_double_reference),
        cmocka_unit_test(mse_equals_double_reference),
        cmocka_unit_test(copy_is_exact),
        cmocka_unit_test(gather_takes_the_batch_of_each_step),
        cmocka_unit_test(best_step_is_kept),
        cmocka_unit_test(ops_refuse_wrong_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
