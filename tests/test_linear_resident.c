/* Resident weights beyond the selftest's cases: bad input, device bytes, weights of many chunks, plans of
 * other devices, products that meet the same weights as ar_op_linear. Includes
 * backend/resident/resident_weight.h for the layout. ctest-labels: device vulkan threads */
#include "op_check.h"
#include "resident_weight.h"
#include "temp_files.h"

/* ---- bad input ---- */

static ar_resident_weight_desc q8_desc(const uint8_t *blocks, int64_t O, int64_t I) {
    return (ar_resident_weight_desc){
        .type = AR_QT_Q8_0, .O = O, .I = I, .blocks = blocks, .row_stride = (uint64_t)(I / 32 * 34)};
}

static ar_status try_create(ar_device *device, const ar_resident_weight_desc *parts, int32_t count,
                            bool interleave2) {
    ar_resident_weight *w = NULL;
    ar_status status = ar_resident_weight_create(&w, device, parts, count, interleave2);
    if (status != AR_OK) assert_null(w);
    ar_resident_weight_destroy(w);
    return status;
}

static void create_refuses_bad_parts(void **state) {
    (void)state;
    ar_device *device = NULL;
    uint8_t *blocks = calloc(1, 34 * 64);
    CHECK_OK(ar_device_open(&device, &(ar_device_desc){.select = "null"}));
    ar_resident_weight_desc good = q8_desc(blocks, 4, 64), bad = good;
    assert_int_equal(try_create(device, &good, 1, false), AR_OK);
    assert_int_equal(try_create(device, &good, 0, false), AR_ERR_ARG);
    bad.I = 65; /* no whole blocks */
    assert_int_equal(try_create(device, &bad, 1, false), AR_ERR_SHAPE);
    bad.I = 0;
    assert_int_equal(try_create(device, &bad, 1, false), AR_ERR_SHAPE);
    bad = good, bad.row_stride = 67;
    assert_int_equal(try_create(device, &bad, 1, false), AR_ERR_ARG);
    bad = good, bad.blocks = NULL;
    assert_int_equal(try_create(device, &bad, 1, false), AR_ERR_ARG);
    bad = good, bad.O = -1;
    assert_int_equal(try_create(device, &bad, 1, false), AR_ERR_SHAPE);
    bad = good, bad.type = AR_QT_COUNT;
    assert_int_equal(try_create(device, &bad, 1, false), AR_ERR_ARG);
    ar_resident_weight_desc mixed[2] = {good, good};
    mixed[1].I = 32;
    assert_int_equal(try_create(device, mixed, 2, false), AR_ERR_SHAPE);
    mixed[1] = good, mixed[1].O = 3;
    assert_int_equal(try_create(device, mixed, 2, false), AR_OK);
    assert_int_equal(try_create(device, mixed, 2, true), AR_ERR_SHAPE); /* no pairs */
    ar_resident_weight_desc group = {
        .type = AR_QT_GROUP, .O = 4, .I = 64, .scheme = {.bits = 9, .group = 32}};
    assert_int_equal(try_create(device, &group, 1, false), AR_ERR_ARG);
    group.scheme.bits = 4; /* codes and scales are missing */
    assert_int_equal(try_create(device, &group, 1, false), AR_ERR_ARG);
    ar_device_close(device);
    free(blocks);
}

/* The second row of a named part, its third 32 inputs: the exponent of what stands there becomes ones. */
static void refuses_one(ar_device *device, ar_resident_weight_desc d, uint8_t *blocks, int64_t at,
                        int64_t column) {
    char expected[96];
    const ar_resident_weight_desc good = d;
    uint8_t old[4];
    d.name = "b.weight";
    snprintf(expected, sizeof expected, "b.weight: found %s at row 1, column %d",
             d.type == AR_QT_BF16 ? "-Inf" : "NaN", (int)column);
    memcpy(old, blocks + at, sizeof old);
    memcpy(blocks + at,
           d.type == AR_QT_F32    ? "\0\0\xc0\x7f"
           : d.type == AR_QT_BF16 ? "\x80\xff"
                                  : "\1\x7c",
           d.type == AR_QT_F32 ? 4 : 2);
    assert_error(try_create(device, &d, 1, false), AR_ERR_FORMAT, expected);
    ar_resident_weight_desc both[2] = {good, d};
    both[0].name = "a.weight"; /* of the same rows */
    assert_error(try_create(device, both, 2, true), AR_ERR_FORMAT, strchr(expected, '.'));
    assert_int_equal(try_create(device, &good, 1, false), AR_OK); /* nobody's name: nobody looks */
    memcpy(blocks + at, old, sizeof old);
    assert_int_equal(try_create(device, &d, 1, false), AR_OK);
}

