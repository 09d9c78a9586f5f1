/* The ops that training whole models needs: every backward against central differences, on every device, with
 * its own plan and with one that forces pieces; recomputing; arguments that are refused. (Values against
 * references: the selftest.) ctest-labels: device vulkan */
#include "ar_error.h"
#include "op_check.h"

static void small_pieces(ar_plan *plan) {
    plan->piece_bytes = check_is_small() ? 17408 : 1 << 15;
    plan->submit_ms = 0.01;
    plan->wg = 32;
}

static void each(check_case run) {
    check_each_device(run, NULL);
    check_each_plan(run, NULL, small_pieces);
}

static ar_tensor *leaf(ar_device *device, int64_t rows, int64_t columns, uint64_t salt, float lo, float hi) {
    float *values = check_floats(rows * (columns < 0 ? 1 : columns), salt, lo, hi);
    ar_tensor *t = check_tensor(device, AR_F32, rows, columns, values);
    free(values);
    return t;
}

static ar_tensor *integers(ar_device *device, int64_t count, int32_t below) {
    int32_t *values = malloc((size_t)count * sizeof *values);
    uint64_t state = check_seed();
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++) values[i] = (int32_t)(check_random(&state) % (uint64_t)below);
    ar_tensor *t = check_tensor(device, AR_I32, count, -1, values);
    free(values);
    return t;
}

static void check_and_destroy(ar_device *device, check_gradient *c) {
    check_gradients(device, c);
    for (int32_t i = 0; i < c->leaf_count; i++) ar_tensor_destroy(c->leaves[i]);
}

/* ---- embedding ---- */

/* A tied table: rows of it are looked up, added to learned positions, and it is the head. */
typedef struct tied {
    ar_tensor *ids, *positions, *labels;
    int64_t piece;
} tied;

static ar_status tied_forward(ar_graph *g, ar_tensor **y, ar_tensor **leaves, void *ctx) {
    const tied *t = ctx;
    ar_tensor *e = NULL, *p = NULL, *x = NULL, *nll = NULL, *top1 = NULL;
    AR_TRY(ar_op_embed(g, &e, leaves[0], t->ids));
    AR_TRY(ar_op_embed(g, &p, leaves[1], t->positions));
    AR_TRY(ar_op_add(g, &x, e, p));
    AR_TRY(ar_op_head_nll(g, &nll, &top1, x, leaves[0], t->labels, t->piece));
    return ar_op_mean(g, y, nll);
}

static void tied_case(ar_device *device, void *ctx) {
    (void)ctx;
    static const int64_t pieces[] = {0, 48, 200};
    for (int i = 0; i < 3; i++) {
        enum { N = 150, V = 320, T = 10 };
        int32_t at[N];
        for (int32_t n = 0; n < N; n++) at[n] = n % T;
        tied t = {.ids = integers(device, N, V / 2), .labels = integers(device, N, V), .piece = pieces[i]};
        t.positions = check_tensor(device, AR_I32, N, -1, at);
        check_gradient c = {.what = "tied", .forward = tied_forward, .ctx = &t, .leaf_count = 2};
        c.leaves[0] = leaf(device, V, 64, 31, -1, 1);
        c.leaves[1] = leaf(device, T, 64, 32, -1, 1);
        check_and_destroy(device, &c);
        ar_tensor_destroy(t.ids);
        ar_tensor_destroy(t.labels);
        ar_tensor_destroy(t.positions);
    }
}

static void tied_head_and_embedding_gradients_meet(void **state) { (void)state, each(tied_case); }

/* ---- recomputing ---- */

typedef struct layer {
    ar_tensor *W, *w;
} layer;

static ar_status record_layer(ar_graph *g, ar_tensor **y, ar_tensor *x, const void *ctx) {
    const layer *l = ctx;
    ar_tensor *n = NULL, *z = NULL, *a = NULL;
    AR_TRY(ar_op_rms_norm(g, &n, x, l->w, 1e-5f));
    AR_TRY(ar_op_linear(g, &z, n, l->W, NULL));
    AR_TRY(ar_op_act(g, &a, z, AR_ACT_GELU));
    return ar_op_add(g, y, x, a);
}

