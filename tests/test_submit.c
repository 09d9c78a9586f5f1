/* Launches cut by estimated work (plan.submit_ms) give the bits of uncut ones, on every device. What the
 * estimates are is test_plan.c's. Includes the backend's own headers for ar__gemm and
 * ar__emit_attention_cached. ctest-labels: device vulkan */
#include "internal.h"
#include "op.h"
#include "op_check.h"

/* What one recording keeps of its results. */
typedef struct results {
    ar_tensor *made[24], *kept[24]; /* device tensors; what to compare */
    int32_t made_count, kept_count, dispatches;
    ar_resident_weight *resident;
} results;

static ar_tensor *numbers(results *r, ar_device *device, int64_t rows, int64_t columns, bool needs_grad) {
    float *values = check_floats(rows * (columns < 0 ? 1 : columns), 10 + (uint64_t)r->made_count, -1, 1);
    ar_tensor *t = check_tensor(device, AR_F32, rows, columns, values);
    free(values);
    if (needs_grad) ar_tensor_set_needs_grad(t, true);
    return r->made[r->made_count++] = t;
}

static ar_tensor *whole_numbers(results *r, ar_device *device, int64_t count, int32_t below) {
    int32_t *values = calloc((size_t)count, sizeof *values);
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++) values[i] = (int32_t)(i * 7 % below);
    r->made[r->made_count] = check_tensor(device, AR_I32, count, -1, values);
    free(values);
    return r->made[r->made_count++];
}

static void keep(results *r, ar_graph *g, ar_tensor *t) {
    assert_non_null(t);
    ar_graph_keep(g, t);
    r->kept[r->kept_count++] = t;
}

/* Loss and gradients of the mean of y. */
static void keep_gradients(results *r, ar_graph *g, ar_tensor *y) {
    ar_tensor *loss = NULL;
    int32_t leaves = r->made_count;
    CHECK_OK(ar_op_mean(g, &loss, y));
    keep(r, g, y);
    CHECK_OK(ar_graph_backward(g, loss));
    for (int32_t i = 0; i < leaves; i++)
        if (ar_tensor_grad(r->made[i])) keep(r, g, ar_tensor_grad(r->made[i]));
}

/* ---- what is recorded ---- */

static void gemms(results *r, ar_graph *g, ar_device *device) {
    enum { M = 133, N = 201, K = 97 };
    for (int kind = 0; kind < 4; kind++) {
        bool a = kind & 1, b = kind & 2;
        ar_tensor *A = numbers(r, device, a ? K : M, a ? M : K, false), *C = numbers(r, device, M, N, false);
        ar_tensor *B = numbers(r, device, b ? N : K, b ? K : N, false);
        CHECK_OK(ar__gemm(g, C, (ar__matrix){A, a}, (ar__matrix){B, b}, M, N, K, kind == 3));
        r->kept[r->kept_count++] = C;
    }
}

static void deep_gemm(results *r, ar_graph *g, ar_device *device) {
    enum { M = 97, N = 133, K = 1050 };
    ar_tensor *A = numbers(r, device, K, M, false), *B = numbers(r, device, K, N, false),
              *C = numbers(r, device, M, N, false);
    CHECK_OK(ar__gemm(g, C, (ar__matrix){A, true}, (ar__matrix){B, false}, M, N, K, true));
    r->kept[r->kept_count++] = C;
}

static void layers(results *r, ar_graph *g, ar_device *device) {
    ar_tensor *x = numbers(r, device, 90, 128, true), *w = numbers(r, device, 128, -1, true), *y = NULL,
              *z = NULL, *nll = NULL, *top = NULL;
    CHECK_OK(ar_op_rms_norm(g, &y, x, w, 1e-5f));
    CHECK_OK(ar_op_linear(g, &z, y, numbers(r, device, 256, 128, true), numbers(r, device, 256, -1, true)));
    CHECK_OK(ar_op_act(g, &y, z, AR_ACT_GELU));
    CHECK_OK(ar_op_linear(g, &z, y, numbers(r, device, 300, 256, true), NULL));
    CHECK_OK(ar_op_nll(g, &nll, &top, z, whole_numbers(r, device, 90, 300)));
    ar_tensor *sums = numbers(r, device, 128, -1, false);
    CHECK_OK(ar_op_square_sums(g, sums, x));
    r->kept[r->kept_count++] = sums;
    keep_gradients(r, g, nll);
}

