/* Ops of nets of few states: gradients against central differences, values and gradients against PyTorch's
 * (in double: group_norm with one group over the batch seen as (1, C, B P); standardized weights), constants
 * outside training, arguments that are refused. (More values: the selftest.) ctest-labels: device vulkan */
#include "ar_error.h"
#include "op_check.h"

static void small_pieces(ar_plan *plan) {
    plan->piece_bytes = check_is_small() ? 17408 : 1 << 15;
    plan->submit_ms = 0.01;
    plan->wg = 32;
}

static ar_tensor *leaf(ar_device *device, int64_t rows, int64_t columns, uint64_t salt, float lo, float hi) {
    float *values = check_floats(rows * (columns < 0 ? 1 : columns), salt, lo, hi);
    ar_tensor *t = check_tensor(device, AR_F32, rows, columns, values);
    free(values);
    return t;
}

static ar_tensor *known(ar_device *device, int rows, int columns, int factor, int modulus, float over) {
    float values[16];
    int count = rows * columns;
    for (int i = 0; i < count; i++) values[i] = (float)(i * factor % modulus - modulus / 2) / over;
    return check_tensor(device, AR_F32, rows, columns, values);
}

/* ---- differences ---- */

typedef struct norm_under_test {
    ar_spread_norm n;
} norm_under_test;

static ar_status norm_forward(ar_graph *g, ar_tensor **y, ar_tensor **leaves, void *ctx) {
    const norm_under_test *t = ctx;
    return ar_op_spread_norm(g, y, leaves[0], leaves[1], leaves[2], &t->n);
}

static void norm_gradients(ar_device *device, void *ctx) {
    (void)ctx;
    for (int stats = 0; stats <= AR_STATS_FIXED; stats++)
        for (int64_t images = 1; images <= 6; images += 5) {
            const float start[] = {0.3f, 1.2f};
            float many[16];
            for (int i = 0; i < 16; i++) many[i] = start[i % 2];
            norm_under_test t = {
                .n = {.stats = (ar_stats)stats, .places = 9, .eps = 1e-5f, .momentum = 0.1f}};
            t.n.is_training = true;
            if (stats != AR_STATS_LAYER)
                t.n.running = check_tensor(device, AR_F32, stats == AR_STATS_BATCH ? 8 : 1, 2, many);
            check_gradient c = {
                .what = "spread_norm", .forward = norm_forward, .ctx = &t, .leaf_count = 3, .bound = 2e-2};
            c.leaves[0] = leaf(device, images * 9, 8, 11, -2, 3);
            c.leaves[1] = leaf(device, 8, -1, 12, -1, 1);
            c.leaves[2] = leaf(device, 8, -1, 13, -1, 1);
            check_gradients(device, &c);
            for (int i = 0; i < 3; i++) ar_tensor_destroy(c.leaves[i]);
            ar_tensor_destroy(t.n.running);
        }
}

static void norms_gradients_are_their_differences_even_of_one_image(void **state) {
    (void)state;
    check_each_device(norm_gradients, NULL);
    check_each_plan(norm_gradients, NULL, small_pieces);
}

static ar_status weight_forward(ar_graph *g, ar_tensor **y, ar_tensor **leaves, void *ctx) {
    return ar_op_state_weight(g, y, leaves[0], ctx);
}

static void weight_gradients(ar_device *device, void *ctx) {
    (void)ctx;
    for (int i = 0; i < 2; i++) {
        ar_state_weight s = {.M = 0, .gain = 2, .standardize = i == 0, .plain = 3};
        check_gradient c = {.what = "state_weight", .forward = weight_forward, .ctx = &s, .leaf_count = 1};
        c.leaves[0] = leaf(device, 40, 33, 14, -1, 1);
        check_gradients(device, &c);
        ar_tensor_destroy(c.leaves[0]);
    }
}

static void standardizing_has_the_gradient_of_its_differences(void **state) {
    (void)state;
    check_each_device(weight_gradients, NULL);
    check_each_plan(weight_gradients, NULL, small_pieces);
}

/* ---- PyTorch's ---- */

