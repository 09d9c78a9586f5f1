/* What a forward leaves for its backward, kept as fp16 (graph_saved.c): memory, gradients, and which tensors
 * stay as they are. Includes the backend's own headers to see the record. ctest-labels: device vulkan */
#include "graph.h"
#include "op_check.h"

enum { N = 192, I = 128, H = 192, D = 32 }; /* rows, columns, hidden columns, a head's */

/* ---- a block ---- */

/* Leaves: gate, up, down, q, k, v and o of a block. `offset` is added to the inputs of all. */
typedef struct block {
    ar_device *device;
    ar_tensor *x, *norm, *target, *offset, *W[7];
} block;

static void make_block(block *b, ar_device *device, const float *offset) {
    static const int64_t dims[7][2] = {{H, I}, {H, I}, {I, H}, {I, I}, {I, I}, {I, I}, {I, I}};
    b->device = device;
    float *x = check_floats(N * I, 1, -1, 1), *t = check_floats(N * I, 2, -1, 1),
          *n = check_floats(I, 3, 1, 2);
    b->x = check_tensor(device, AR_F32, N, I, x);
    b->target = check_tensor(device, AR_F32, N, I, t);
    b->norm = check_tensor(device, AR_F32, I, -1, n);
    b->offset = check_tensor(device, AR_F32, N, I, offset);
    ar_tensor_set_needs_grad(b->x, true);
    for (uint64_t i = 0; i < 7; i++) {
        float *w = check_floats(dims[i][0] * dims[i][1], 10 + i, -0.15f, 0.15f);
        b->W[i] = check_tensor(device, AR_F32, dims[i][0], dims[i][1], w);
        ar_tensor_set_needs_grad(b->W[i], true);
        free(w);
    }
    free(x), free(t), free(n);
}

static void drop_block(block *b) {
    ar_tensor *const all[] = {b->x, b->norm, b->target, b->offset};
    for (int i = 0; i < 4; i++) ar_tensor_destroy(all[i]);
    for (int i = 0; i < 7; i++) ar_tensor_destroy(b->W[i]);
}

/* y = x + o(attention(q, k, v of norm(x))), then y + down(silu(gate) up) of norm(y). */
static ar_status once(ar_graph *g, ar_tensor **y, ar_tensor *x, const void *ctx) {
    const block *b = *(block *const *)ctx;
    ar_tensor *h = NULL, *q = NULL, *k = NULL, *v = NULL, *a = NULL, *z = NULL, *gate = NULL, *up = NULL;
    AR_TRY(ar_op_rms_norm(g, &h, x, b->norm, 1e-5f));
    AR_TRY(ar_op_linear(g, &q, h, b->W[3], NULL));
    AR_TRY(ar_op_linear(g, &k, h, b->W[4], NULL));
    AR_TRY(ar_op_linear(g, &v, h, b->W[5], NULL));
    AR_TRY(ar_op_attention(g, &a, q, k, v, N / 2, D, 0, 0));
    AR_TRY(ar_op_linear(g, &z, a, b->W[6], NULL));
    AR_TRY(ar_op_add(g, &x, x, z));
    AR_TRY(ar_op_rms_norm(g, &h, x, b->norm, 1e-5f));
    AR_TRY(ar_op_linear(g, &gate, h, b->W[0], NULL));
    AR_TRY(ar_op_linear(g, &up, h, b->W[1], NULL));
    AR_TRY(ar_op_gated(g, &a, gate, up, AR_ACT_SILU));
    AR_TRY(ar_op_linear(g, &z, a, b->W[2], NULL));
    return ar_op_add(g, y, x, z);
}

/* Twice, as of a window of blocks. */
static ar_status forward(ar_graph *g, ar_tensor **y, ar_tensor *x, const void *ctx) {
    ar_tensor *z = NULL;
    AR_TRY(once(g, &z, x, ctx));
    return once(g, y, z, ctx);
}

