/* The transformer's ops: every backward against central differences of the device's own forward, on every
 * device, with its own plan and with one that forces pieces; determinism; and arguments the ops refuse.
 * (Values against references: the selftest.) ctest-labels: device vulkan */
#include "ar_error.h"
#include "op_check.h"

typedef struct shape {
    int32_t B, T, H, K, D;
    ar_tensor *fixed; /* frequencies or labels */
    int32_t window;
    float cap; /* of the scores */
} shape;

static void small_pieces(ar_plan *plan) {
    plan->piece_bytes = check_is_small() ? 17408 : 1 << 15; /* 4096 floats, a sum's segment, fit */
    plan->submit_ms = 0.01;
    plan->wg = 32;
    plan->attn_wg = 16; /* as on a GPU */
}

static ar_tensor *leaf(ar_device *device, int64_t rows, int64_t columns, uint64_t salt, float lo, float hi) {
    float *values = check_floats(rows * (columns < 0 ? 1 : columns), salt, lo, hi);
    ar_tensor *t = check_tensor(device, AR_F32, rows, columns, values);
    free(values);
    return t;
}

/* Rows of a case that small pieces are to cut; in a simulator, whose pieces are smaller, as many as are cut
 * there and few where nothing is cut. */
static int64_t many(const ar_device *device, int64_t rows, int64_t to_cut) {
    bool is_cut = ar_device_get_plan(device)->piece_bytes <= 1 << 15;
    return !check_is_small() ? rows : is_cut || to_cut < 9 ? to_cut : 9;
}

static void check_and_destroy(ar_device *device, check_gradient *c) {
    check_gradients(device, c);
    for (int32_t i = 0; i < c->leaf_count; i++) ar_tensor_destroy(c->leaves[i]);
}

/* ---- gradients ---- */

static ar_status layer_norm_forward(ar_graph *g, ar_tensor **y, ar_tensor **leaves, void *ctx) {
    (void)ctx;
    return ar_op_layer_norm(g, y, leaves[0], leaves[1], leaves[2], 1e-5f);
}

static void layer_norm_case(ar_device *device, void *ctx) {
    (void)ctx;
    static const int64_t shapes[][2] = {{1, 7}, {5, 64}, {283, 33}};
    for (int i = 0; i < 3; i++) {
        int64_t N = i == 2 ? many(device, shapes[i][0], 137) : shapes[i][0], I = shapes[i][1];
        check_gradient c = {.what = "layer_norm", .forward = layer_norm_forward, .leaf_count = 3};
        c.leaves[0] = leaf(device, N, I, 22, -1, 1);
        c.leaves[1] = leaf(device, I, -1, 23, -1, 1);
        c.leaves[2] = leaf(device, I, -1, 24, -1, 1);
        check_and_destroy(device, &c);
    }
}

static ar_status act_forward(ar_graph *g, ar_tensor **y, ar_tensor **leaves, void *ctx) {
    return ar_op_act(g, y, leaves[0], *(const ar_act *)ctx);
}

/* Away from relu's kink, which a difference cannot tell from a slope. */
static void act_case(ar_device *device, void *ctx) {
    (void)ctx;
    static const ar_act kinds[] = {AR_ACT_GELU, AR_ACT_GELU_TANH, AR_ACT_RELU, AR_ACT_RELU, AR_ACT_SILU};
    for (int i = 0; i < 5; i++) {
        ar_act kind = kinds[i];
        check_gradient c = {.what = "act", .forward = act_forward, .ctx = &kind, .leaf_count = 1};
        float lo = i == 2 ? 0.1f : i == 3 ? -2.0f : -4.0f, hi = i == 3 ? -0.1f : 4.0f;
        c.leaves[0] = leaf(device, many(device, 83, 35), 129, 25, lo, hi);
        check_and_destroy(device, &c);
    }
}

