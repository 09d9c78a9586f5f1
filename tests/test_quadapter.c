/* Scales between norms and linears: where they may be, in every family; that they change nothing in floats;
 * bad input of their ops. What they gain: tests/cli/quadapter.sh. ctest-labels: device vulkan */
#include "op_check.h"
#include "temp_files.h"
#include "ar_error.h"
#include "family.h"

#define T 24
#define V 64
static const struct {
    const char *name;
    int32_t of[AR_MAX_LINEARS]; /* one more: 0 = none */
} families[] = {{"llama", {1, 1, 1, 0, 2, 2, 0}}, {"mistral", {1, 1, 1, 0, 2, 2, 0}},
                {"qwen2", {1, 1, 1, 0, 2, 2, 0}}, {"qwen3", {1, 1, 1, 0, 2, 2, 0}},
                {"phi3", {1, 0, 2, 0}},           {"gpt2", {1, 0, 2, 0}},
                {"opt", {1, 1, 1, 0, 2, 0}}};
enum { FAMILIES = sizeof families / sizeof *families };

static const char *golden_folder(const char *name) {
    static char path[256];
    snprintf(path, sizeof path, "tests/golden/families/%s", name);
    return path;
}

static void read_golden(int32_t *ids, float *logits, const char *name) {
    ar_safetensors *st;
    assert_ok(ar_safetensors_open(&st, in_folder(golden_folder(name), "golden.safetensors")));
    memcpy(ids, ar_safetensors_find(st, "ids")->data, sizeof *ids * T);
    memcpy(logits, ar_safetensors_find(st, "logits")->data, sizeof *logits * T * V);
    ar_safetensors_close(st);
}

/* Random scales, three orders of magnitude of them, in front of all that can be scaled. */
static void scale_all(ar_open_model *m, ar_device *device, const int32_t *expected) {
    static int32_t of[64][AR_MAX_LINEARS];
    static float *alpha[64 * AR_MAX_NORMS];
    memset(alpha, 0, sizeof alpha);
    for (int32_t b = 0; b < m->model.block_count; b++) {
        const ar_block *block = &m->model.blocks[b];
        assert_ok(ar_block_feeds(of[b], block, device));
        for (int32_t i = 0; i < block->linear_count; i++) {
            float **a = &alpha[b * AR_MAX_NORMS + of[b][i]];
            assert_int_equal(of[b][i], expected[i] - 1);
            if (of[b][i] < 0 || *a) continue;
            *a = malloc((size_t)block->linears[i].I * sizeof **a);
            for (int64_t k = 0; k < block->linears[i].I; k++)
                (*a)[k] = expf(7.0f * (float)ar_random_unit(5, (uint64_t)b, (uint64_t)k) - 3.5f);
        }
    }
    assert_ok(ar__family_fold(m, of, alpha));
    for (size_t k = 0; k < sizeof alpha / sizeof *alpha; k++) free(alpha[k]);
}

static void floats_case(ar_device *device, void *ctx) {
    (void)ctx;
    int32_t ids[T];
    float *want = malloc(sizeof(float) * T * V), *got = malloc(sizeof(float) * T * V);
    for (int f = 0; f < FAMILIES; f++) {
        ar_open_model *m;
        read_golden(ids, want, families[f].name);
        assert_ok(ar_model_open(&m, golden_folder(families[f].name)));
        scale_all(m, device, families[f].of);
        assert_ok(ar_model_logits(got, m, device, ids, T, T));
        double off = 0, sum = 0;
        for (int i = 0; i < T * V; i++) {
            off += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
            sum += (double)want[i] * want[i];
        }
        if (!(sqrt(off / sum) <= 1e-5))
            fail_msg("%s on %s: logits off by %.3g of their norm", families[f].name, check_name(device),
                     sqrt(off / sum));
        ar_model_close(m);
    }
    free(want);
    free(got);
}

static void scales_change_no_floats(void **state) {
    (void)state;
    check_each_device(floats_case, NULL);
}

static void wrong_case(ar_device *device, void *ctx) {
    (void)ctx;
    float values[12] = {1};
    ar_graph *g;
    ar_tensor *x = check_tensor(device, AR_F32, 3, 4, values),
              *theta = check_tensor(device, AR_F32, 3, 0, values), *y = NULL;
    CHECK_OK(ar_graph_create(&g, device));
    assert_int_equal(ar_op_channel_scale(g, &y, x, theta, false), AR_ERR_SHAPE);
    assert_int_equal(ar_op_acts_ranged(g, &y, x, &(ar_acts_scheme){8, AR_ACTS_STATIC, true}), AR_ERR_ARG);
    assert_int_equal(ar_op_acts_ranged(g, &y, x, &(ar_acts_scheme){9, AR_ACTS_TOKEN, true}), AR_ERR_ARG);
    ar_tensor_set_needs_grad(x, true);
    assert_int_equal(ar_op_straight(g, theta, x), AR_ERR_SHAPE);
    ar_graph_destroy(g);
    ar_tensor_destroy(x);
    ar_tensor_destroy(theta);
}

static void ops_refuse_what_does_not_fit(void **state) {
    (void)state;
    check_each_device(wrong_case, NULL);
}

/* As a program calls it: without quantized inputs, and without samples. */
static void the_method_refuses_what_it_cannot_do_without(void **state) {
    (void)state;
    ar_open_model *m;
    const ar_method *method = ar_method_find("quadapter");
    ar_quant_desc desc = {.scheme = {.bits = 8, .group = -1}};
    ar_sink sink = {NULL};
    assert_non_null(method);
    assert_true(method->scales);
    assert_ok(ar_model_open(&m, golden_folder("llama")));
    assert_int_equal(method->run(&m->model, NULL, NULL, &desc, &sink, NULL), AR_ERR_ARG);
    desc.acts.bits = 8;
    assert_int_equal(method->run(&m->model, NULL, NULL, &desc, &sink, NULL), AR_ERR_ARG);
    ar_model_close(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(scales_change_no_floats),
                                       cmocka_unit_test(ops_refuse_what_does_not_fit),
                                       cmocka_unit_test(the_method_refuses_what_it_cannot_do_without)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
