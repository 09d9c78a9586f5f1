/* Quantized activations: what another implementation makes of the same numbers, the gradient as a difference
 * over whole steps, products of codes as integers, bad input. ctest-labels: device vulkan */
#include "op_check.h"

/* A graph in which x becomes y under a scheme; grid NULL = x's own, else (1, 2) values. */
typedef struct run {
    ar_graph *g;
    ar_tensor *x, *grid, *fixed, *y, *codes;
} run;

static void record(run *r, ar_device *device, const ar_acts_scheme *s, int64_t N, int64_t I, const float *x,
                   const float *grid) {
    *r = (run){.x = check_tensor(device, AR_F32, N, I, x)};
    if (grid) r->fixed = check_tensor(device, AR_F32, 1, 2, grid);
    CHECK_OK(ar_graph_create(&r->g, device));
    r->grid = r->fixed;
    if (!grid) CHECK_OK(ar_op_acts_grid(r->g, &r->grid, r->x, s));
    if (!grid) ar_graph_keep(r->g, r->grid);
    ar_tensor_set_needs_grad(r->x, true);
    CHECK_OK(ar_op_acts_quant(r->g, &r->y, r->x, r->grid, s));
    CHECK_OK(ar_op_acts_codes(r->g, &r->codes, r->x, r->grid, s));
    ar_graph_keep(r->g, r->y);
    ar_graph_keep(r->g, r->codes);
}

static void drop(run *r) {
    ar_graph_destroy(r->g);
    ar_tensor_destroy(r->x);
    ar_tensor_destroy(r->fixed);
}

/* ---- golden ---- */

static void compare(const ar_device *device, const char *what, const ar_tensor *t, const float *want) {
    float *got = check_read(t);
    for (int64_t i = 0; i < ar_tensor_count(t); i++)
        if (got[i] != want[i])
            fail_msg("%s on %s: element %lld is %.9g, expected %.9g", what, check_name(device), (long long)i,
                     (double)got[i], (double)want[i]);
    free(got);
}

static void golden_case(ar_device *device, void *ctx) {
    int32_t head[3], how[3];
    float x[512], pairs[64], want[512];
    FILE *f = fopen("tests/golden/acts.bin", "rb");
    (void)ctx;
    assert_non_null(f);
    assert_int_equal(fread(head, sizeof *head, 3, f), 3);
    size_t count = (size_t)head[0] * (size_t)head[1];
    assert_true(count <= 512 && head[0] <= 32 && head[2] == 7);
    assert_int_equal(fread(x, sizeof *x, count, f), count);
    for (int32_t c = 0; c < head[2]; c++) {
        assert_int_equal(fread(how, sizeof *how, 3, f), 3);
        size_t grids = how[1] ? 2 : 2 * (size_t)head[0];
        assert_int_equal(fread(pairs, sizeof *pairs, grids, f), grids);
        assert_int_equal(fread(want, sizeof *want, count, f), count);
        const ar_acts_scheme s = {how[0], how[1] ? AR_ACTS_TENSOR : AR_ACTS_TOKEN, how[2] != 0};
        run r;
        record(&r, device, &s, head[0], head[1], x, NULL);
        CHECK_OK(ar_graph_build(r.g));
        CHECK_OK(ar_graph_run(r.g));
        compare(device, "grid", r.grid, pairs);
        compare(device, "value", r.y, want);
        drop(&r);
    }
    fclose(f);
}

static void values_are_those_of_compressed_tensors(void **state) {
    (void)state;
    check_each_device(golden_case, NULL);
}

/* The host makes the grids that devices make. */
static void grid_case(ar_device *device, void *ctx) {
    float *x = check_floats(300, 3, -3, 1);
    (void)ctx;
    for (int32_t bits = 2; bits <= 8; bits++)
        for (int32_t asym = 0; asym < 2; asym++) {
            const ar_acts_scheme s = {bits, AR_ACTS_TENSOR, asym};
            float range[2] = {0, 0}, grid[2];
            run r;
            for (int i = 0; i < 300; i++) range[0] = fminf(range[0], x[i]), range[1] = fmaxf(range[1], x[i]);
            record(&r, device, &s, 3, 100, x, NULL);
            CHECK_OK(ar_graph_build(r.g));
            CHECK_OK(ar_graph_run(r.g));
            ar_acts_grid(grid, range, &s);
            compare(device, "grid", r.grid, grid);
            drop(&r);
        }
    free(x);
}

static void host_and_devices_make_one_grid(void **state) {
    (void)state;
    check_each_device(grid_case, NULL);
}