/* Columns in three parts, one of them used twice; one column is never used. */
static ar_status slice_forward(ar_graph *g, ar_tensor **y, ar_tensor **leaves, void *ctx) {
    (void)ctx;
    ar_tensor *a = NULL, *b = NULL, *c = NULL, *ab = NULL, *bc = NULL;
    AR_TRY(ar_op_slice(g, &a, leaves[0], 0, 13));
    AR_TRY(ar_op_slice(g, &b, leaves[0], 13, 13));
    AR_TRY(ar_op_slice(g, &c, leaves[0], 27, 13));
    AR_TRY(ar_op_gated(g, &ab, a, b, AR_ACT_SILU));
    AR_TRY(ar_op_gated(g, &bc, b, c, AR_ACT_SILU));
    return ar_op_add(g, y, ab, bc);
}

static void slice_case(ar_device *device, void *ctx) {
    (void)ctx;
    check_gradient c = {.what = "slice", .forward = slice_forward, .leaf_count = 1};
    c.leaves[0] = leaf(device, many(device, 211, 110), 40, 26, -1, 1);
    check_and_destroy(device, &c);
}

static ar_status rms_norm_forward(ar_graph *g, ar_tensor **y, ar_tensor **leaves, void *ctx) {
    (void)ctx;
    return ar_op_rms_norm(g, y, leaves[0], leaves[1], 1e-5f);
}

static void rms_norm_case(ar_device *device, void *ctx) {
    (void)ctx;
    static const int64_t shapes[][2] = {{1, 7}, {5, 64}, {283, 33}};
    for (int i = 0; i < 3; i++) {
        int64_t N = i == 2 ? many(device, shapes[i][0], 67) : shapes[i][0], I = shapes[i][1];
        check_gradient c = {.what = "rms_norm", .forward = rms_norm_forward, .leaf_count = 2};
        c.leaves[0] = leaf(device, N, (i + 1) * I, 1, -1, 1); /* as many heads */
        c.leaves[1] = leaf(device, I, -1, 2, -1, 1);
        check_and_destroy(device, &c);
    }
}

/* x is used twice, so its gradient adds up; the weight of the second norm is a leaf of its own. */
static ar_status chain_forward(ar_graph *g, ar_tensor **y, ar_tensor **leaves, void *ctx) {
    (void)ctx;
    ar_tensor *a = NULL, *b = NULL, *c = NULL;
    AR_TRY(ar_op_rms_norm(g, &a, leaves[0], leaves[1], 1e-5f));
    AR_TRY(ar_op_gated(g, &b, a, leaves[0], AR_ACT_SILU));
    AR_TRY(ar_op_add(g, &c, b, leaves[0]));
    return ar_op_rms_norm(g, y, c, leaves[1], 1e-5f);
}

static void chain_case(ar_device *device, void *ctx) {
    (void)ctx;
    check_gradient c = {.what = "chain", .forward = chain_forward, .leaf_count = 2};
    c.leaves[0] = leaf(device, 9, 40, 3, -1, 1);
    c.leaves[1] = leaf(device, 40, -1, 4, 0.5f, 1.5f);
    check_and_destroy(device, &c);
}

static ar_status rope_forward(ar_graph *g, ar_tensor **y, ar_tensor **leaves, void *ctx) {
    const shape *s = ctx;
    return ar_op_rope(g, y, leaves[0], s->fixed, s->T, s->D, 3, 1.25f);
}

static void rope_case(ar_device *device, void *ctx) {
    (void)ctx;
    static const shape shapes[] = {
        {1, 1, 1, 0, 2, NULL, 0, 0}, {2, 5, 3, 0, 10, NULL, 0, 0}, {1, 33, 4, 0, 64, NULL, 0, 0}};
    for (int i = 0; i < 4; i++) {
        shape s = shapes[i < 3 ? i : 1];
        if (s.T == 33) s.H = (int32_t)many(device, 4, 3);
        s.fixed = leaf(device, i == 3 ? 2 : s.D / 2, -1, 5, 0, 1); /* or only a few pairs of a head */
        check_gradient c = {.what = "rope", .forward = rope_forward, .ctx = &s, .leaf_count = 1};
        c.leaves[0] = leaf(device, s.B * s.T, s.H * s.D, 6, -1, 1);
        check_and_destroy(device, &c);
        ar_tensor_destroy(s.fixed);
    }
}