static void what_is_not_finite_is_named(void **state) {
    (void)state;
    static const struct {
        ar_qtype type;
        int64_t offset[2], column;
    } rows[] = {{AR_QT_F32, {4 * 70, 4 * 511}, 70},        {AR_QT_F16, {2 * 70, 2 * 70}, 70},
                {AR_QT_BF16, {2 * 70, 2 * 70}, 70},        {AR_QT_Q4_0, {2 * 18, 2 * 18}, 64},
                {AR_QT_Q4_1, {2 * 20, 2 * 20 + 2}, 64},    {AR_QT_Q5_0, {2 * 22, 2 * 22}, 64},
                {AR_QT_Q5_1, {2 * 24, 2 * 24 + 2}, 64},    {AR_QT_Q8_0, {2 * 34, 2 * 34}, 64},
                {AR_QT_Q2_K, {84 + 80, 84 + 82}, 256},     {AR_QT_Q3_K, {110 + 108, 110 + 108}, 256},
                {AR_QT_Q4_K, {144, 144 + 2}, 256},         {AR_QT_Q5_K, {176, 176 + 2}, 256},
                {AR_QT_Q6_K, {210 + 208, 210 + 208}, 256}, {AR_QT_IQ4_NL, {2 * 18, 2 * 18}, 64}};
    ar_device *device = NULL;
    uint8_t *blocks = calloc(3, 512 * 4);
    CHECK_OK(ar_device_open(&device, &(ar_device_desc){.select = "null"}));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ar_resident_weight_desc d = {.type = rows[i].type, .O = 3, .I = 512, .blocks = blocks};
        d.row_stride = (uint64_t)ar_qtype_row_bytes(d.type, d.I);
        for (int k = 0; k < 2; k++)
            refuses_one(device, d, blocks, (int64_t)d.row_stride + rows[i].offset[k],
                        rows[i].type == AR_QT_F32 && k == 1 ? 511 : rows[i].column);
    }
    uint16_t scales[3 * 16] = {0}, mins[3 * 16] = {0};
    ar_resident_weight_desc group = {.type = AR_QT_GROUP,
                                     .O = 3,
                                     .I = 512,
                                     .scheme = {.bits = 4, .group = 32, .zero = AR_ZERO_F16MIN},
                                     .codes = blocks,
                                     .scales = scales,
                                     .mins = mins};
    refuses_one(device, group, (uint8_t *)scales, 2 * 18, 64);
    refuses_one(device, group, (uint8_t *)mins, 2 * 31, 480);
    ar_device_close(device);
    free(blocks);
}