static void attentions(results *r, ar_graph *g, ar_device *device, int32_t window) {
    enum { B = 2, T = 67, H = 4, K = 2, D = 32 };
    ar_tensor *q = numbers(r, device, B * T, H * D, true), *k = numbers(r, device, B * T, K * D, true),
              *y = NULL;
    CHECK_OK(ar_op_attention(g, &y, q, k, numbers(r, device, B * T, K * D, true), T, D, window, 0));
    keep_gradients(r, g, y);
}

static void plain_attention(results *r, ar_graph *g, ar_device *device) { attentions(r, g, device, 0); }
static void window_attention(results *r, ar_graph *g, ar_device *device) { attentions(r, g, device, 19); }

static void generation(results *r, ar_graph *g, ar_device *device) {
    enum { T = 5, H = 6, K = 2, C = 96, D = 32 };
    ar_tensor *k = NULL, *v = NULL, *pos = whole_numbers(r, device, 1, 1),
              *q = numbers(r, device, T, H * D, false), *y = NULL;
    uint16_t *halves = calloc(K * C * D, sizeof *halves);
    assert_non_null(halves);
    for (int32_t i = 0; i < K * C * D; i++) halves[i] = ar_f32_to_f16((float)(i * 37 % 101) / 50 - 1);
    for (int i = 0; i < 2; i++) {
        ar_tensor **cache = i ? &v : &k;
        CHECK_OK(ar_tensor_create(cache, device, AR_F16, 4, (int64_t[]){1, K, C, D}));
        CHECK_OK(ar_tensor_write(*cache, halves, 0, K * C * D));
        r->made[r->made_count++] = *cache;
    }
    free(halves);
    CHECK_OK(ar_tensor_write(pos, &(int32_t){80}, 0, 1));
    const uint32_t chosen = device->plan.variants[AR_F_attention_cached];
    const ar__kernel_id variants[] = {AR_K_attention_cached, AR_K_attention_one};
    for (int i = 0; i < 2; i++) {
        device->plan.variants[AR_F_attention_cached] = variants[i];
        CHECK_OK(ar_op_attention_cached(g, &y, q, k, v, pos, 0, 0, 0));
        keep(r, g, y);
    }
    device->plan.variants[AR_F_attention_cached] = chosen;
}

static void fake_quantization(results *r, ar_graph *g, ar_device *device) {
    const ar_scheme schemes[] = {{4, 32, AR_ZERO_INT, 0, AR_SUPER_NONE}, ar_scheme_super(AR_SUPER_Q4_K)};
    for (int i = 0; i < 2; i++) {
        const int64_t O = 40, I = 512, groups = I / 32;
        ar_tensor *W = numbers(r, device, O, I, false), *dW = numbers(r, device, O, I, false),
                  *step = whole_numbers(r, device, 1, 1), *range = NULL;
        ar_tensor *v = numbers(r, device, O, I, false), *mm = numbers(r, device, O * groups * 2, -1, false),
                  *state = NULL, *Wq = NULL, *sz = NULL, *dv = NULL, *dmm = NULL, *codes = NULL;
        CHECK_OK(ar_graph_temp(g, &range, AR_F32, 3, (int64_t[]){O, groups, i ? 4 : 2}));
        CHECK_OK(ar_graph_temp(g, &state, AR_F32, 3, (int64_t[]){O, groups, 2}));
        CHECK_OK(ar_op_copy(g, state, mm));
        ar_fq_state st = {v, state};
        ar_fq_desc desc = {schemes[i], 200, 200};
        CHECK_OK(ar_op_group_range(g, range, W, &schemes[i]));
        CHECK_OK(ar_op_fake_quant(g, &Wq, &sz, W, range, &st, &desc));
        CHECK_OK(ar_op_fq_grad(g, &dv, &dmm, dW, W, range, sz, &st, &desc));
        CHECK_OK(ar_op_fq_codes(g, &codes, &sz, W, range, &st, &desc));
        CHECK_OK(ar_op_sign_step(g, v, dv, step, 200, -100, 100));
        keep(r, g, Wq);
        keep(r, g, dmm);
        keep(r, g, codes);
        r->kept[r->kept_count++] = v;
    }
}

