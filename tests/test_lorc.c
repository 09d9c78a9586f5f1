/* Corrections of small rank: the best approximation of a matrix against singular values by another algorithm,
 * adapters as files, and their hook on every device. Sees host/family's internal header. ctest-labels: device
 * vulkan */
#include "adapter.h"
#include "op_check.h"
#include "random_model.h"
#include "small_llama.h"
#include "temp_files.h"

enum { T = 24 };

/* ---- the best approximation ---- */

/* Singular values of E (O, I), O <= I, the largest first: one-sided Jacobi on the rows, in double. */
static void singular_values(double *s, const float *E, int64_t O, int64_t I) {
    double *x = malloc((size_t)(O * I) * sizeof *x);
    for (int64_t i = 0; i < O * I; i++) x[i] = (double)E[i];
    for (int32_t sweep = 0; sweep < 40; sweep++)
        for (int64_t p = 0; p < O; p++)
            for (int64_t q = p + 1; q < O; q++) {
                double a = 0, b = 0, c = 0;
                for (int64_t i = 0; i < I; i++) {
                    a += x[p * I + i] * x[p * I + i];
                    b += x[q * I + i] * x[q * I + i];
                    c += x[p * I + i] * x[q * I + i];
                }
                if (fabs(c) < 1e-15 * sqrt(a * b)) continue;
                double theta = 0.5 * atan2(2 * c, a - b), co = cos(theta), si = sin(theta);
                for (int64_t i = 0; i < I; i++) {
                    double u = x[p * I + i], v = x[q * I + i];
                    x[p * I + i] = co * u + si * v, x[q * I + i] = co * v - si * u;
                }
            }
    for (int64_t p = 0; p < O; p++) {
        s[p] = 0;
        for (int64_t i = 0; i < I; i++) s[p] += x[p * I + i] * x[p * I + i];
        s[p] = sqrt(s[p]);
    }
    for (int64_t p = 1; p < O; p++) /* insertion */
        for (int64_t k = p; k > 0 && s[k] > s[k - 1]; k--) {
            double swap = s[k];
            s[k] = s[k - 1], s[k - 1] = swap;
        }
    free(x);
}

/* ||E - A B||^2 by rank m. */
static double left_by_rank(const float *E, int64_t O, int64_t I, int64_t m) {
    float *A = malloc((size_t)(O * m) * sizeof *A), *B = malloc((size_t)(m * I) * sizeof *B);
    double left = 0;
    CHECK_OK(ar_low_rank(A, B, E, O, I, m));
    for (int64_t o = 0; o < O; o++)
        for (int64_t i = 0; i < I; i++) {
            double rest = (double)E[o * I + i];
            for (int64_t k = 0; k < m; k++) rest -= (double)A[o * m + k] * (double)B[k * I + i];
            left += rest * rest;
        }
    free(A);
    free(B);
    return left;
}

static void turned(float *dst, const float *src, int64_t O, int64_t I) {
    for (int64_t i = 0; i < O * I; i++) dst[i % I * O + i / I] = src[i];
}

/* The three bounds: the tail of the spectrum, the average share, and what noise gives. */
static void nothing_of_that_rank_is_nearer(void **state) {
    (void)state;
    static const int64_t shapes[][2] = {{1, 1}, {1, 9}, {17, 40}, {48, 129}, {128, 512}};
    for (size_t n = 0; n < sizeof shapes / sizeof *shapes; n++) {
        int64_t O = shapes[n][0], I = shapes[n][1], m = O < 8 ? O : 8;
        float *E = check_floats(O * I, n, -1, 1), *other = malloc((size_t)(O * I) * sizeof *other);
        double *s = malloc((size_t)O * sizeof *s), all = 0, tail = 0;
        singular_values(s, E, O, I);
        for (int64_t i = 0; i < O; i++) all += s[i] * s[i], tail += i >= m ? s[i] * s[i] : 0;
        double left = left_by_rank(E, O, I, m);
        turned(other, E, O, I);
        assert_true(fabs(left - tail) <= 1e-4 * tail + 1e-10 * all);
        assert_true(fabs(left_by_rank(other, I, O, m) - left) <= 1e-5 * tail + 1e-10 * all);
        assert_true(left <= (1.0 - (double)m / (double)O) * all + 1e-10 * all);
        double expected = (double)m * pow(sqrt((double)O) + sqrt((double)I), 2) / (double)(O * I);
        if (O == 128) assert_true(fabs((1.0 - left / all) - expected) < 0.1 * expected);
        assert_true(left_by_rank(E, O, I, O) < 1e-10 * all); /* all ranks: E itself */
        free(E);
        free(other);
        free(s);
    }
}