static void op_refuses_wrong_shapes(void **state) {
    (void)state;
    ar_device *device = NULL;
    ar_resident_weight *w = NULL;
    ar_graph *g = NULL;
    ar_tensor *y = NULL;
    uint8_t *blocks = calloc(1, 34 * 16);
    CHECK_OK(ar_device_open(&device, &(ar_device_desc){.select = "null"}));
    ar_resident_weight_desc d = q8_desc(blocks, 5, 64);
    CHECK_OK(ar_resident_weight_create(&w, device, &d, 1, false));
    assert_int_equal(ar_resident_weight_O(w), 5);
    assert_int_equal(ar_resident_weight_I(w), 64);
    ar_tensor *x = check_tensor(device, AR_F32, 2, 64, NULL),
              *narrow = check_tensor(device, AR_F32, 2, 32, NULL);
    ar_tensor *row = check_tensor(device, AR_F32, 4, -1, NULL);
    CHECK_OK(ar_graph_create(&g, device));
    assert_int_equal(ar_op_linear_resident(g, &y, narrow, w, NULL), AR_ERR_SHAPE);
    assert_int_equal(ar_op_linear_resident(g, &y, row, w, NULL), AR_ERR_SHAPE);
    assert_int_equal(ar_op_linear_resident(g, &y, x, w, &(ar_resident_weight_fuse){.bias = row}),
                     AR_ERR_SHAPE);
    assert_int_equal(ar_op_linear_resident(g, &y, x, w, &(ar_resident_weight_fuse){.residual = x}),
                     AR_ERR_SHAPE);
    assert_int_equal(ar_op_linear_resident(g, &y, x, w, &(ar_resident_weight_fuse){.norm = row}),
                     AR_ERR_SHAPE);
    assert_int_equal(ar_op_linear_resident(g, &y, x, w, &(ar_resident_weight_fuse){.silu_gated = true}),
                     AR_ERR_SHAPE); /* odd */
    CHECK_OK(ar_op_linear_resident(g, &y, x, w, NULL));
    ar_graph_destroy(g);
    ar_resident_weight_destroy(w);
    ar_tensor_destroy(x);
    ar_tensor_destroy(narrow);
    ar_tensor_destroy(row);
    ar_device_close(device);
    free(blocks);
}

/* ---- bytes ---- */

/* Whole panels of whole words: what the file has, and what docs/kernels.md says beyond. */
static void device_bytes_stay_close_to_the_file(void **state) {
    (void)state;
    static const struct {
        ar_qtype type;
        double bits;
    } rows[] = {{AR_QT_F16, 16},     {AR_QT_Q4_0, 4.5},   {AR_QT_Q4_1, 5},     {AR_QT_Q5_0, 5.5},
                {AR_QT_Q5_1, 6},     {AR_QT_Q8_0, 8.5},   {AR_QT_Q2_K, 2.625}, {AR_QT_Q3_K, 3.625},
                {AR_QT_Q4_K, 4.625}, {AR_QT_Q5_K, 5.625}, {AR_QT_Q6_K, 6.625}, {AR_QT_IQ4_NL, 4.5}};
    ar_device *device = NULL;
    uint8_t *blocks = calloc(1, 64 * 512 * 2);
    CHECK_OK(ar_device_open(&device, &(ar_device_desc){.select = "null"}));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ar_resident_weight *w = NULL;
        ar_resident_weight_desc d = {.type = rows[i].type, .O = 64, .I = 512, .blocks = blocks};
        d.row_stride = (uint64_t)ar_qtype_row_bytes(d.type, d.I);
        CHECK_OK(ar_resident_weight_create(&w, device, &d, 1, false));
        assert_int_equal(ar_resident_weight_bytes(w), (uint64_t)(rows[i].bits * 64 * 512 / 8));
        ar_resident_weight_destroy(w);
    }
    ar_device_close(device);
    free(blocks);
}

/* ---- many chunks ---- */

enum { Q4_I = 512, Q4_ROW = Q4_I / 32 * 18 };

/* Rows of random Q4_0 blocks; free() releases. */
static uint8_t *q4_rows(int64_t rows, uint64_t salt) {
    uint64_t state = check_seed() + salt;
    uint8_t *blocks = malloc((size_t)rows * Q4_ROW);
    assert_non_null(blocks);
    for (int64_t i = 0; i < rows * Q4_ROW; i++) blocks[i] = (uint8_t)check_random(&state);
    return blocks;
}

/* The words of row `at` of w hold what `stored` does, read as shaders/unpack.h reads them. */
static void check_row(const uint32_t *words, const ar_resident_weight *w, int64_t at, const uint8_t *stored) {
    int64_t height = (int64_t)w->lp * w->vw;
    const uint32_t *row = words + at / height * w->pw * height + at % height;
    for (int64_t i = 0; i < Q4_I; i++) {
        int64_t b = i / 32, e = i % 32;
        const uint8_t *block = stored + 18 * b;
        uint32_t code = row[(4 * b + e / 8) * height] >> 4 * (e % 8) & 15;
        uint32_t scale = row[(4 * (Q4_I / 32) + b / 2) * height] >> 16 * (b % 2) & 0xffff;
        if (code != ((block[2 + e % 16] >> (e < 16 ? 0 : 4) & 15) ^ 8u) ||
            scale != (block[0] | (uint32_t)block[1] << 8))
            fail_msg("row %lld, input %lld: code %u, scale %u", (long long)at, (long long)i, code, scale);
    }
}