/* Few rows of x through gemv, many through decoded panels (unless the device decodes for every few columns).
 */
static void resident_products(results *r, ar_graph *g, ar_device *device) {
    enum { O = 300, I = 128 };
    float *W = check_floats(O * I, 5, -1, 1);
    ar_resident_weight_desc part = {
        .type = AR_QT_F32, .O = O, .I = I, .blocks = (const uint8_t *)W, .row_stride = I * 4};
    CHECK_OK(ar_resident_weight_create(&r->resident, device, &part, 1, false));
    free(W);
    for (int64_t N = 1; N <= 81; N *= 9) {
        ar_tensor *y = NULL;
        ar_resident_weight_fuse fuse = {.bias = numbers(r, device, O, -1, false),
                                        .residual = numbers(r, device, N, O, false)};
        CHECK_OK(ar_op_linear_resident(g, &y, numbers(r, device, N, I, false), r->resident, &fuse));
        keep(r, g, y);
    }
}

/* Rows of x in bytes, many of them in one tile and the last alone. */
static void byte_products(results *r, ar_graph *g, ar_device *device) {
    enum { O = 300, I = 128, BLOCK = 34, ROW = I / 32 * BLOCK };
    uint8_t *blocks = malloc(O * ROW);
    for (int i = 0; i < O * ROW; i++) blocks[i] = (uint8_t)(i * 37 % 251);
    for (int i = 0; i < O * ROW; i += BLOCK) blocks[i] = 0, blocks[i + 1] = 0x20; /* scales of 2^-7 */
    ar_resident_weight_desc part = {.type = AR_QT_Q8_0, .O = O, .I = I, .blocks = blocks, .row_stride = ROW};
    CHECK_OK(ar_resident_weight_create(&r->resident, device, &part, 1, false));
    free(blocks);
    for (int64_t N = 1; N <= 81; N *= 9) {
        ar_tensor *y = NULL, *norm = numbers(r, device, I, -1, false);
        ar_resident_weight_fuse fuse = {.norm = N > 1 ? norm : NULL, .norm_eps = 1e-5f, .bytes = true};
        CHECK_OK(ar_op_linear_resident(g, &y, numbers(r, device, N, I, false), r->resident, &fuse));
        keep(r, g, y);
    }
}

/* ---- twice ---- */

typedef void (*recorder)(results *r, ar_graph *g, ar_device *device);

static void record_and_run(results *r, ar_graph **g, ar_device *device, recorder ops) {
    ar_graph_stats stats;
    *r = (results){0};
    CHECK_OK(ar_graph_create(g, device));
    ops(r, *g, device);
    CHECK_OK(ar_graph_build(*g));
    CHECK_OK(ar_graph_run(*g));
    ar_graph_get_stats(*g, &stats);
    r->dispatches = stats.dispatches;
}

static void release(results *r, ar_graph *g) {
    ar_graph_destroy(g);
    ar_resident_weight_destroy(r->resident);
    for (int32_t i = 0; i < r->made_count; i++) ar_tensor_destroy(r->made[i]);
}

