/* Products whose operands are rounded to fp16: gradients keep what is too small or too large for it, panels
 * of f16 give the bits of f32 ones, which are rounded later. On OpenCL devices by the portable meaning of
 * fragments, on Vulkan where there is matrix hardware. Includes the backend's own header for
 * ar__gemm_gradient. Gradients of attention by fragments likewise.
 * ctest-labels: device vulkan full */
#include "op_check.h"
#include "internal.h"

enum { M = 70, N = 67, K = 300 };

typedef struct product {
    float *a, *b, *c; /* a (M, K) and b (K, N), as stored transposed or not; c (M, N), which is added to */
    bool a_transposed, b_transposed;
    double submit_ms; /* 0: the plan's */
    int64_t piece;    /* 0: the plan's bytes of a binding */
} product;

/* Bytes of a binding that no operand fits, so that panels stay f32: all depths of a panel, or only some. */
enum { HOLDS_ONE_PANEL = 78000, CUTS_DEPTH = 65536 };

static float *a_of(const product *p, int m, int k) { return &p->a[p->a_transposed ? k * M + m : m * K + k]; }

static float *b_of(const product *p, int k, int n) { return &p->b[p->b_transposed ? n * K + k : k * N + n]; }

static void make_product(product *p) {
    p->a = check_floats(M * K, 1, -1, 1);
    p->b = check_floats(K * N, 2, -1, 1);
    p->c = check_floats(M * N, 3, -1, 1);
}

static void free_product(product *p) {
    free(p->a);
    free(p->b);
    free(p->c);
}

typedef ar_status (*multiply)(ar_graph *g, ar_tensor *C, ar__matrix A, ar__matrix B);

static ar_status as_gradient(ar_graph *g, ar_tensor *C, ar__matrix A, ar__matrix B) {
    return ar__gemm_gradient(g, C, A, B, M, N, K, true);
}

static ar_status as_forward(ar_graph *g, ar_tensor *C, ar__matrix A, ar__matrix B) {
    return ar__gemm_forward(g, C, A, B, M, N, K, NULL);
}

/* The result, how much memory and how many packs of f16 it took; free() releases. */
static float *run_product_of(ar_device *device, const product *p, multiply run, uint64_t *bytes,
                             int *halves) {
    ar_tensor *A = check_tensor(device, AR_F32, p->a_transposed ? K : M, p->a_transposed ? M : K, p->a);
    ar_tensor *B = check_tensor(device, AR_F32, p->b_transposed ? N : K, p->b_transposed ? K : N, p->b);
    ar_tensor *C = check_tensor(device, AR_F32, M, N, p->c);
    ar_graph *g = NULL;
    CHECK_OK(ar_graph_create(&g, device));
    CHECK_OK(run(g, C, (ar__matrix){A, p->a_transposed}, (ar__matrix){B, p->b_transposed}));
    CHECK_OK(ar_graph_build(g));
    CHECK_OK(ar_graph_run(g));
    ar_graph_stats stats;
    ar_graph_get_stats(g, &stats);
    ar_launch *launches = calloc((size_t)stats.dispatches, sizeof *launches);
    assert_non_null(launches);
    ar_graph_launches(g, launches);
    *bytes = stats.temp_bytes, *halves = 0;
    for (int32_t i = 0; i < stats.dispatches; i++) *halves += strcmp(launches[i].kernel, "pack_half") == 0;
    free(launches);
    float *found = check_read(C);
    ar_graph_destroy(g);
    ar_tensor_destroy(A);
    ar_tensor_destroy(B);
    ar_tensor_destroy(C);
    return found;
}

static float *run_product(ar_device *device, const product *p, multiply run) {
    uint64_t bytes;
    int halves;
    return run_product_of(device, p, run, &bytes, &halves);
}

/* How often |found - exact| passes 2^-10 of the sum of |a b| (two operands, each off by 2^-11 at most, and
 * the f32 sums) in columns [from, N). */
static int wrong_of(const product *p, const float *found, int from) {
    int wrong = 0;
    for (int m = 0; m < M; m++)
        for (int n = from; n < N; n++) {
            double sum = p->c[m * N + n], size = 0;
            for (int k = 0; k < K; k++) {
                double one = (double)*a_of(p, m, k) * *b_of(p, k, n);
                sum += one;
                size += fabs(one);
            }
            double bound = ldexp(size, -10) + ldexp(fabs((double)p->c[m * N + n]) + size, -22);
            wrong += !(fabs(found[m * N + n] - sum) <= bound);
        }
    return wrong;
}

/* ---- the cases ---- */

/* Gradients from 1e-6 to 1e-9 side by side, inputs of 1e4 in some channels; added to nothing, or their sum
 * would hide them. */