enum { ROWS = 600, WIDTH = 16, LAYERS = 5 };

/* Loss, dx, and every dW; *temp = the graph's memory. */
static float *layers_gradients(ar_device *device, bool again, uint64_t *temp) {
    ar_graph *g = NULL;
    ar_tensor *x = leaf(device, ROWS, WIDTH, 41, -1, 1), *y = x,
              *target = leaf(device, ROWS, WIDTH, 42, -1, 1), *loss = NULL;
    layer l[LAYERS];
    float *out = calloc(1 + ROWS * WIDTH + LAYERS * WIDTH * WIDTH, sizeof *out);
    assert_non_null(out);
    CHECK_OK(ar_graph_create(&g, device));
    ar_tensor_set_needs_grad(x, true);
    for (int i = 0; i < LAYERS; i++) {
        l[i] = (layer){leaf(device, WIDTH, WIDTH, 50 + (uint64_t)i, -1, 1),
                       leaf(device, WIDTH, -1, 43, 0.5f, 1)};
        ar_tensor_set_needs_grad(l[i].W, true);
        if (again)
            CHECK_OK(ar_graph_recompute(g, &y, y, record_layer, &l[i], sizeof l[i]));
        else
            CHECK_OK(record_layer(g, &y, y, &l[i]));
    }
    CHECK_OK(ar_op_mse(g, &loss, y, target, NULL));
    CHECK_OK(ar_graph_backward(g, loss));
    ar_graph_keep(g, loss);
    ar_graph_keep(g, ar_tensor_grad(x));
    for (int i = 0; i < LAYERS; i++) ar_graph_keep(g, ar_tensor_grad(l[i].W));
    CHECK_OK(ar_graph_build(g));
    CHECK_OK(ar_graph_run(g));
    CHECK_OK(ar_tensor_read(loss, out, 0, 1));
    CHECK_OK(ar_tensor_read(ar_tensor_grad(x), out + 1, 0, ROWS * WIDTH));
    ar_graph_stats stats;
    ar_graph_get_stats(g, &stats);
    *temp = stats.temp_bytes;
    for (int i = 0; i < LAYERS; i++) {
        float *dW = out + 1 + ROWS * WIDTH + i * WIDTH * WIDTH;
        CHECK_OK(ar_tensor_read(ar_tensor_grad(l[i].W), dW, 0, WIDTH * WIDTH));
    }
    ar_graph_destroy(g);
    for (int i = 0; i < LAYERS; i++) ar_tensor_destroy(l[i].W), ar_tensor_destroy(l[i].w);
    ar_tensor_destroy(x);
    ar_tensor_destroy(target);
    return out;
}

static void recompute_case(ar_device *device, void *ctx) {
    (void)ctx;
    uint64_t kept_bytes = 0, again_bytes = 0;
    float *kept = layers_gradients(device, false, &kept_bytes),
          *again = layers_gradients(device, true, &again_bytes);
    assert_memory_equal(kept, again, (1 + ROWS * WIDTH + LAYERS * WIDTH * WIDTH) * sizeof *kept);
    assert_true(again_bytes < kept_bytes);
    free(kept);
    free(again);
}

static void recomputing_gives_the_same_bits_in_less_memory(void **state) {
    (void)state, check_each_device(recompute_case, NULL);
}

/* ---- dropout, images ---- */

static ar_status dropout_forward(ar_graph *g, ar_tensor **y, ar_tensor **leaves, void *ctx) {
    return ar_op_dropout(g, y, leaves[0], 0.3f, 5, ctx);
}