/* 100 kFLOP or 100 kB to a launch. */
static ar_device *open_cut(const ar_device *device) {
    ar_plan plan = *ar_device_get_plan(device);
    ar_device *cut = NULL;
    plan.rate_flops = plan.rate_bytes = 1e9;
    plan.submit_ms = 0.1;
    CHECK_OK(ar_device_open(&cut, &(ar_device_desc){.select = check_name(device), .plan = &plan}));
    return cut;
}

static void cut_equals_whole(ar_device *device, void *ctx) {
    recorder ops = *(const recorder *)ctx;
    ar_device *cut_device = open_cut(device);
    ar_graph *g = NULL, *cut_g = NULL;
    results r, cut;
    record_and_run(&r, &g, device, ops);
    record_and_run(&cut, &cut_g, cut_device, ops);
    print_message("%s: %d launches, %d cut\n", check_name(device), (int)r.dispatches, (int)cut.dispatches);
    assert_true(cut.dispatches > r.dispatches);
    assert_int_equal(cut.kept_count, r.kept_count);
    for (int32_t i = 0; i < r.kept_count; i++) {
        void *a = check_read(r.kept[i]), *b = check_read(cut.kept[i]);
        size_t bytes = (size_t)ar_tensor_count(r.kept[i]) * ar_dtype_bytes(ar_tensor_dtype(r.kept[i]));
        if (memcmp(a, b, bytes) != 0) fail_msg("%s: result %d differs", check_name(device), (int)i);
        free(a);
        free(b);
    }
    release(&r, g);
    release(&cut, cut_g);
    ar_device_close(cut_device);
}

static void check(recorder ops) { check_each_device(cut_equals_whole, &ops); }

/* As on a GPU: tiles of one query, groups along N, products of few rows through gemv. */
static void as_on_a_gpu(ar_plan *plan) {
    plan->gemm_tm = 4, plan->gemm_tn = 1, plan->gemm_wgx = 8, plan->gemm_wgy = 1;
    memset(plan->gemm_by_rows, 0, sizeof plan->gemm_by_rows);
    plan->variants[AR_F_gemm] = AR_K_gemm, plan->gemm_lanes = 0;
    plan->attn_wg = 16;
}

/* As on a card: a tile to a group. */
static void as_on_a_card(ar_plan *plan) {
    as_on_a_gpu(plan);
    plan->variants[AR_F_gemm] = AR_K_gemm_tiles;
    plan->gemm_side = 64, plan->gemm_groups = 9;
    memset(plan->gemm_by_rows, 0, sizeof plan->gemm_by_rows);
    plan->resident_columns = 8, plan->resident_fused = true;
}

/* … whose products are deep, in parts. */
static void as_on_a_card_in_parts(ar_plan *plan) {
    as_on_a_card(plan);
    plan->ways |= 1u << AR_W_gemm_depth, plan->ways_asked |= 1u << AR_W_gemm_depth;
}

static void cut_products_equal_whole_ones(void **state) {
    recorder ops = gemms;
    (void)state;
    check(gemms);
    check(layers);
    check(resident_products);
    check(byte_products);
    check_each_plan(cut_equals_whole, &ops, as_on_a_gpu);
    check_each_plan(cut_equals_whole, &ops, as_on_a_card);
    ops = deep_gemm;
    check_each_plan(cut_equals_whole, &ops, as_on_a_card_in_parts);
    ops = resident_products;
    check_each_plan(cut_equals_whole, &ops, as_on_a_card);
}

static void cut_attention_equals_whole(void **state) {
    (void)state;
    check(plain_attention);
    check(window_attention);
    check(generation);
}

static void cut_fake_quantization_equals_whole(void **state) {
    (void)state;
    check(fake_quantization);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_products_equal_whole_ones),
        cmocka_unit_test(cut_attention_equals_whole),
        cmocka_unit_test(cut_fake_quantization_equals_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