static void faint_gradients(ar_device *device, const product *shape) {
    product p = *shape;
    make_product(&p);
    for (int i = 0; i < M * N; i++) p.c[i] = 0.0f;
    for (int m = 0; m < M; m++)
        for (int k = 0; k < K; k++) *a_of(&p, m, k) *= (const float[]){1e-6f, 1e-7f, 1e-8f, 1e-9f}[m % 4];
    for (int n = 0; n < N; n++)
        for (int k = 0; k < K && n % 13 == 5; k++) *b_of(&p, k, n) *= 1e4f;
    float *found = run_product(device, &p, as_gradient), *lost = run_product(device, &p, as_forward);
    assert_int_equal(wrong_of(&p, found, 0), 0);
    assert_true(wrong_of(&p, lost, 0) > M * N / 4); /* unscaled, three rows in four are gone or coarse */
    free(found);
    free(lost);
    free_product(&p);
}

/* Far beyond fp16 at both ends, added to what is there; few below 1e-38, where devices may give 0. */
static void numbers_at_the_ends(ar_device *device, const product *shape) {
    static const float sizes[][2] = {{1e-30f, 1e30f}, {1e30f, 1e-30f}, {1e-34f, 1e36f}, {1e5f, 1e5f}, {0, 1}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        product p = *shape;
        make_product(&p);
        for (int j = 0; j < M * K; j++) p.a[j] *= sizes[i][0];
        for (int j = 0; j < K * N; j++) p.b[j] *= sizes[i][1];
        float *found = run_product(device, &p, as_gradient);
        int wrong = wrong_of(&p, found, 0);
        if (wrong > 0) fail_msg("%s: %d wrong of row %d", check_name(device), wrong, (int)i);
        free(found);
        free_product(&p);
    }
}

/* One infinite input: its column is no number, every other is right. */
static void one_infinity(ar_device *device, const product *shape) {
    product p = *shape;
    make_product(&p);
    *b_of(&p, 17, 0) = INFINITY;
    float *found = run_product(device, &p, as_gradient);
    for (int m = 0; m < M; m++)
        if (isfinite(found[m * N])) fail_msg("row %d: %g of an infinite input", m, (double)found[m * N]);
    assert_int_equal(wrong_of(&p, found, 1), 0);
    free(found);
    free_product(&p);
}

enum { T = 37, H = 4, KH = 2, D = 32 };

/* dq, dk, dv of attention whose gradient is dy times `times`, divided by it again; free() releases. */
static void run_attention(float **found, ar_device *device, float times) {
    const int heads[3] = {H, KH, KH};
    ar_tensor *t[3], *y = NULL, *pull = NULL, *pulled = NULL;
    ar_graph *g = NULL;
    float *dy = check_floats(T * H * D, 4, -times, times);
    for (int i = 0; i < T * H * D; i++) dy[i] *= i / (H * D) % 3 == 1 ? 0x1p-20f : 1.0f; /* some rows faint */
    pull = check_tensor(device, AR_F32, T, H * D, dy);
    CHECK_OK(ar_graph_create(&g, device));
    for (int i = 0; i < 3; i++) {
        float *values = check_floats(T * heads[i] * D, 5 + (unsigned)i, -2, 2);
        t[i] = check_tensor(device, AR_F32, T, heads[i] * D, values);
        ar_tensor_set_needs_grad(t[i], true);
        free(values);
    }
    CHECK_OK(ar_op_attention(g, &y, t[0], t[1], t[2], T, D, 0, 0.0f));
    CHECK_OK(ar_op_pull(g, &pulled, y, pull));
    CHECK_OK(ar_graph_backward(g, pulled));
    for (int i = 0; i < 3; i++) ar_graph_keep(g, ar_tensor_grad(t[i]));
    CHECK_OK(ar_graph_build(g));
    CHECK_OK(ar_graph_run(g));
    for (int i = 0; i < 3; i++) {
        found[i] = check_read(ar_tensor_grad(t[i]));
        for (int k = 0; k < T * heads[i] * D; k++) found[i][k] /= times;
    }
    ar_graph_destroy(g);
    for (int i = 0; i < 3; i++) ar_tensor_destroy(t[i]);
    ar_tensor_destroy(pull);
    free(dy);
}

/* Gradients of attention times a power of two are the same numbers times it, whatever fp16 holds; and no row
 * of them is lost where its neighbours are a million times as large. */
static void scaled_attention(ar_device *device, const product *shape) {
    const int heads[3] = {H, KH, KH};
    float *found[3], *faint[3], *huge[3];
    (void)shape;
    run_attention(found, device, 1.0f);
    run_attention(faint, device, 0x1p-60f);
    run_attention(huge, device, 0x1p60f);
    for (int i = 0; i < 3; i++) {
        int differ = 0, lost = 0;
        for (int k = 0; k < T * heads[i] * D; k++) {
            differ += found[i][k] != faint[i][k] || found[i][k] != huge[i][k];
            lost += found[i][k] == 0.0f && !(i == 0 && k < H * D); /* the first query sees one key: dq is 0 */
        }
        if (differ + lost > 0) fail_msg("%s: %d differ, %d are 0", check_name(device), differ, lost);
        free(found[i]);
        free(faint[i]);
        free(huge[i]);
    }
}