static void norm_golden(ar_device *device, void *ctx) {
    static const double y_is[] = {-0.485797379, 0.908926174, 0.229614208, 0.923965667,
                                  0.0185495138, 0.823198648, 0.627173446, -0.871827147,
                                  -1.99632744,  0.330381226, -1.76220381, -1.402743};
    static const double dx_is[] = {0.415534135,  0.339656802,   0.10266012,    -0.302595422,
                                   -0.458697445, -0.0789637421, -0.0993414413, -0.292476977,
                                   0.2890959,    0.103912539,   -0.126256508,  0.107472039};
    static const double dgamma_is[] = {-0.0570404103, 0.544513082, -1.48825913};
    static const double dbeta_is[] = {0.607620493, -0.409425878, -0.474376265};
    const float gains[] = {0.5f, 1.5f, -1}, shifts[] = {0.25f, 0, -0.5f};
    ar_graph *g = NULL;
    ar_tensor *x = known(device, 4, 3, 37, 23, 8), *w = known(device, 4, 3, 29, 13, 4), *y = NULL,
              *loss = NULL, *gamma = check_tensor(device, AR_F32, 3, -1, gains),
              *beta = check_tensor(device, AR_F32, 3, -1, shifts),
              *running = check_tensor(device, AR_F32, 1, 2, (float[]){0, 1});
    const ar_spread_norm n = {AR_STATS_LAYER_BATCH, 2, 1e-5f, 0.1f, running, true};
    (void)ctx;
    CHECK_OK(ar_graph_create(&g, device));
    ar_tensor_set_needs_grad(x, true), ar_tensor_set_needs_grad(gamma, true),
        ar_tensor_set_needs_grad(beta, true);
    CHECK_OK(ar_op_spread_norm(g, &y, x, gamma, beta, &n));
    CHECK_OK(ar_op_mse(g, &loss, y, w, NULL));
    CHECK_OK(ar_graph_backward(g, loss));
    ar_graph_keep(g, y);
    ar_graph_keep(g, ar_tensor_grad(x)), ar_graph_keep(g, ar_tensor_grad(gamma)),
        ar_graph_keep(g, ar_tensor_grad(beta));
    CHECK_OK(ar_graph_build(g));
    CHECK_OK(ar_graph_run(g));
    check_tensor_close(device, "y", y, y_is, 1e-5);
    check_tensor_close(device, "dx", ar_tensor_grad(x), dx_is, 1e-5);
    check_tensor_close(device, "dgamma", ar_tensor_grad(gamma), dgamma_is, 1e-5);
    check_tensor_close(device, "dbeta", ar_tensor_grad(beta), dbeta_is, 1e-5);
    ar_graph_destroy(g);
    ar_tensor *all[] = {x, w, gamma, beta, running};
    for (int i = 0; i < 5; i++) ar_tensor_destroy(all[i]);
}

static void layer_batch_norm_is_group_norm_over_the_batch(void **state) {
    (void)state, check_each_device(norm_golden, NULL);
}

static void weight_golden(ar_device *device, void *ctx) {
    static const double u_is[] = {-4.24256069, -2.12128034, 0,           2.12128034,  4.24256069,
                                  2.69100899,  4.18601398,  -3.78734599, -2.29234099, -0.797335997};
    static const double dW_is[] = {0.791873357, -0.396007984, -1.58388932, 1.18795265,   7.13052722e-05,
                                   0.902969464, -0.190052828, 0.855383413, -0.237638879, -1.33066117};
    ar_graph *g = NULL;
    ar_tensor *W = known(device, 2, 5, 41, 19, 8), *t = known(device, 2, 5, 17, 7, 2), *y = NULL,
              *loss = NULL;
    const ar_state_weight s = {.gain = 3, .standardize = true};
    (void)ctx;
    CHECK_OK(ar_graph_create(&g, device));
    ar_tensor_set_needs_grad(W, true);
    CHECK_OK(ar_op_state_weight(g, &y, W, &s));
    CHECK_OK(ar_op_mse(g, &loss, y, t, NULL));
    CHECK_OK(ar_graph_backward(g, loss));
    ar_graph_keep(g, y), ar_graph_keep(g, ar_tensor_grad(W));
    CHECK_OK(ar_graph_build(g));
    CHECK_OK(ar_graph_run(g));
    check_tensor_close(device, "u", y, u_is, 1e-5);
    check_tensor_close(device, "dW", ar_tensor_grad(W), dW_is, 1e-5);
    ar_graph_destroy(g);
    ar_tensor_destroy(W), ar_tensor_destroy(t);
}

static void standardized_weights_are_pytorchs(void **state) {
    (void)state, check_each_device(weight_golden, NULL);
}

/* ---- codes ---- */

static void weights_have_the_states_asked_for(void **state) {
    static const int32_t expected[][3] = {{2, -1, 1}, {3, -1, 1}, {4, -2, 1}, {7, -3, 3}, {16, -8, 7}};
    (void)state;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        int32_t low = 0, high = 0;
        CHECK_OK(ar_state_range(&low, &high, expected[i][0]));
        assert_int_equal(low, expected[i][1]);
        assert_int_equal(high, expected[i][2]);
    }
    assert_int_equal(ar_state_range(&(int32_t){0}, &(int32_t){0}, 1), AR_ERR_ARG);
}