/* Rows of one value each, from 1 to 1000 either way: where a share of them ends, within the width of a bin.
 */
static void cut_case(ar_device *device, void *ctx) {
    enum { N = 1000 };
    static const double shares[] = {0.5, 0.9, 0.99, 1.0};
    float x[N], range[2];
    float *zeros = calloc(2 * AR_ACTS_BINS, sizeof *zeros);
    (void)ctx;
    assert_non_null(zeros);
    for (int i = 0; i < N; i++) x[i] = (float)((i * 37 % N + 1) * (i % 2 ? 1 : -1));
    ar_tensor *counts = check_tensor(device, AR_F32, 2, AR_ACTS_BINS, zeros),
              *rows = check_tensor(device, AR_F32, N, 1, x);
    ar_graph *g = NULL;
    CHECK_OK(ar_graph_create(&g, device));
    CHECK_OK(ar_op_acts_count(g, counts, rows));
    CHECK_OK(ar_graph_build(g));
    CHECK_OK(ar_graph_run(g));
    float *counted = check_read(counts);
    for (size_t k = 0; k < sizeof shares / sizeof *shares; k++) {
        for (int side = 0; side < 2; side++) {
            float reach[N]; /* of every row on this side, ordered */
            int below = 0;
            for (int i = 0; i < N; i++) reach[i] = fmaxf(side ? x[i] : -x[i], 0);
            range[0] = -1000, range[1] = 1000;
            ar_acts_cut(range, counted, shares[k]);
            float end = side ? range[1] : -range[0];
            for (int i = 0; i < N; i++) below += reach[i] <= end * 1.001f;
            assert_true(below >= (int)(shares[k] * N) - 1 && end <= 1000);
            below = 0;
            for (int i = 0; i < N; i++) below += reach[i] <= end / 1.125f;
            assert_true(shares[k] == 0.5 || below <= (int)(shares[k] * N));
        }
    }
    range[0] = -3, range[1] = 2;
    ar_acts_cut(range, counted, 0.99);
    assert_true(range[0] == -3 && range[1] == 2); /* never wider */
    ar_acts_cut(range, zeros, 0.5);
    assert_true(range[0] == -3 && range[1] == 2); /* of nothing */
    free(counted);
    free(zeros);
    ar_graph_destroy(g);
    ar_tensor_destroy(counts);
    ar_tensor_destroy(rows);
}

static void a_share_of_rows_ends_where_it_should(void **state) {
    (void)state;
    check_each_device(cut_case, NULL);
}

/* ---- gradient ---- */

static void evaluate(float *y, ar_device *device, const ar_acts_scheme *s, const float *x, int64_t N,
                     int64_t I, const float *grid) {
    run r;
    record(&r, device, s, N, I, x, grid);
    CHECK_OK(ar_graph_build(r.g));
    CHECK_OK(ar_graph_run(r.g));
    CHECK_OK(ar_tensor_read(r.y, y, 0, N * I));
    drop(&r);
}

/* Over whole steps a rounding changes nothing: there the difference is the gradient, 1 where codes are and 0
 * where they end. Values lie a quarter of a step beside a code, so that no difference meets an end. */
static void gradient_case(ar_device *device, void *ctx) {
    enum { N = 9, I = 20, COUNT = N * I };
    const float grid[] = {0.125f, 2.0f};
    const ar_acts_scheme s = {4, AR_ACTS_STATIC, true};
    float x[COUNT], up[COUNT], down[COUNT], y_up[COUNT], y_down[COUNT];
    (void)ctx;
    for (int i = 0; i < COUNT; i++) {
        int q = i % 28 - 15; /* x / s + z + 1/4 - 2, codes -8 .. 7 */
        x[i] = grid[0] * ((float)q + (i % 2 ? 0.25f : -0.25f));
    }
    run r;
    ar_tensor *loss = NULL;
    record(&r, device, &s, N, I, x, grid);
    CHECK_OK(ar_op_mean(r.g, &loss, r.y));
    CHECK_OK(ar_graph_backward(r.g, loss));
    ar_graph_keep(r.g, ar_tensor_grad(r.x));
    CHECK_OK(ar_graph_build(r.g));
    CHECK_OK(ar_graph_run(r.g));
    float *dx = check_read(ar_tensor_grad(r.x));
    for (int i = 0; i < COUNT; i++) up[i] = x[i] + 3 * grid[0], down[i] = x[i] - 3 * grid[0];
    evaluate(y_up, device, &s, up, N, I, grid);
    evaluate(y_down, device, &s, down, N, I, grid);
    int ones = 0, zeros = 0;
    for (int i = 0; i < COUNT; i++) {
        double difference = ((double)y_up[i] - y_down[i]) / (6.0 * grid[0]), at = x[i] / grid[0] + grid[1];
        if (at > -8 + 3 && at < 7 - 3) assert_float_equal(dx[i] * COUNT, difference, 1e-5), ones++;
        if (at < -8 - 3 || at > 7 + 3) assert_float_equal(dx[i] * COUNT, difference, 1e-5), zeros++;
        if (at > -8.5 && at < 7.5) assert_float_equal(dx[i] * COUNT, 1, 1e-5);
        if (at < -8.5 || at > 7.5) assert_float_equal(dx[i], 0, 0);
    }
    assert_true(ones > 10 && zeros > 10);
    free(dx);
    drop(&r);
}