static void record_block(ar_graph **g, block *b, bool saves, bool again) {
    const block *const ctx = b;
    ar_tensor *x = NULL, *y = NULL, *loss = NULL;
    ar_plan *plan = &b->device->plan;
    plan->ways = (plan->ways & ~(1u << AR_W_saved)) | (uint32_t)saves << AR_W_saved;
    CHECK_OK(ar_graph_create(g, b->device));
    CHECK_OK(ar_op_add(*g, &x, b->x, b->offset));
    CHECK_OK(again ? ar_graph_recompute(*g, &y, x, forward, &ctx, sizeof ctx) : forward(*g, &y, x, &ctx));
    CHECK_OK(ar_op_mse(*g, &loss, y, b->target, NULL));
    CHECK_OK(ar_graph_backward(*g, loss));
    for (int i = 0; i < 7; i++) ar_graph_keep(*g, ar_tensor_grad(b->W[i]));
    ar_graph_keep(*g, ar_tensor_grad(b->x));
    CHECK_OK(ar_graph_build(*g));
}

/* Runs and reads the gradients, of the seven weights and of x. */
static void gradients(float *grads[8], ar_graph *g, const block *b) {
    CHECK_OK(ar_graph_run(g));
    CHECK_OK(ar_device_wait(b->device));
    for (int i = 0; i < 8; i++) grads[i] = check_read(ar_tensor_grad(i < 7 ? b->W[i] : b->x));
}

static void free_all(float *grads[8]) {
    for (int i = 0; i < 8; i++) free(grads[i]);
}

/* Of each column, so that small inputs beside large ones count as much: the largest difference to the largest
 * number of `want`. */
static double worst_column(const float *got, const float *want, int64_t rows, int64_t columns) {
    double worst = 0;
    for (int64_t c = 0; c < columns; c++) {
        double most = 0, apart = 0;
        for (int64_t r = 0; r < rows; r++) {
            most = fmax(most, fabs((double)want[r * columns + c]));
            apart = fmax(apart, fabs((double)got[r * columns + c] - (double)want[r * columns + c]));
        }
        assert_true(isfinite(most) && isfinite(apart));
        worst = fmax(worst, most > 0 ? apart / most : apart);
    }
    return worst;
}

/* The gradients of a step that saves against those of one that does not; twice the same bits, in less than
 * that share of the memory. */
static void check_step(ar_device *device, const float *offset, double share) {
    float *wide[8], *half[8], *twice[8];
    ar_graph_stats before, after;
    ar_graph *g = NULL;
    block b;
    make_block(&b, device, offset);
    record_block(&g, &b, false, false);
    ar_graph_get_stats(g, &before);
    gradients(wide, g, &b);
    ar_graph_destroy(g);
    record_block(&g, &b, true, false);
    ar_graph_get_stats(g, &after);
    gradients(half, g, &b);
    gradients(twice, g, &b);
    assert_true(before.saved_bytes == 0 && after.saved_bytes > 6 * 2 * N * I);
    assert_true((double)after.temp_bytes < share * (double)before.temp_bytes);
    for (int i = 0; i < 8; i++) {
        const ar_tensor *t = i < 7 ? b.W[i] : b.x;
        double worst = worst_column(half[i], wide[i], t->dims[0], t->dims[1]);
        if (!(worst < 5e-3)) fail_msg("gradient %d on %s is off by %g", i, check_name(device), worst);
        assert_memory_equal(half[i], twice[i], (size_t)ar_tensor_count(t) * 4);
    }
    assert_memory_not_equal(half[0], wide[0], H * I * 4); /* something was rounded */
    free_all(wide), free_all(half), free_all(twice);
    ar_graph_destroy(g);
    drop_block(&b);
}

static void plain_step(ar_device *device, void *ctx) {
    static const float zeros[N * I];
    check_step(device, zeros, *(const double *)ctx);
}

static void a_step_takes_less_memory_and_gives_its_gradients_within_rounding(void **unused) {
    (void)unused;
    double share = 0.9;
    check_each_device(plain_step, &share);
}