static void a_matrix_of_smaller_rank_is_met(void **state) {
    (void)state;
    enum { O = 30, I = 50 };
    float *u = check_floats(2 * O, 1, -1, 1), *v = check_floats(2 * I, 2, -1, 1), E[O * I], zero[O * I] = {0};
    double all = 0;
    for (int64_t i = 0; i < O * I; i++) {
        E[i] = u[i / I] * v[i % I] + 3 * u[O + i / I] * v[I + i % I];
        all += (double)E[i] * (double)E[i];
    }
    assert_true(left_by_rank(E, O, I, 2) < 1e-12 * all);
    assert_true(left_by_rank(E, O, I, 5) < 1e-12 * all);
    assert_true(left_by_rank(E, O, I, O + 3) < 1e-12 * all); /* more than there are: zeros */
    assert_true(left_by_rank(zero, O, I, 3) == 0);
    assert_int_equal(ar_low_rank(zero, zero, E, O, I, 0), AR_ERR_SHAPE);
    free(u);
    free(v);
}

/* ---- files ---- */

static const ar_config config = {SMALL_LLAMA, .hidden = 64, .intermediate = 96,
                                 .layers = 2, .heads = 4,   .head_dim = 16};

/* Rank 3 on all linears but one, values that F16 holds. */
static ar_adapter *make_adapter(const ar_model *m) {
    ar_adapter *a = NULL;
    CHECK_OK(ar__adapter_create(&a, m->block_count));
    for (int32_t b = 0; b < m->block_count; b++)
        for (int32_t i = 0; i < m->blocks[b].linear_count; i++) {
            const ar_linear *lin = &m->blocks[b].linears[i];
            if (b == 1 && i == 2) continue;
            CHECK_OK(ar__adapter_add(a, &m->blocks[b], i, 3));
            ar__adapter_part *p = &a->parts[b][i];
            float *x = check_floats(3 * (lin->I + lin->O), (uint64_t)(100 * b + i), -1, 1);
            for (int64_t k = 0; k < 3 * lin->I; k++) p->down[k] = rintf(x[k] * 64) / 256;
            for (int64_t k = 0; k < 3 * lin->O; k++) p->up[k] = rintf(x[3 * lin->I + k] * 64) / 256;
            free(x);
        }
    return a;
}

static void adapters_are_read_as_they_were_written(void **state) {
    (void)state;
    ar_open_model *m = NULL;
    ar_adapter *back = NULL;
    char *folder = temp_folder();
    const char *path = in_folder(folder, "adapter.gguf");
    CHECK_OK(ar_random_model_open(&m, &config, 5));
    ar_adapter *a = make_adapter(&m->model);
    CHECK_OK(ar_adapter_write(path, a, m));
    CHECK_OK(ar_adapter_open(&back, path, m));
    assert_true(ar__adapter_equal(a, back, &m->model));
    assert_int_equal(ar__adapter_count(back), 13);
    back->parts[1][0].up[5] += 1;
    assert_false(ar__adapter_equal(a, back, &m->model));
    ar_adapter_close(back);
    ar_adapter_close(a);
    ar_random_model_close(m);
    temp_remove(folder);
}