static ar_status attention_forward(ar_graph *g, ar_tensor **y, ar_tensor **leaves, void *ctx) {
    const shape *s = ctx;
    return ar_op_attention(g, y, leaves[0], leaves[1], leaves[2], s->T, s->D, s->window, s->cap);
}

static void attention_case(ar_device *device, void *ctx) {
    (void)ctx;
    static const shape shapes[] = {{2, 1, 2, 1, 4, NULL, 0, 0},    {13, 7, 4, 2, 32, NULL, 0, 0},
                                   {1, 9, 2, 2, 12, NULL, 0, 0},   {1, 18, 3, 1, 48, NULL, 0, 0},
                                   {2, 9, 2, 1, 8, NULL, 1, 0},    {5, 11, 4, 2, 16, NULL, 3, 0},
                                   {1, 18, 3, 1, 48, NULL, 13, 0}, {1, 9, 2, 2, 12, NULL, 100, 0},
                                   {5, 11, 4, 2, 16, NULL, 0, 1},  {1, 18, 3, 1, 48, NULL, 13, 2}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        shape s = shapes[i];
        if (s.B == 13 && check_is_small())
            s.B = 5, s.T = 8; /* all its tensors are aligned between sequences */
        int64_t N = s.B * s.T;
        check_gradient c = {.what = "attention", .forward = attention_forward, .ctx = &s, .leaf_count = 3};
        c.leaves[0] = leaf(device, N, s.H * s.D, 7, -2, 2);
        c.leaves[1] = leaf(device, N, s.K * s.D, 8, -1, 1);
        c.leaves[2] = leaf(device, N, s.K * s.D, 9, -1, 1);
        check_and_destroy(device, &c);
    }
}

static ar_status gated_forward(ar_graph *g, ar_tensor **y, ar_tensor **leaves, void *ctx) {
    return ar_op_gated(g, y, leaves[0], leaves[1], *(const ar_act *)ctx);
}

static void gated_case(ar_device *device, void *ctx) {
    (void)ctx;
    static const ar_act kinds[] = {AR_ACT_SILU, AR_ACT_GELU, AR_ACT_GELU_TANH};
    for (int i = 0; i < 3; i++) {
        ar_act kind = kinds[i];
        check_gradient c = {.what = "gated", .forward = gated_forward, .ctx = &kind, .leaf_count = 2};
        c.leaves[0] = leaf(device, many(device, 83, 35), 129, 10, -4, 4);
        c.leaves[1] = leaf(device, many(device, 83, 35), 129, 11, -1, 1);
        check_and_destroy(device, &c);
    }
}

static ar_status soft_cap_forward(ar_graph *g, ar_tensor **y, ar_tensor **leaves, void *ctx) {
    (void)ctx;
    return ar_op_soft_cap(g, y, leaves[0], 1.5f);
}

static void soft_cap_case(ar_device *device, void *ctx) {
    (void)ctx;
    check_gradient c = {.what = "soft_cap", .forward = soft_cap_forward, .leaf_count = 1};
    c.leaves[0] = leaf(device, many(device, 83, 35), 129, 28, -4, 4);
    check_and_destroy(device, &c);
}

static ar_status nll_forward(ar_graph *g, ar_tensor **y, ar_tensor **leaves, void *ctx) {
    ar_tensor *top1 = NULL;
    return ar_op_nll(g, y, &top1, leaves[0], ((const shape *)ctx)->fixed);
}

static void nll_case(ar_device *device, void *ctx) {
    (void)ctx;
    int32_t labels[71];
    for (int i = 0; i < 71; i++) labels[i] = i % 5 == 0 ? -1 : i * 17 % 130;
    const int64_t rows = many(device, 71, 35);
    shape s = {.fixed = check_tensor(device, AR_I32, rows, -1, labels)};
    check_gradient c = {.what = "nll", .forward = nll_forward, .ctx = &s, .leaf_count = 1, .step = 0.1};
    c.leaves[0] = leaf(device, rows, 130, 12, -2, 2);
    check_and_destroy(device, &c);
    ar_tensor_destroy(s.fixed);
}