static void small_pieces(ar_plan *plan) {
    plan->piece_bytes = 1 << 16; /* a sequence of attention's */
    plan->submit_ms = 0.01;
}

static void pieces_change_nothing(void **unused) {
    (void)unused;
    double share = 0.95; /* pieces leave less between kernels anyway */
    check_each_plan(plain_step, &share, small_pieces);
}

/* ---- massive activations ---- */

/* Products alone, so that nothing norms what they are given: y = W1 (x + offset). */
static void massive_step(ar_device *device, void *ctx) {
    const float *offset = ctx;
    float *grads[2];
    block b;
    make_block(&b, device, offset);
    for (int saves = 0; saves < 2; saves++) {
        ar_graph *g = NULL;
        ar_tensor *x = NULL, *gate = NULL, *up = NULL, *a = NULL, *y = NULL, *loss = NULL;
        device->plan.ways = (device->plan.ways & ~(1u << AR_W_saved)) | (uint32_t)saves << AR_W_saved;
        CHECK_OK(ar_graph_create(&g, device));
        CHECK_OK(ar_op_add(g, &x, b.x, b.offset));
        CHECK_OK(ar_op_linear(g, &gate, x, b.W[0], NULL));
        CHECK_OK(ar_op_linear(g, &up, x, b.W[1], NULL));
        CHECK_OK(ar_op_gated(g, &a, gate, up, AR_ACT_SILU));
        CHECK_OK(ar_op_linear(g, &y, a, b.W[2], NULL));
        CHECK_OK(ar_op_mse(g, &loss, y, b.target, NULL));
        CHECK_OK(ar_graph_backward(g, loss));
        ar_graph_keep(g, ar_tensor_grad(b.W[1]));
        CHECK_OK(ar_graph_build(g));
        CHECK_OK(ar_graph_run(g));
        CHECK_OK(ar_device_wait(device));
        grads[saves] = check_read(ar_tensor_grad(b.W[1]));
        ar_graph_stats stats;
        ar_graph_get_stats(g, &stats);
        assert_int_equal(stats.saved_bytes > 0, saves);
        ar_graph_destroy(g);
    }
    double worst = worst_column(grads[1], grads[0], H, I);
    if (!(worst < 5e-3)) fail_msg("on %s a column is off by %g", check_name(device), worst);
    free(grads[0]), free(grads[1]);
    drop_block(&b);
}

/* Two channels of 1e4 and 1e5 in every row, others down to a thousandth. */
static void massive_activations_neither_overflow_nor_hide_small_ones(void **unused) {
    float *offset = calloc(N * I, sizeof *offset);
    (void)unused;
    assert_non_null(offset);
    for (int n = 0; n < N; n++) offset[n * I + 5] = 1e4f, offset[n * I + 6] = n % 2 ? -1e5f : 1e5f;
    check_each_device(massive_step, offset);
    free(offset);
}

/* ---- what stays as it is ---- */

static ar_device *open_null(bool saves) {
    ar_device *device = NULL;
    CHECK_OK(ar_device_open(&device, &(ar_device_desc){.select = "null"}));
    device->plan.ways = (uint32_t)saves << AR_W_saved;
    return device;
}

static bool is_saved(const ar_graph *g, const ar_tensor *t) {
    for (int32_t i = 0; i < g->dispatch_count; i++)
        if (g->dispatches[i].kernel == AR_K_save_half && g->dispatches[i].operands[0].t == t) return true;
    return false;
}

typedef enum touch { UNTOUCHED, KEPT, WRITTEN_LATER, READ_LATER, IS_LOSS } touch;