/* Repacked by several threads where there are processors for them, in chunks that end inside parts. */
static void large_weights_hold_every_row(void **state) {
    (void)state;
    enum { FIRST = 3001, SECOND = 3001 };
    ar_device *device = NULL;
    uint8_t *a = q4_rows(FIRST, 1), *b = q4_rows(SECOND, 2);
    const ar_resident_weight_desc parts[] = {
        {.type = AR_QT_Q4_0, .O = FIRST, .I = Q4_I, .blocks = a, .row_stride = Q4_ROW},
        {.type = AR_QT_Q4_0, .O = SECOND, .I = Q4_I, .blocks = b, .row_stride = Q4_ROW}};
    CHECK_OK(ar_device_open(&device, &(ar_device_desc){.select = "null"}));
    for (int interleave = 0; interleave < 2; interleave++) {
        ar_resident_weight *w = NULL;
        CHECK_OK(ar_resident_weight_create(&w, device, parts, 2, interleave));
        uint32_t *words = malloc((size_t)ar_resident_weight_bytes(w));
        assert_non_null(words);
        CHECK_OK(ar_tensor_read(w->words, words, 0, ar_tensor_count(w->words)));
        for (int64_t o = 0; o < FIRST; o++) check_row(words, w, interleave ? 2 * o : o, a + o * Q4_ROW);
        for (int64_t o = 0; o < SECOND; o++)
            check_row(words, w, interleave ? 2 * o + 1 : FIRST + o, b + o * Q4_ROW);
        free(words);
        ar_resident_weight_destroy(w);
    }
    ar_device_close(device);
    free(a);
    free(b);
}

static void a_lost_device_stops_the_upload(void **state) {
    (void)state;
    ar_device *device = NULL;
    ar_graph *g = NULL;
    ar_tensor *y = NULL, *x;
    uint8_t *a = q4_rows(3000, 1);
    const ar_resident_weight_desc part = {
        .type = AR_QT_Q4_0, .O = 3000, .I = Q4_I, .blocks = a, .row_stride = Q4_ROW};
    CHECK_OK(
        ar_device_open(&device, &(ar_device_desc){.select = "null", .fault = {.lose_device_submit_n = 1}}));
    x = check_tensor(device, AR_F32, 2, 2,
                     NULL); /* leaves room in its buffer: only writing meets the driver */
    assert_int_equal(try_create(device, &part, 1, false), AR_OK);
    CHECK_OK(ar_graph_create(&g, device));
    CHECK_OK(ar_op_add(g, &y, x, x));
    CHECK_OK(ar_graph_build(g));
    assert_int_equal(ar_graph_run(g), AR_ERR_DEVICE_LOST);
    assert_int_equal(try_create(device, &part, 1, false), AR_ERR_DEVICE_LOST);
    ar_graph_destroy(g);
    ar_tensor_destroy(x);
    ar_device_close(device);
    free(a);
}

/* ---- other plans ---- */

static void report(void *ctx, const ar_selftest_result *r) {
    if (!r->passed) print_message("%s %s error %.3g %s\n", r->kernel, r->test, r->error, r->detail);
    ++*(int32_t *)ctx;
}

static void two_types_pass(ar_device *device, void *ctx) {
    int32_t results = 0;
    (void)ctx;
    CHECK_OK(ar_selftest(device, "resident(2,", 1, check_seed(), report, &results));
    CHECK_OK(ar_selftest(device, "resident_bytes(8, 67", 1, check_seed(), report, &results));
    CHECK_OK(ar_selftest(device, "resident_bits(12,", 1, check_seed(), report, &results));
    assert_true(results > 0);
}