static void damaged_and_foreign_adapters_are_refused(void **state) {
    (void)state;
    ar_open_model *m = NULL, *other = NULL;
    ar_adapter *back = NULL;
    char *folder = temp_folder();
    const char *path = in_folder(folder, "adapter.gguf"), *cut = in_folder(folder, "cut.gguf");
    ar_file file;
    ar_config wide = config;
    wide.intermediate = 128;
    CHECK_OK(ar_random_model_open(&m, &config, 5));
    CHECK_OK(ar_random_model_open(&other, &wide, 5));
    ar_adapter *a = make_adapter(&m->model);
    CHECK_OK(ar_adapter_write(path, a, m));
    assert_int_equal(ar_adapter_open(&back, path, other), AR_ERR_FORMAT);
    assert_non_null(
        strstr(ar_error(), "tensor blk.0.ffn_gate.weight.lora_b: found (96, 3), expected (128, 3)"));
    CHECK_OK(ar_file_open(&file, path));
    for (uint64_t n = 0; n < file.bytes; n += n < 2000 ? 1 : 997) {
        put_file(cut, file.data, (size_t)n);
        assert_int_equal(ar_adapter_open(&back, cut, m), AR_ERR_FORMAT);
        assert_null(back);
    }
    uint8_t *bytes = malloc((size_t)file.bytes);
    memcpy(bytes, file.data, (size_t)file.bytes);
    memcpy(memmem(bytes, (size_t)file.bytes, "adapter.type", 12) + 12 + 4 + 8, "vera", 4);
    put_file(cut, bytes, (size_t)file.bytes);
    assert_int_equal(ar_adapter_open(&back, cut, m), AR_ERR_FORMAT);
    assert_non_null(strstr(ar_error(), "adapter.type: found vera, expected lora"));
    free(bytes);
    ar_file_close(&file);
    ar_adapter_close(a);
    ar_random_model_close(m);
    ar_random_model_close(other);
    temp_remove(folder);
}

/* ---- on devices ---- */

/* Logits with the adapter are those of the weights that hold it. */
static void add_up(ar_device *device, void *ctx) {
    ar_open_model *m = ctx;
    int32_t ids[T];
    uint64_t random = 7;
    int64_t count = T * m->model.vocab;
    float *plain = malloc((size_t)count * sizeof *plain), *with = malloc((size_t)count * sizeof *with);
    double most = 0, change = 0;
    for (int32_t i = 0; i < T; i++) ids[i] = (int32_t)(check_random(&random) % (uint64_t)m->model.vocab);
    m->adapter = NULL;
    CHECK_OK(ar_model_logits(plain, m, device, ids, T, T));
    m->adapter = make_adapter(&m->model);
    CHECK_OK(ar_model_logits(with, m, device, ids, T, T));
    for (int64_t i = 0; i < count; i++) change = fmax(change, fabs((double)(with[i] - plain[i])));
    /* what the adapter adds, taken off again by one of twice the rank */
    ar_adapter *a = m->adapter, *both = NULL;
    CHECK_OK(ar__adapter_create(&both, m->model.block_count));
    for (int32_t b = 0; b < m->model.block_count; b++)
        for (int32_t i = 0; i < m->model.blocks[b].linear_count; i++) {
            const ar_linear *lin = &m->model.blocks[b].linears[i];
            const ar__adapter_part *p = &a->parts[b][i];
            if (p->rank == 0) continue;
            CHECK_OK(ar__adapter_add(both, &m->model.blocks[b], i, 6));
            ar__adapter_part *q = &both->parts[b][i];
            for (int64_t k = 0; k < 6 * lin->I; k++) q->down[k] = p->down[k % (3 * lin->I)];
            for (int64_t k = 0; k < 6 * lin->O; k++)
                q->up[k] = (k % 6 < 3 ? 1.0f : -1.0f) * p->up[k / 6 * 3 + k % 3];
        }
    ar_adapter_close(a);
    m->adapter = both;
    CHECK_OK(ar_model_logits(with, m, device, ids, T, T));
    for (int64_t i = 0; i < count; i++) most = fmax(most, fabs((double)(with[i] - plain[i])));
    assert_true(change > 1e-2);
    assert_true(most < 1e-4 * fmax(change, 1));
    ar_adapter_close(m->adapter);
    m->adapter = NULL;
    free(plain);
    free(with);
}
static void parts_add_up_on_every_device(void **state) {
    (void)state;
    ar_open_model *m = NULL;
    CHECK_OK(ar_random_model_open(&m, &config, 5));
    check_each_device(add_up, m);
    ar_random_model_close(m);
}