static void each(check_case run) {
    check_each_device(run, NULL);
    check_each_plan(run, NULL, small_pieces);
}

static void rms_norm_gradient_is_its_difference(void **state) { (void)state, each(rms_norm_case); }
static void layer_norm_gradient_is_its_difference(void **state) { (void)state, each(layer_norm_case); }
static void act_gradient_is_its_difference(void **state) { (void)state, each(act_case); }
static void slice_gradients_meet(void **state) { (void)state, each(slice_case); }
static void chained_gradients_add_up(void **state) { (void)state, each(chain_case); }
static void rope_gradient_is_its_difference(void **state) { (void)state, each(rope_case); }
static void attention_gradient_is_its_difference(void **state) { (void)state, each(attention_case); }
static void gated_gradient_is_its_difference(void **state) { (void)state, each(gated_case); }
static void soft_cap_gradient_is_its_difference(void **state) { (void)state, each(soft_cap_case); }
static void nll_gradient_is_its_difference(void **state) { (void)state, each(nll_case); }

/* ---- properties ---- */

/* Attention of one token is its value; of equal keys, the running mean of the values in its window. */
static void attention_mean(ar_device *device, int32_t window) {
    enum { T = 19, D = 8 };
    float *v = check_floats(T * D, 13, -1, 1), keys[T * D];
    double want[T * D], sum[D] = {0};
    for (int i = 0; i < T * D; i++) keys[i] = 0.25f;
    for (int t = 0; t < T; t++)
        for (int i = 0; i < D; i++) {
            bool is_full = window > 0 && t >= window;
            sum[i] += v[t * D + i] - (is_full ? v[(t - window) * D + i] : 0);
            want[t * D + i] = sum[i] / (is_full ? window : t + 1);
        }
    ar_tensor *q = leaf(device, T, D, 14, -1, 1), *k = check_tensor(device, AR_F32, T, D, keys);
    ar_tensor *tv = check_tensor(device, AR_F32, T, D, v), *y = NULL;
    ar_graph *g = NULL;
    CHECK_OK(ar_graph_create(&g, device));
    CHECK_OK(ar_op_attention(g, &y, q, k, tv, T, D, window, 0));
    ar_graph_keep(g, y);
    CHECK_OK(ar_graph_build(g));
    CHECK_OK(ar_graph_run(g));
    check_tensor_close(device, "attention of equal keys", y, want, 2e-6);
    ar_graph_destroy(g);
    ar_tensor_destroy(q);
    ar_tensor_destroy(k);
    ar_tensor_destroy(tv);
    free(v);
}

static void attention_mean_case(ar_device *device, void *ctx) {
    (void)ctx;
    static const int32_t windows[] = {0, 1, 2, 6, 18, 19, INT32_MAX};
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) attention_mean(device, windows[i]);
}

/* What lies before the window cannot be seen even where it is no number. */
static void attention_skips_case(ar_device *device, void *ctx) {
    (void)ctx;
    enum { T = 41, D = 8, WINDOW = 5, BAD = 16 };
    float *k = check_floats(T * D, 15, -1, 1), *v = check_floats(T * D, 16, -1, 1), y[T * D];
    for (int i = 0; i < BAD * D; i++) k[i] = v[i] = NAN;
    ar_tensor *tq = leaf(device, T, D, 14, -1, 1), *tk = check_tensor(device, AR_F32, T, D, k);
    ar_tensor *tv = check_tensor(device, AR_F32, T, D, v), *out = NULL;
    ar_graph *g = NULL;
    CHECK_OK(ar_graph_create(&g, device));
    CHECK_OK(ar_op_attention(g, &out, tq, tk, tv, T, D, WINDOW, 0));
    ar_graph_keep(g, out);
    CHECK_OK(ar_graph_build(g));
    CHECK_OK(ar_graph_run(g));
    CHECK_OK(ar_tensor_read(out, y, 0, T * D));
    for (int i = (BAD + 8) * D; i < T * D; i++) /* a tile's first query is up to 3 before it */
        if (!(fabsf(y[i]) <= 1)) fail_msg("%s: element %d is %g", check_name(device), i, (double)y[i]);
    ar_graph_destroy(g);
    ar_tensor_destroy(tq);
    ar_tensor_destroy(tk);
    ar_tensor_destroy(tv);
    free(k);
    free(v);
}