static void dropout_case(ar_device *device, void *ctx) {
    (void)ctx;
    check_gradient c = {.what = "dropout", .forward = dropout_forward, .leaf_count = 1};
    ar_tensor *count = integers(device, 1, 1000);
    c.ctx = count;
    c.leaves[0] = leaf(device, 100, 130, 60, -1, 1);
    check_and_destroy(device, &c);
    ar_tensor_destroy(count);
}

static void dropout_gradient_is_its_difference(void **state) { (void)state, each(dropout_case); }

/* A convolution and a pool, as nets have them, and by patches with a pool of means. */
static ar_status image_forward(ar_graph *g, ar_tensor **y, ar_tensor **leaves, void *ctx) {
    ar_tensor *rows = NULL, *z = NULL, *p = NULL;
    const ar_window2d conv = {.H = 10, .W = 8, .K = 3, .pad = 1},
                      pool = {.H = 10, .W = 8, .K = 2, .stride = 2};
    if (*(bool *)ctx) {
        AR_TRY(ar_op_im2col(g, &rows, leaves[0], &conv));
        AR_TRY(ar_op_linear(g, &z, rows, leaves[1], leaves[2]));
    } else {
        AR_TRY(ar_op_conv2d(g, &z, leaves[0], leaves[1], leaves[2], &conv));
    }
    AR_TRY(ar_op_pool(g, &p, z, &pool, *(bool *)ctx));
    return ar_op_reshape(g, y, p, ar_tensor_dim(p, 0) / 20, 20 * ar_tensor_dim(p, 1));
}

static void image_case(ar_device *device, void *ctx) {
    (void)ctx;
    for (int i = 0; i < 2; i++) {
        bool mean = i == 1;
        check_gradient c = {.what = "image", .forward = image_forward, .ctx = &mean, .leaf_count = 3};
        c.leaves[0] = leaf(device, 6 * 80, 4, 61, -1, 1); /* small steps: a largest one stays so */
        c.leaves[1] = leaf(device, 16, 36, 62, -1, 1);
        c.leaves[2] = leaf(device, 16, -1, 63, -1, 1);
        c.step = 1e-3;
        c.bound = 3e-2;
        check_and_destroy(device, &c);
    }
}

static void convolution_and_pool_gradients_are_their_differences(void **state) {
    (void)state, each(image_case);
}

/* y of 3 images of 4 x 10 x 4, 32 outputs, on a device whose plan is told whether to do without patches. */
static float *convolve(ar_device *like, bool direct, const ar_window2d *w) {
    ar_device *device = NULL;
    ar_graph *g = NULL;
    ar_tensor *y = NULL;
    ar_plan plan = *ar_device_get_plan(like);
    char select[24];
    snprintf(select, sizeof select, "%s", check_name(like));
    plan.direct_conv = direct;
    CHECK_OK(ar_device_open(&device, &(ar_device_desc){.select = select, .plan = &plan}));
    ar_tensor *x = leaf(device, 3 * w->H * w->W, 4, 71, -1, 1),
              *W = leaf(device, 32, 4 * w->K * w->K, 72, -1, 1), *bias = leaf(device, 32, -1, 73, -1, 1);
    CHECK_OK(ar_graph_create(&g, device));
    CHECK_OK(ar_op_conv2d(g, &y, x, W, bias, w));
    ar_graph_keep(g, y);
    CHECK_OK(ar_graph_build(g));
    CHECK_OK(ar_graph_run(g));
    float *read = check_read(y);
    ar_graph_destroy(g);
    ar_tensor_destroy(x);
    ar_tensor_destroy(W);
    ar_tensor_destroy(bias);
    ar_device_close(device);
    return read;
}

static void direct_case(ar_device *device, void *ctx) {
    static const ar_window2d windows[] = {{.H = 4, .W = 10, .K = 3, .pad = 1},
                                          {.H = 4, .W = 10, .K = 5, .pad = 1}};
    (void)ctx;
    for (int i = 0; i < 2; i++) {
        const ar_window2d *w = &windows[i];
        float *direct = convolve(device, true, w), *patches = convolve(device, false, w);
        size_t count = (size_t)(3 * ar_window2d_out(w, w->H) * ar_window2d_out(w, w->W) * 32);
        assert_memory_equal(direct, patches, count * sizeof *direct);
        free(direct);
        free(patches);
    }
}