/* Generation, whose keys and values are fp16, with the adapter as evaluation with it. */
static void generate(ar_device *device, void *ctx) {
    ar_open_model *m = ctx;
    ar_session *s = NULL;
    int32_t ids[T];
    uint64_t random = 8;
    int64_t V = m->model.vocab;
    float *want = malloc((size_t)(T * V) * sizeof *want), *got = malloc((size_t)V * sizeof *got),
          *plain = malloc((size_t)(T * V) * sizeof *plain);
    double most = 0, change = 0;
    for (int32_t i = 0; i < T; i++) ids[i] = (int32_t)(check_random(&random) % (uint64_t)V);
    CHECK_OK(ar_model_logits(plain, m, device, ids, T, T));
    m->adapter = make_adapter(&m->model);
    CHECK_OK(ar_model_logits(want, m, device, ids, T, T));
    CHECK_OK(ar_session_create(&s, m, device, 0));
    for (int32_t n = 11; n <= T; n += n < 20 ? 1 : 4) { /* a prompt, single tokens, some at once */
        CHECK_OK(ar_session_logits(s, got, ids, n));
        for (int64_t i = 0; i < V; i++) {
            most = fmax(most, fabs((double)(got[i] - want[(n - 1) * V + i])));
            change = fmax(change, fabs((double)(plain[(n - 1) * V + i] - want[(n - 1) * V + i])));
        }
    }
    print_message("  the adapter changes logits by up to %g; generation differs by %g\n", change, most);
    assert_true(change > 0.1 && most < 0.01 * change);
    ar_session_destroy(s);
    ar_adapter_close(m->adapter);
    m->adapter = NULL;
    free(want);
    free(got);
    free(plain);
}
static void generation_adds_the_parts_too(void **state) {
    (void)state;
    ar_open_model *m = NULL;
    CHECK_OK(ar_random_model_open(&m, &config, 5));
    check_each_device(generate, m);
    ar_random_model_close(m);
}

/* The hook over one product: W x + up (down x) in double. */
static void one_product(ar_device *device, void *ctx) {
    const ar_open_model *m = ctx;
    const ar_block *block = &m->model.blocks[0];
    const ar_linear *lin = &block->linears[0];
    enum { N = 5 };
    ar_adapter *a = make_adapter(&m->model);
    ar_block_weights w;
    ar__adapter_block parts;
    ar__adapter_hook hook;
    ar_graph *g = NULL;
    ar_tensor *x = NULL, *y = NULL;
    float *in = check_floats(N * lin->I, 3, -1, 1), *out = malloc((size_t)(N * lin->O) * sizeof *out),
          *W = malloc((size_t)(lin->O * lin->I) * sizeof *W);
    CHECK_OK(block->read_linear(block, W, 0, 0, lin->O));
    CHECK_OK(ar_block_weights_init(&w, block, device));
    CHECK_OK(ar__adapter_upload(&parts, a, block, device));
    ar__adapter_hook_init(&hook, &parts, &w.hook);
    CHECK_OK(ar_tensor_create(&x, device, AR_F32, 2, (const int64_t[]){N, lin->I}));
    CHECK_OK(ar_tensor_write(x, in, 0, N * lin->I));
    CHECK_OK(ar_graph_create(&g, device));
    CHECK_OK(ar_hook_linear(&hook.hook, g, &y, 0, x));
    ar_graph_keep(g, y);
    CHECK_OK(ar_graph_build(g));
    CHECK_OK(ar_graph_run(g));
    CHECK_OK(ar_tensor_read(y, out, 0, N * lin->O));
    const ar__adapter_part *p = &a->parts[0][0];
    for (int64_t n = 0; n < N; n++)
        for (int64_t o = 0; o < lin->O; o++) {
            double want = 0;
            for (int64_t i = 0; i < lin->I; i++) {
                double weight = (double)W[o * lin->I + i];
                for (int64_t k = 0; k < 3; k++)
                    weight += (double)p->up[o * 3 + k] * (double)p->down[k * lin->I + i];
                want += weight * (double)in[n * lin->I + i];
            }
            assert_true(fabs((double)out[n * lin->O + o] - want) < 1e-5);
        }
    ar_graph_destroy(g);
    ar_tensor_destroy(x);
    ar__adapter_drop(&parts);
    ar_block_weights_deinit(&w);
    ar_adapter_close(a);
    free(in);
    free(out);
    free(W);
}
static void a_product_with_its_part_is_that_of_the_sum(void **state) {
    (void)state;
    ar_open_model *m = NULL;
    CHECK_OK(ar_random_model_open(&m, &config, 5));
    check_each_device(one_product, m);
    ar_random_model_close(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_of_that_rank_is_nearer),
        cmocka_unit_test(a_matrix_of_smaller_rank_is_met),
        cmocka_unit_test(adapters_are_read_as_they_were_written),
        cmocka_unit_test(damaged_and_foreign_adapters_are_refused),
        cmocka_unit_test(a_product_with_its_part_is_that_of_the_sum),
        cmocka_unit_test(parts_add_up_on_every_device),
        cmocka_unit_test(generation_adds_the_parts_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