static void gradient_is_the_difference_over_whole_steps(void **state) {
    (void)state;
    check_each_device(gradient_case, NULL);
}

/* A range that holds the values cuts nothing off. */
static void whole_gradient_case(ar_device *device, void *ctx) {
    float *x = check_floats(7 * 33, 5, -2, 3);
    (void)ctx;
    for (int32_t k = 0; k < 4; k++) {
        const ar_acts_scheme s = {k < 2 ? 8 : 4, k % 2 ? AR_ACTS_TENSOR : AR_ACTS_TOKEN, k > 1};
        run r;
        ar_tensor *loss = NULL;
        record(&r, device, &s, 7, 33, x, NULL);
        CHECK_OK(ar_op_mean(r.g, &loss, r.y));
        CHECK_OK(ar_graph_backward(r.g, loss));
        ar_graph_keep(r.g, ar_tensor_grad(r.x));
        CHECK_OK(ar_graph_build(r.g));
        CHECK_OK(ar_graph_run(r.g));
        float *dx = check_read(ar_tensor_grad(r.x));
        for (int i = 0; i < 7 * 33; i++) assert_float_equal(dx[i] * 7 * 33, 1, 1e-5);
        free(dx);
        drop(&r);
    }
    free(x);
}

static void own_ranges_cut_no_gradient(void **state) {
    (void)state;
    check_each_device(whole_gradient_case, NULL);
}

/* ---- integers ---- */

/* Codes, scales and zero points at random, and W' of them. */
typedef struct weight {
    ar_resident_weight_desc desc;
    uint8_t *codes, *zeros;
    uint16_t *scales;
    float *dense;
} weight;

static weight make_weight(const ar_scheme *scheme, int64_t O, int64_t I, bool unit) {
    int64_t groups = ar_scheme_groups(scheme, I), G = groups == 1 ? I : scheme->group;
    uint64_t state = check_seed() + (uint64_t)O;
    weight w = {.codes = malloc((size_t)(O * I)),
                .zeros = malloc((size_t)(O * groups)),
                .scales = malloc((size_t)(O * groups) * 2),
                .dense = malloc((size_t)(O * I) * sizeof(float))};
    for (int64_t g = 0; g < O * groups; g++) {
        bool sym = scheme->zero == AR_ZERO_SYM;
        w.scales[g] = unit ? 0x3c00 : (uint16_t)(0x2400 + check_random(&state) % 0x400);
        uint64_t zero = sym ? 1u << (scheme->bits - 1) : check_random(&state) % (1u << scheme->bits);
        w.zeros[g] = (uint8_t)zero;
    }
    for (int64_t i = 0; i < O * I; i++) {
        int64_t g = i / I * groups + i % I / G;
        w.codes[i] = (uint8_t)(check_random(&state) % (1u << scheme->bits));
        w.dense[i] = ar_f16_to_f32(w.scales[g]) * (float)(w.codes[i] - w.zeros[g]);
    }
    w.desc = (ar_resident_weight_desc){.type = AR_QT_GROUP,
                                       .O = O,
                                       .I = I,
                                       .scheme = *scheme,
                                       .codes = w.codes,
                                       .scales = w.scales,
                                       .zeros = scheme->zero == AR_ZERO_INT ? w.zeros : NULL};
    return w;
}

static void free_weight(weight *w) {
    free(w->codes);
    free(w->zeros);
    free(w->scales);
    free(w->dense);
}