static void a_direct_convolution_has_the_bits_of_patches(void **state) { (void)state, each(direct_case); }

/* ---- refusals ---- */

static void refusals_case(ar_device *device, void *ctx) {
    (void)ctx;
    ar_graph *g = NULL;
    ar_tensor *x = leaf(device, 4, 8, 1, -1, 1), *W = leaf(device, 5, 8, 2, -1, 1),
              *narrow = leaf(device, 5, 7, 3, -1, 1), *labels = integers(device, 4, 5),
              *few = integers(device, 3, 5), *y = NULL, *top1 = NULL;
    layer l = {W, NULL};
    CHECK_OK(ar_graph_create(&g, device));
    assert_int_equal(ar_op_head_nll(g, &y, &top1, x, narrow, labels, 0), AR_ERR_SHAPE);
    assert_int_equal(ar_op_head_nll(g, &y, &top1, x, W, few, 0), AR_ERR_SHAPE);
    assert_int_equal(ar_op_head_nll(g, &y, &top1, x, W, x, 0), AR_ERR_DTYPE);
    ar_window2d outside = {.H = 2, .W = 2, .K = 3}, other = {.H = 3, .W = 3, .K = 2},
                padded = {.H = 2, .W = 2, .K = 2, .pad = 1};
    assert_int_equal(ar_op_im2col(g, &y, x, &outside), AR_ERR_ARG);
    assert_int_equal(ar_op_im2col(g, &y, x, &other), AR_ERR_SHAPE);
    assert_int_equal(ar_op_conv2d(g, &y, x, W, NULL, &outside), AR_ERR_ARG);
    assert_int_equal(ar_op_conv2d(g, &y, x, W, NULL, &padded), AR_ERR_SHAPE); /* not 8 x 2 x 2 columns */
    assert_int_equal(ar_op_pool(g, &y, x, &padded, false), AR_ERR_ARG);
    assert_int_equal(ar_op_reshape(g, &y, x, 3, 8), AR_ERR_SHAPE);
    assert_int_equal(ar_op_dropout(g, &y, x, 1.0f, 0, labels), AR_ERR_ARG);
    assert_int_equal(ar_op_clip(g, &y, &x, 0, 1, 1), AR_ERR_ARG);
    assert_int_equal(ar_op_clip(g, &y, &x, 1, -1, 1), AR_ERR_ARG);
    ar_train_step step = {few, x, x, 0};
    assert_int_equal(ar_op_adamw_step(g, x, x, x, W, &step, 0.9f, 0.99f, 1e-8f), AR_ERR_SHAPE);
    assert_int_equal(ar_op_sgd_step(g, x, labels, x, &step, 0.9f), AR_ERR_DTYPE);
    assert_int_equal(ar_op_sgd_step(g, x, x, x, &step, 0.9f), AR_ERR_SHAPE);
    assert_int_equal(ar_graph_recompute(g, &y, x, record_layer, &l, 65), AR_ERR_ARG);
    ar_graph_destroy(g);
    ar_tensor_destroy(x), ar_tensor_destroy(W), ar_tensor_destroy(narrow);
    ar_tensor_destroy(labels), ar_tensor_destroy(few);
}

static void ops_refuse_wrong_arguments(void **state) { (void)state, check_each_device(refusals_case, NULL); }

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tied_head_and_embedding_gradients_meet),
        cmocka_unit_test(recomputing_gives_the_same_bits_in_less_memory),
        cmocka_unit_test(dropout_gradient_is_its_difference),
        cmocka_unit_test(convolution_and_pool_gradients_are_their_differences),
        cmocka_unit_test(a_direct_convolution_has_the_bits_of_patches),
        cmocka_unit_test(ops_refuse_wrong_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