/* y = W h, h = x + offset, backward; then h is touched: only the untouched one is saved. */
static bool saves_touched(touch how) {
    static const float zeros[N * I];
    ar_device *device = open_null(true);
    ar_tensor *h = NULL, *y = NULL, *z = NULL, *loss = NULL, *copy = NULL;
    ar_graph *g = NULL;
    block b;
    make_block(&b, device, zeros);
    CHECK_OK(ar_graph_create(&g, device));
    CHECK_OK(ar_op_add(g, &h, b.x, b.offset));
    CHECK_OK(ar_op_linear(g, &y, h, b.W[3], NULL));
    CHECK_OK(ar_op_linear(g, &z, y, b.W[4], NULL));
    CHECK_OK(ar_op_mse(g, &loss, how == IS_LOSS ? h : z, b.target, NULL));
    if (how == IS_LOSS) {
        CHECK_OK(ar_op_mse(g, &y, z, b.target, NULL));
        CHECK_OK(ar_op_add(g, &loss, loss, y));
    }
    CHECK_OK(ar_graph_backward(g, loss));
    if (how == KEPT) ar_graph_keep(g, h);
    if (how == WRITTEN_LATER) CHECK_OK(ar_op_copy(g, h, b.target));
    if (how == READ_LATER) {
        CHECK_OK(ar_graph_temp(g, &copy, AR_F32, 2, (int64_t[]){N, I}));
        CHECK_OK(ar_op_copy(g, copy, h));
    }
    CHECK_OK(ar_graph_build(g));
    bool is = is_saved(g, h);
    ar_graph_destroy(g);
    drop_block(&b);
    ar_device_close(device);
    return is;
}

static void tensors_that_are_touched_otherwise_stay_as_they_are(void **unused) {
    (void)unused;
    assert_true(saves_touched(UNTOUCHED));
    assert_false(saves_touched(KEPT));
    assert_false(saves_touched(WRITTEN_LATER));
    assert_false(saves_touched(READ_LATER));
    assert_false(saves_touched(IS_LOSS));
}

static void only_activations_are_saved_and_nothing_without_leave(void **unused) {
    static const float zeros[N * I];
    (void)unused;
    for (int saves = 0; saves < 2; saves++) {
        ar_device *device = open_null(saves);
        ar_graph *g = NULL;
        ar_graph_stats stats;
        block b;
        make_block(&b, device, zeros);
        record_block(&g, &b, saves, false);
        ar_graph_get_stats(g, &stats);
        int32_t saved = 0, loaded = 0;
        for (int32_t i = 0; i < g->dispatch_count; i++) {
            saved += g->dispatches[i].kernel == AR_K_save_half;
            loaded += g->dispatches[i].kernel == AR_K_load_half;
            loaded += 2 * (g->dispatches[i].kernel == AR_K_gated_grad_saved); /* gate and up, as they are */
        }
        assert_int_equal(saved, loaded);
        assert_int_equal(saved > 0, saves);
        assert_int_equal(stats.saved_bytes > 0, saves);
        ar_graph_destroy(g);
        drop_block(&b);
        ar_device_close(device);
    }
}

/* The input of what is recorded once more is what it was, and what the second forward makes is saved. */
static void recomputing_sees_the_same_input(void **unused) {
    static const float zeros[N * I];
    ar_device *device = open_null(true);
    ar_graph *g = NULL;
    block b;
    (void)unused;
    make_block(&b, device, zeros);
    record_block(&g, &b, true, true);
    int32_t saved = 0;
    for (int32_t i = 0; i < g->dispatch_count; i++) saved += g->dispatches[i].kernel == AR_K_save_half;
    assert_true(saved > 0);
    assert_false(is_saved(g, g->tensors[0])); /* x + offset */
    ar_graph_destroy(g);
    drop_block(&b);
    ar_device_close(device);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_takes_less_memory_and_gives_its_gradients_within_rounding),
        cmocka_unit_test(pieces_change_nothing),
        cmocka_unit_test(massive_activations_neither_overflow_nor_hide_small_ones),
        cmocka_unit_test(tensors_that_are_touched_otherwise_stay_as_they_are),
        cmocka_unit_test(only_activations_are_saved_and_nothing_without_leave),
        cmocka_unit_test(recomputing_sees_the_same_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