/* Slices of the inputs, added through shared memory; pieces that cut every weight. */
static void as_on_a_gpu(ar_plan *plan) {
    plan->resident_wgx = plan->resident_lp = 8;
    plan->resident_wgy = 16;
    plan->variants[AR_F_gemm] = AR_K_gemm, plan->variants[AR_F_gemv] = AR_K_gemv;
    plan->resident_lanes = plan->gemm_lanes = 0;
    plan->resident_columns = 8, plan->resident_tile = 4;
    plan->gemm_tm = 8, plan->gemm_tn = 1, plan->gemm_wgx = 8, plan->gemm_wgy = 1;
    memset(plan->gemm_by_rows, 0, sizeof plan->gemm_by_rows);
    plan->vw = 4;
    plan->resident_norm = UINT64_MAX;
    plan->piece_bytes = 1 << 16;
}

static void a_gpu_s_shape_passes(void **state) {
    (void)state;
    check_each_plan(two_types_pass, NULL, as_on_a_gpu);
}

/* Every product through gemv whose operands can be bound, every group of columns a launch. */
static void always_gemv(ar_plan *plan) {
    plan->submit_ms = 1e-9;
    plan->piece_bytes = 1 << 16;
    plan->resident_columns = UINT32_MAX;
    plan->resident_tile = 8;
    plan->resident_norm = UINT64_MAX;
}

static void more_columns_pass(void **state) {
    (void)state;
    check_each_plan(two_types_pass, NULL, always_gemv);
}

/* Decoded panels wherever there is more than one row of x. */
static void always_panels(ar_plan *plan) { plan->resident_columns = 1; }

static void panels_pass(void **state) {
    (void)state;
    check_each_plan(two_types_pass, NULL, always_panels);
}

/* ---- against ar_op_linear ---- */

/* F32 weights through the resident kernels and through gemm. */
static void equals_linear(ar_device *device, void *ctx) {
    enum { N = 5, O = 45, I = 70 };
    float *x = check_floats(N * I, 1, -1, 1), *W = check_floats(O * I, 2, -1, 1);
    ar_tensor *X = check_tensor(device, AR_F32, N, I, x), *T = check_tensor(device, AR_F32, O, I, W),
              *a = NULL, *b = NULL;
    ar_resident_weight *w = NULL;
    ar_graph *g = NULL;
    (void)ctx;
    ar_resident_weight_desc d = {
        .type = AR_QT_F32, .O = O, .I = I, .blocks = (const uint8_t *)W, .row_stride = I * 4};
    CHECK_OK(ar_resident_weight_create(&w, device, &d, 1, false));
    CHECK_OK(ar_graph_create(&g, device));
    CHECK_OK(ar_op_linear(g, &a, X, T, NULL));
    CHECK_OK(ar_op_linear_resident(g, &b, X, w, NULL));
    ar_graph_keep(g, a);
    ar_graph_keep(g, b);
    CHECK_OK(ar_graph_build(g));
    CHECK_OK(ar_graph_run(g));
    float *found = check_read(b), *expected = check_read(a);
    for (int i = 0; i < N * O; i++) assert_true(fabsf(found[i] - expected[i]) < 1e-5f);
    free(found);
    free(expected);
    ar_graph_destroy(g);
    ar_resident_weight_destroy(w);
    ar_tensor_destroy(X);
    ar_tensor_destroy(T);
    free(x);
    free(W);
}

static void f32_equals_linear(void **state) {
    (void)state;
    check_each_device(equals_linear, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(create_refuses_bad_parts),
        cmocka_unit_test(what_is_not_finite_is_named),
        cmocka_unit_test(op_refuses_wrong_shapes),
        cmocka_unit_test(device_bytes_stay_close_to_the_file),
        cmocka_unit_test(large_weights_hold_every_row),
        cmocka_unit_test(a_lost_device_stops_the_upload),
        cmocka_unit_test(a_gpu_s_shape_passes),
        cmocka_unit_test(more_columns_pass),
        cmocka_unit_test(panels_pass),
        cmocka_unit_test(f32_equals_linear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