/* Outside training y has the bits of a host's a x + b, and so have its codes. */
static void folded_case(ar_device *device, void *ctx) {
    enum { N = 600, C = 7 };
    ar_graph *g = NULL;
    ar_tensor *x = leaf(device, N, C, 21, -90, 90), *gamma = leaf(device, C, -1, 22, -1, 1),
              *beta = leaf(device, C, -1, 23, -1, 1), *y = NULL, *code = NULL, *fold = NULL,
              *running = check_tensor(device, AR_F32, 1, 2, (float[]){3, 700});
    const ar_spread_norm n = {.stats = AR_STATS_LAYER_BATCH, .places = 1, .eps = 1e-5f, .running = running};
    const ar_state_round s = {.M = 7, .gain = 3};
    (void)ctx;
    CHECK_OK(ar_graph_create(&g, device));
    CHECK_OK(ar_op_spread_norm(g, &y, x, gamma, beta, &n));
    CHECK_OK(ar_op_state_round(g, &code, y, &s));
    CHECK_OK(ar_op_fold(g, &fold, gamma, beta, &n));
    ar_graph_keep(g, y), ar_graph_keep(g, code), ar_graph_keep(g, fold);
    CHECK_OK(ar_graph_build(g));
    CHECK_OK(ar_graph_run(g));
    float *found = check_read(y), *codes = check_read(code), *from = check_read(x), *ab = check_read(fold);
    for (int i = 0; i < N * C; i++) {
        float at = ab[2 * (i % C)] * from[i], whole = at + ab[2 * (i % C) + 1];
        assert_true(found[i] == whole);
        assert_true(codes[i] == fminf(6, fmaxf(0, rintf(3 * whole))));
    }
    free(found), free(codes), free(from), free(ab);
    ar_graph_destroy(g);
    ar_tensor *all[] = {x, gamma, beta, running};
    for (int i = 0; i < 4; i++) ar_tensor_destroy(all[i]);
}

static void a_folded_norm_has_a_hosts_bits(void **state) {
    (void)state, check_each_device(folded_case, NULL);
}

/* ---- refusals ---- */

static void refusals_case(ar_device *device, void *ctx) {
    (void)ctx;
    ar_graph *g = NULL;
    ar_tensor *x = leaf(device, 6, 4, 1, -1, 1), *c = leaf(device, 4, -1, 2, 1, 2), *y = NULL,
              *running = leaf(device, 1, 2, 3, 1, 2), *narrow = leaf(device, 3, -1, 4, 1, 2);
    ar_spread_norm n = {AR_STATS_LAYER_BATCH, 4, 1e-5f, 0.1f, running, true};
    CHECK_OK(ar_graph_create(&g, device));
    assert_int_equal(ar_op_spread_norm(g, &y, x, c, c, &n), AR_ERR_SHAPE); /* 6 rows, images of 4 */
    n.places = 2;
    assert_int_equal(ar_op_spread_norm(g, &y, x, narrow, c, &n), AR_ERR_SHAPE);
    n.stats = AR_STATS_BATCH;
    assert_int_equal(ar_op_spread_norm(g, &y, x, c, c, &n), AR_ERR_SHAPE);
    n.stats = AR_STATS_LAYER;
    assert_int_equal(ar_op_fold(g, &y, c, c, &n), AR_ERR_ARG);
    n.stats = AR_STATS_SAMPLE, n.momentum = 2;
    assert_int_equal(ar_op_spread_norm(g, &y, x, c, c, &n), AR_ERR_ARG);
    n.momentum = 0.1f, n.running = NULL;
    assert_int_equal(ar_op_spread_norm(g, &y, x, c, c, &n), AR_ERR_ARG);
    assert_int_equal(ar_op_state_weight(g, &y, x, &(ar_state_weight){.M = 1, .gain = 1}), AR_ERR_ARG);
    assert_int_equal(ar_op_state_weight(g, &y, x, &(ar_state_weight){.M = 3}), AR_ERR_ARG);
    assert_int_equal(ar_op_state_round(g, &y, x, &(ar_state_round){.M = -2, .gain = 1}), AR_ERR_ARG);
    assert_int_equal(ar_op_state_round(g, &y, x, &(ar_state_round){.M = 3, .gain = -1}), AR_ERR_ARG);
    ar_graph_destroy(g);
    ar_tensor_destroy(x), ar_tensor_destroy(c), ar_tensor_destroy(running), ar_tensor_destroy(narrow);
}

static void ops_refuse_wrong_arguments(void **state) { (void)state, check_each_device(refusals_case, NULL); }

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_gradients_are_their_differences_even_of_one_image),
        cmocka_unit_test(standardizing_has_the_gradient_of_its_differences),
        cmocka_unit_test(layer_batch_norm_is_group_norm_over_the_batch),
        cmocka_unit_test(standardized_weights_are_pytorchs),
        cmocka_unit_test(weights_have_the_states_asked_for),
        cmocka_unit_test(a_folded_norm_has_a_hosts_bits),
        cmocka_unit_test(ops_refuse_wrong_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
