/* Steps of rounding within the product that makes their gradient: when the graph offers that product, what
 * becomes of it otherwise, and that tuning gives the same bits both ways. ctest-labels: device vulkan full */
#include "tuned_model.h"
#include "internal.h"

/* ---- what the graph offers ---- */

typedef struct told {
    int products, gradients;
    bool takes;
    ar_tensor *dW;
} told;

static ar_status on_product(ar_graph *g, bool *taken, const ar_tensor *dy, const ar_tensor *x,
                            const void *ctx) {
    told *t = *(told *const *)ctx;
    (void)g;
    assert_int_equal(ar_tensor_dim(dy, 0), ar_tensor_dim(x, 0));
    t->products++;
    *taken = t->takes;
    return AR_OK;
}

static ar_status on_grad(ar_graph *g, ar_tensor *W, ar_tensor *dW, const void *ctx) {
    told *t = *(told *const *)ctx;
    (void)W;
    ar_graph_keep(g, dW);
    t->gradients++;
    t->dW = dW;
    return AR_OK;
}

/* x (W + W)^T, of which there are `uses`, added up; dW as it is told, read after a run. */
static void record(told *t, float *dW, ar_device *device, ar_product_fn product, int uses) {
    enum { N = 9, O = 20, I = 48 };
    float *x = check_floats(N * I, 1, -1, 1), *w = check_floats(O * I, 2, -1, 1);
    ar_tensor *X = check_tensor(device, AR_F32, N, I, x), *V = check_tensor(device, AR_F32, O, I, w);
    ar_tensor *W = NULL, *y = NULL, *sum = NULL, *loss = NULL,
              *target = check_tensor(device, AR_F32, N, O, w);
    told *ctx = t;
    ar_graph *g = NULL;
    CHECK_OK(ar_graph_create(&g, device));
    ar_tensor_set_needs_grad(V, true);
    CHECK_OK(ar_op_add(g, &W, V, V));
    CHECK_OK(ar_graph_on_product(g, W, product, on_grad, &ctx, sizeof ctx));
    for (int i = 0; i < uses; i++) {
        ar_tensor *total = NULL;
        CHECK_OK(ar_op_linear(g, &y, X, W, NULL));
        if (i > 0) CHECK_OK(ar_op_add(g, &total, sum, y));
        sum = i > 0 ? total : y;
    }
    CHECK_OK(ar_op_mse(g, &loss, sum, target, NULL));
    CHECK_OK(ar_graph_backward(g, loss));
    if (t->dW) {
        CHECK_OK(ar_graph_build(g));
        CHECK_OK(ar_graph_run(g));
        CHECK_OK(ar_tensor_read(t->dW, dW, 0, O * I));
    }
    ar_graph_destroy(g);
    ar_tensor_destroy(X);
    ar_tensor_destroy(V);
    ar_tensor_destroy(target);
    free(x);
    free(w);
}

static void products_put_off(ar_device *device, void *ctx) {
    float want[20 * 48], found[20 * 48];
    (void)ctx;
    for (int uses = 1; uses <= 3; uses++) {
        told usual = {0}, refused = {0};
        record(&usual, want, device, NULL, uses);
        record(&refused, found, device, on_product, uses);
        assert_int_equal(usual.products, 0);
        assert_int_equal(usual.gradients, 1);
        assert_int_equal(refused.products, uses == 1); /* of several none is the gradient */
        assert_int_equal(refused.gradients, 1);
        assert_memory_equal(found, want, sizeof want);
    }
    told taken = {.takes = true};
    record(&taken, found, device, on_product, 1);
    assert_int_equal(taken.products, 1);
    assert_int_equal(taken.gradients, 0);
}

static void a_product_put_off_is_made_where_nobody_takes_it(void **state) {
    (void)state;
    check_each_device(products_put_off, NULL);
}

/* ---- tuning ---- */

static ar_status notice(ar__checker *seen, ar_device *device, ar__kernel_id kernel) {
    (void)device;
    if (kernel == AR_K_gemm_step) *(bool *)(void *)seen = true;
    return AR_OK;
}

static void tuned_both_ways(ar_device *device, void *ctx) {
    outcome apart, joined;
    bool is_seen = false;
    (void)ctx;
    device->first_use = notice, device->checker = (ar__checker *)(void *)&is_seen;
    device->plan.ways &= ~(1u << AR_W_weight_step);
    CHECK_OK(quantize(&apart, device, "signround", &asym2, NULL));
    assert_false(is_seen);
    device->plan.ways |= 1u << AR_W_weight_step;
    CHECK_OK(quantize(&joined, device, "signround", &asym2, NULL));
    assert_true(is_seen);
    device->first_use = NULL, device->checker = NULL;
    assert_int_equal(differing_codes(&apart, &joined), 0);
    outcome_free(&apart);
    outcome_free(&joined);
}

static void steps_within_products_give_the_general_paths_bits(void **state) {
    (void)state;
    check_each_device(tuned_both_ways, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_product_put_off_is_made_where_nobody_takes_it),
        cmocka_unit_test(steps_within_products_give_the_general_paths_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