static void attention_reads_no_key_before_its_window(void **state) {
    (void)state;
    check_each_device(attention_skips_case, NULL);
}

static void attention_of_equal_keys_is_a_running_mean(void **state) {
    (void)state;
    check_each_device(attention_mean_case, NULL);
}

/* A distribution's divergence from itself is 0; replays give the same bits. */
static void kl_case(ar_device *device, void *ctx) {
    (void)ctx;
    ar_tensor *z = leaf(device, 5, 201, 15, -3, 3), *other = leaf(device, 5, 201, 16, -3, 3), *same = NULL,
              *kl = NULL;
    ar_graph *g = NULL;
    CHECK_OK(ar_graph_create(&g, device));
    CHECK_OK(ar_op_kl(g, &same, z, z));
    CHECK_OK(ar_op_kl(g, &kl, z, other));
    ar_graph_keep(g, same);
    ar_graph_keep(g, kl);
    CHECK_OK(ar_graph_build(g));
    CHECK_OK(ar_graph_run(g));
    float *zero = check_read(same), *first = check_read(kl);
    CHECK_OK(ar_graph_run(g));
    float *second = check_read(kl);
    for (int i = 0; i < 5; i++) {
        assert_true(zero[i] == 0.0f);
        assert_true(first[i] > 0.0f);
    }
    assert_memory_equal(first, second, 5 * sizeof *first);
    ar_graph_destroy(g);
    free(zero);
    free(first);
    free(second);
    ar_tensor_destroy(z);
    ar_tensor_destroy(other);
}

static void kl_of_itself_is_zero_and_replays_repeat(void **state) {
    (void)state, check_each_device(kl_case, NULL);
}

/* ---- refusals ---- */