/* ---- devices ---- */

static ar_device *open_device(const ar_device_facts *facts, const ar_plan *plan) {
    char select[24];
    ar_device *device = NULL;
    snprintf(select, sizeof select, "%.7s:%d", facts->api, facts->index);
    CHECK_OK(ar_device_open(&device, &(ar_device_desc){.select = select, .plan = plan}));
    return device;
}

static void run_with(const char *variants, void (*run)(ar_device *device, const product *shape),
                     const product *shape) {
    ar_device_facts facts[16];
    int32_t count = 0, used = 0;
    CHECK_OK(ar_device_list(facts, &count, 16, NULL, 0));
    for (int32_t i = 0; i < count && i < 16; i++) {
        ar_plan plan;
        if (ar_plan_make_with(&plan, &facts[i], variants) != AR_OK) continue; /* cannot */
        if (shape->piece) plan.piece_bytes = (uint64_t)shape->piece;
        if (shape->submit_ms > 0) plan.submit_ms = shape->submit_ms;
        ar_device *device = open_device(&facts[i], &plan);
        run(device, shape);
        ar_device_close(device);
        used++;
    }
    if (!used) {
        print_message("no OpenCL device and no matrix hardware: skipped\n");
        skip();
    }
}

static void run_on_each(void (*run)(ar_device *device, const product *shape), const product *shape) {
    run_with("gemm=gemm_coop", run, shape);
}

/* A few large numbers, one row beyond fp16's: its tiles are made of f32 operands. Two bytes a number, where
 * f32 alone took 4 K (M + N). */
static void same_by_panels_of_f32(ar_device *device, const product *shape) {
    static const multiply runs[] = {as_forward, as_gradient};
    ar_plan plan = device->plan;
    plan.piece_bytes = HOLDS_ONE_PANEL;
    ar_device *other = open_device(&device->facts, &plan);
    product p = *shape;
    make_product(&p);
    for (int k = 0; k < K; k++) *a_of(&p, 67, k) *= 1e6f;
    for (int n = 0; n < N; n++) *b_of(&p, 17, n) *= 1e4f;
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        uint64_t bytes, unused;
        int halves, none;
        float *found = run_product_of(device, &p, runs[i], &bytes, &halves);
        float *want = run_product_of(other, &p, runs[i], &unused, &none);
        assert_int_equal(halves, 2);
        assert_int_equal(none, 0);
        assert_memory_equal(found, want, M * N * sizeof *found);
        assert_true(bytes >= 2 * K * (M + N) && bytes <= 2 * K * 2 * 128 + 8192);
        free(found);
        free(want);
    }
    free_product(&p);
    ar_device_close(other);
}

static void faint_gradients_are_kept(void **state) {
    (void)state;
    run_on_each(faint_gradients, &(product){.b_transposed = false});
    if (check_is_small()) return;
    run_on_each(faint_gradients, &(product){.a_transposed = true});
    run_on_each(faint_gradients, &(product){.b_transposed = true, .submit_ms = 1e-3});
    run_on_each(faint_gradients, &(product){.b_transposed = true, .submit_ms = 1e-3, .piece = CUTS_DEPTH});
}

static void numbers_beyond_fp16_are_kept(void **state) {
    (void)state;
    if (!check_is_small()) run_on_each(numbers_at_the_ends, &(product){.a_transposed = true});
}

static void what_is_no_number_stays_in_its_column(void **state) {
    (void)state;
    run_on_each(one_infinity, &(product){.a_transposed = true});
}

static void panels_of_f16_give_the_bits_of_f32(void **state) {
    (void)state;
    run_on_each(same_by_panels_of_f32, &(product){.a_transposed = true});
    if (!check_is_small()) run_on_each(same_by_panels_of_f32, &(product){.b_transposed = true});
}

static void gradients_of_attention_keep_their_scale(void **state) {
    (void)state;
    run_with("attention=attention_coop,attention_dq=attention_dq_coop,attention_dkv=attention_dkv_coop",
             scaled_attention, &(product){.b_transposed = false});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(faint_gradients_are_kept),
        cmocka_unit_test(numbers_beyond_fp16_are_kept),
        cmocka_unit_test(panels_of_f16_give_the_bits_of_f32),
        cmocka_unit_test(what_is_no_number_stays_in_its_column),
        cmocka_unit_test(gradients_of_attention_keep_their_scale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