/* The product by codes and by values; the largest |value| of the latter. */
static double compare_products(ar_device *device, const ar_acts_scheme *s, const ar_scheme *scheme, int64_t N,
                               int64_t O, int64_t I, bool unit) {
    weight w = make_weight(scheme, O, I, unit);
    float *x = check_floats(N * I, 8, -3, 2), *wide = malloc((size_t)(N * I) * sizeof *wide);
    const float one[] = {1, 0};
    for (int64_t i = 0; i < N * I; i++) wide[i] = rintf(x[i] * 30);
    run r;
    ar_int_weight *codes = NULL;
    ar_tensor *dense = check_tensor(device, AR_F32, O, I, w.dense), *by_codes = NULL, *by_values = NULL;
    record(&r, device, s, N, I, unit ? wide : x, unit ? one : NULL);
    CHECK_OK(ar_int_weight_create(&codes, device, &w.desc));
    CHECK_OK(ar_op_linear_int(r.g, &by_codes, r.codes, r.grid, codes, NULL));
    CHECK_OK(ar_op_linear(r.g, &by_values, r.y, dense, NULL));
    ar_graph_keep(r.g, by_codes);
    ar_graph_keep(r.g, by_values);
    CHECK_OK(ar_graph_build(r.g));
    CHECK_OK(ar_graph_run(r.g));
    float *a = check_read(by_codes), *b = check_read(by_values);
    double largest = 0, worst = 0;
    for (int64_t i = 0; i < N * O; i++) {
        largest = fmax(largest, fabs((double)b[i]));
        worst = fmax(worst, fabs((double)a[i] - b[i]));
    }
    free(a);
    free(b);
    drop(&r);
    ar_int_weight_destroy(codes);
    ar_tensor_destroy(dense);
    free(x);
    free(wide);
    free_weight(&w);
    assert_true(largest > 0);
    return worst / largest;
}

/* Sums in f32 of I values keep 1e-6 of the largest of them; whole numbers below 2^24 are the same in both. */
static void product_case(ar_device *device, void *ctx) {
    const struct {
        ar_acts_scheme acts;
        ar_scheme weight;
        int64_t N, O, I;
    } rows[] = {{{8, AR_ACTS_TOKEN, false}, {8, -1, AR_ZERO_SYM, 0, AR_SUPER_NONE}, 5, 33, 96},
                {{8, AR_ACTS_TENSOR, true}, {4, 32, AR_ZERO_INT, 0, AR_SUPER_NONE}, 33, 17, 128},
                {{4, AR_ACTS_TOKEN, true}, {4, 64, AR_ZERO_SYM, 0, AR_SUPER_NONE}, 130, 20, 64},
                {{8, AR_ACTS_TOKEN, false}, {2, -1, AR_ZERO_INT, 0, AR_SUPER_NONE}, 3, 5, 37}};
    (void)ctx;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ar_acts_scheme fixed = {rows[i].acts.bits, AR_ACTS_STATIC, rows[i].acts.asym};
        double error =
            compare_products(device, &rows[i].acts, &rows[i].weight, rows[i].N, rows[i].O, rows[i].I, false);
        if (!(error <= 2e-6)) fail_msg("row %zu on %s: off by %g", i, check_name(device), error);
        error = compare_products(device, &fixed, &rows[i].weight, rows[i].N, rows[i].O, rows[i].I, true);
        if (error != 0) fail_msg("whole numbers, row %zu on %s: off by %g", i, check_name(device), error);
    }
}

static void small(ar_plan *plan) {
    plan->piece_bytes = 1 << 15;
    plan->submit_ms = 0.01;
}

static void products_of_codes_are_those_of_values(void **state) {
    (void)state;
    check_each_device(product_case, NULL);
    check_each_plan(product_case, NULL, small);
}

/* Groups that 32 bits could not add up at once: every product the largest there is. */
static void long_row_case(ar_device *device, void *ctx) {
    enum { I = 40000 };
    const ar_scheme scheme = {8, -1, AR_ZERO_INT, 0, AR_SUPER_NONE};
    const ar_acts_scheme s = {8, AR_ACTS_STATIC, true};
    const float grid[] = {1, -128};
    weight w = make_weight(&scheme, 1, I, true);
    float *x = malloc(I * sizeof *x);
    (void)ctx;
    assert_non_null(x);
    for (int64_t i = 0; i < I; i++) x[i] = 255, w.codes[i] = 255;
    w.zeros[0] = 0;
    run r;
    ar_int_weight *codes = NULL;
    ar_tensor *y = NULL;
    record(&r, device, &s, 1, I, x, grid);
    CHECK_OK(ar_int_weight_create(&codes, device, &w.desc));
    CHECK_OK(ar_op_linear_int(r.g, &y, r.codes, r.grid, codes, NULL));
    ar_graph_keep(r.g, y);
    CHECK_OK(ar_graph_build(r.g));
    CHECK_OK(ar_graph_run(r.g));
    check_tensor_close(device, "sum", y, &(double){255.0 * 255.0 * I}, 1e-7);
    drop(&r);
    ar_int_weight_destroy(codes);
    free(x);
    free_weight(&w);
}