static void refusals_case(ar_device *device, void *ctx) {
    (void)ctx;
    ar_graph *g = NULL;
    ar_tensor *x = leaf(device, 6, 16, 17, -1, 1), *row = leaf(device, 16, -1, 18, -1, 1);
    ar_tensor *k = leaf(device, 6, 16, 19, -1, 1), *v = leaf(device, 6, 16, 20, -1, 1),
              *half = leaf(device, 8, -1, 21, 0, 1);
    ar_tensor *ids = check_tensor(device, AR_I32, 6, -1, (int32_t[6]){0}), *y = NULL, *top = NULL;
    CHECK_OK(ar_graph_create(&g, device));
    assert_int_equal(ar_op_rms_norm(g, &y, row, row, 1e-5f), AR_ERR_SHAPE);
    assert_int_equal(ar_op_rms_norm(g, &y, ids, row, 1e-5f), AR_ERR_DTYPE);
    ar_tensor *third = leaf(device, 3, -1, 27, 0, 1);
    assert_int_equal(ar_op_rms_norm(g, &y, x, third, 1e-5f), AR_ERR_SHAPE); /* 16 columns are no heads of 3 */
    ar_tensor_destroy(third);
    assert_int_equal(ar_op_layer_norm(g, &y, x, half, NULL, 1e-5f), AR_ERR_SHAPE);
    assert_int_equal(ar_op_layer_norm(g, &y, x, row, half, 1e-5f), AR_ERR_SHAPE);
    assert_int_equal(ar_op_act(g, &y, row, AR_ACT_RELU), AR_ERR_SHAPE);
    assert_int_equal(ar_op_act(g, &y, x, (ar_act)4), AR_ERR_ARG);
    assert_int_equal(ar_op_slice(g, &y, x, 8, 9), AR_ERR_SHAPE);
    assert_int_equal(ar_op_slice(g, &y, x, -1, 4), AR_ERR_SHAPE);
    assert_int_equal(ar_op_slice(g, &y, x, 8, INT64_MAX), AR_ERR_SHAPE);
    assert_int_equal(ar_op_embed(g, &y, x, row), AR_ERR_DTYPE);
    assert_int_equal(ar_op_rope(g, &y, x, half, 5, 16, 0, 1), AR_ERR_SHAPE); /* 6 rows, T 5 */
    assert_int_equal(ar_op_rope(g, &y, x, half, 6, 15, 0, 1), AR_ERR_ARG);   /* odd D */
    assert_int_equal(ar_op_rope(g, &y, x, row, 6, 16, 0, 1), AR_ERR_SHAPE);  /* 16 frequencies, D/2 is 8 */
    assert_int_equal(ar_op_rope(g, &y, x, half, 6, 16, -1, 1), AR_ERR_ARG);
    assert_int_equal(ar_op_rope(g, &y, x, half, 6, 16, 0, NAN), AR_ERR_ARG);
    assert_int_equal(ar_op_attention(g, &y, x, k, v, 4, 8, 0, 0), AR_ERR_SHAPE); /* 6 rows, T 4 */
    assert_int_equal(ar_op_attention(g, &y, x, k, v, 6, 6, 0, 0), AR_ERR_ARG);   /* D % 4 */
    assert_int_equal(ar_op_attention(g, &y, x, k, k, 6, 8, 0, 0), AR_ERR_ARG);
    assert_int_equal(ar_op_attention(g, &y, x, k, v, 6, 8, -1, 0), AR_ERR_ARG);
    assert_int_equal(ar_op_attention(g, &y, x, k, v, 6, 8, 0, -1), AR_ERR_ARG);
    assert_int_equal(ar_op_soft_cap(g, &y, x, -1), AR_ERR_ARG);
    assert_int_equal(ar_op_soft_cap(g, &y, x, INFINITY), AR_ERR_ARG);
    assert_int_equal(ar_op_soft_cap(g, &y, row, 1), AR_ERR_SHAPE);
    assert_int_equal(ar_op_gated(g, &y, x, k, (ar_act)4), AR_ERR_ARG);
    assert_int_equal(ar_op_gated(g, &y, x, x, AR_ACT_SILU), AR_ERR_ARG);
    assert_int_equal(ar_op_gated(g, &y, x, NULL, AR_ACT_SILU), AR_ERR_ARG);
    assert_int_equal(ar_op_nll(g, &y, &top, x, half), AR_ERR_DTYPE);
    assert_int_equal(ar_op_kl(g, &y, x, row), AR_ERR_SHAPE);
    assert_null(y);
    ar_graph_destroy(g);
    ar_tensor *all[] = {x, row, k, v, half, ids};
    for (int i = 0; i < 6; i++) ar_tensor_destroy(all[i]);
}

static void ops_refuse_wrong_arguments(void **state) { (void)state, check_each_device(refusals_case, NULL); }

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rms_norm_gradient_is_its_difference),
        cmocka_unit_test(layer_norm_gradient_is_its_difference),
        cmocka_unit_test(act_gradient_is_its_difference),
        cmocka_unit_test(slice_gradients_meet),
        cmocka_unit_test(chained_gradients_add_up),
        cmocka_unit_test(rope_gradient_is_its_difference),
        cmocka_unit_test(attention_gradient_is_its_difference),
        cmocka_unit_test(gated_gradient_is_its_difference),
        cmocka_unit_test(soft_cap_gradient_is_its_difference),
        cmocka_unit_test(nll_gradient_is_its_difference),
        cmocka_unit_test(attention_of_equal_keys_is_a_running_mean),
        cmocka_unit_test(attention_reads_no_key_before_its_window),
        cmocka_unit_test(kl_of_itself_is_zero_and_replays_repeat),
        cmocka_unit_test(ops_refuse_wrong_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