static void long_rows_do_not_overflow(void **state) {
    (void)state;
    check_each_device(long_row_case, NULL);
}

/* ---- bad input ---- */

static ar_status try_weight(ar_device *device, const ar_resident_weight_desc *desc) {
    ar_int_weight *w = NULL;
    ar_status status = ar_int_weight_create(&w, device, desc);
    if (status != AR_OK) assert_null(w);
    ar_int_weight_destroy(w);
    return status;
}

static void bad_weights(ar_device *device) {
    const ar_scheme scheme = {4, 6, AR_ZERO_INT, 0, AR_SUPER_NONE};
    weight w = make_weight(&scheme, 3, 12, false);
    ar_resident_weight_desc d = w.desc;
    assert_int_equal(try_weight(device, &d), AR_ERR_UNSUPPORTED); /* groups of 6 */
    d.scheme.group = 4;
    d.zeros = NULL;
    assert_int_equal(try_weight(device, &d), AR_ERR_ARG);
    d.scheme.zero = AR_ZERO_F16MIN;
    assert_int_equal(try_weight(device, &d), AR_ERR_UNSUPPORTED);
    d.type = AR_QT_Q4_0;
    assert_int_equal(try_weight(device, &d), AR_ERR_UNSUPPORTED);
    d = w.desc;
    d.scheme.bits = 9;
    assert_int_equal(try_weight(device, &d), AR_ERR_ARG);
    free_weight(&w);
}

static void wrong_case(ar_device *device, void *ctx) {
    const ar_acts_scheme good = {8, AR_ACTS_TOKEN, false}, wide = {9, AR_ACTS_TOKEN, false},
                         none = {8, (ar_acts_range)3, false}, fixed = {8, AR_ACTS_STATIC, false};
    ar_graph *g = NULL;
    ar_tensor *x = check_tensor(device, AR_F32, 4, 8, NULL), *grid = check_tensor(device, AR_F32, 3, 2, NULL),
              *ids = check_tensor(device, AR_I32, 4, 8, NULL), *y = NULL;
    (void)ctx;
    CHECK_OK(ar_graph_create(&g, device));
    assert_int_equal(ar_op_acts_grid(g, &y, x, &wide), AR_ERR_ARG);
    assert_int_equal(ar_op_acts_grid(g, &y, x, &none), AR_ERR_ARG);
    assert_int_equal(ar_op_acts_grid(g, &y, x, &fixed), AR_ERR_ARG);
    assert_int_equal(ar_op_acts_grid(g, &y, ids, &good), AR_ERR_DTYPE);
    assert_int_equal(ar_op_acts_quant(g, &y, x, grid, &good), AR_ERR_SHAPE);
    assert_int_equal(ar_op_acts_quant(g, &y, x, grid, &fixed), AR_ERR_SHAPE);
    assert_int_equal(ar_op_acts_codes(g, &y, ids, grid, &good), AR_ERR_DTYPE);
    assert_int_equal(ar_op_acts_range(g, grid, x), AR_ERR_SHAPE);
    assert_int_equal(ar_op_acts_count(g, grid, x), AR_ERR_SHAPE);
    assert_int_equal(ar_op_acts_count(g, grid, ids), AR_ERR_DTYPE);
    bad_weights(device);
    ar_graph_destroy(g);
    ar_tensor_destroy(x);
    ar_tensor_destroy(grid);
    ar_tensor_destroy(ids);
}

static void wrong_input_is_refused(void **state) {
    (void)state;
    check_each_device(wrong_case, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_those_of_compressed_tensors),
        cmocka_unit_test(host_and_devices_make_one_grid),
        cmocka_unit_test(a_share_of_rows_ends_where_it_should),
        cmocka_unit_test(gradient_is_the_difference_over_whole_steps),
        cmocka_unit_test(own_ranges_cut_no_gradient),
        cmocka_unit_test(products_of_codes_are_those_of_values),
        cmocka_unit_test(long_rows_do_not_overflow),
        cmocka_unit_test(wrong_input_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
