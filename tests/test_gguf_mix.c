/* Types of tensors under the names of --type: what llama-quantize (llama.cpp 0.7.0 of Debian testing) gave
 * each tensor of two random models of 19 and 17 layers, and the rounding of the matrices that are not tuned.
 * No device. */
#include "temp_files.h"
#include "fmt_gguf.h"
#include <math.h>

/* A digit per layer, n of Qn_K: attn_v and ffn_down; then attn_output, the other linears, the embedding, the
 * head. */
static const struct {
    const char *mix;
    int32_t layers, queries_per_kv;
    bool tied;
    const char *v, *down, *rest;
} published[] = {
    {"q2_k", 19, 4, false, "4444444444444444444", "3333333333333333333", "3226"},
    {"q3_k_s", 19, 4, false, "3333333333333333333", "3333333333333333333", "3336"},
    {"q3_k_m", 19, 4, false, "5544444444444444444", "5444444444444444444", "4336"},
    {"q3_k_l", 19, 4, false, "5555555555555555555", "5555555555555555555", "5336"},
    {"q4_k_s", 19, 4, false, "5555444444444444444", "5544444444444444444", "4446"},
    {"q4_k_m", 19, 4, false, "6644644644644644666", "6644644644644644666", "4446"},
    {"q5_k_s", 19, 4, false, "5555555555555555555", "5555555555555555555", "5556"},
    {"q5_k_m", 19, 4, false, "6655655655655655666", "6655655655655655666", "5556"},
    {"q6_k", 19, 4, false, "6666666666666666666", "6666666666666666666", "6666"},
    {"q2_k", 17, 2, true, "33333333333333333", "33333333333333333", "3266"},
    {"q3_k_s", 17, 2, true, "33333333333333333", "33333333333333333", "3366"},
    {"q3_k_m", 17, 2, true, "55444444444444444", "54444444444444444", "4366"},
    {"q3_k_l", 17, 2, true, "55555555555555555", "55555555555555555", "5366"},
    {"q4_k_s", 17, 2, true, "55554444444444444", "55444444444444444", "4466"},
    {"q4_k_m", 17, 2, true, "66446446446446666", "66446446446446666", "4466"},
    {"q5_k_s", 17, 2, true, "55555555555555555", "55555555555555555", "5566"},
    {"q5_k_m", 17, 2, true, "66556556556556666", "66556556556556666", "5566"},
    {"q6_k", 17, 2, true, "66666666666666666", "66666666666666666", "6666"},
};

static char digit(const char *mix, const char *format, int32_t layer, int32_t row) {
    char name[64];
    snprintf(name, sizeof name, format, (int)layer);
    ar__gguf_place p = {name, 256, published[row].layers, published[row].queries_per_kv, published[row].tied};
    const char *type = ar_qtype_name(ar__gguf_mix_type(ar__gguf_mix_find(mix), &p));
    return strstr(type, "_K") ? type[1] : '?';
}

static void mixes_are_llama_quantize_s(void **state) {
    (void)state;
    static const char *const others[] = {"blk.%d.attn_q.weight", "blk.%d.attn_k.weight",
                                         "blk.%d.ffn_gate.weight", "blk.%d.ffn_up.weight"};
    for (int32_t r = 0; r < (int32_t)(sizeof published / sizeof *published); r++) {
        const char *mix = published[r].mix;
        for (int32_t layer = 0; layer < published[r].layers; layer++) {
            assert_int_equal(digit(mix, "blk.%d.attn_v.weight", layer, r), published[r].v[layer]);
            assert_int_equal(digit(mix, "blk.%d.ffn_down.weight", layer, r), published[r].down[layer]);
            assert_int_equal(digit(mix, "blk.%d.attn_output.weight", layer, r), published[r].rest[0]);
            for (int k = 0; k < 4; k++)
                assert_int_equal(digit(mix, others[k], layer, r), published[r].rest[1]);
        }
        assert_int_equal(digit(mix, "token_embd.weight", 0, r), published[r].rest[2]);
        if (!published[r].tied) assert_int_equal(digit(mix, "output.weight", 0, r), published[r].rest[3]);
    }
}

static const char *type_of(const char *mix, const char *name, int64_t width, bool tied) {
    return ar_qtype_name(
        ar__gguf_mix_type(ar__gguf_mix_find(mix), &(ar__gguf_place){name, width, 2, 1, tied}));
}

static void widths_that_blocks_do_not_divide_fall_back(void **state) {
    (void)state;
    assert_string_equal(type_of("q2_k", "blk.0.attn_q.weight", 128, false), "Q4_0");
    assert_string_equal(type_of("q3_k_s", "blk.0.attn_q.weight", 128, false), "Q4_0");
    assert_string_equal(type_of("q4_k_s", "blk.0.attn_q.weight", 128, false), "Q5_0");
    assert_string_equal(type_of("q5_k_s", "blk.0.attn_q.weight", 128, false), "Q5_1");
    assert_string_equal(type_of("q6_k", "blk.0.attn_q.weight", 128, false), "Q8_0");
    assert_string_equal(type_of("q4_k_m", "blk.1.ffn_down.weight", 384, false), "Q8_0");
    assert_string_equal(type_of("q4_k_m", "blk.1.ffn_down.weight", 172, false), "F16");
    assert_string_equal(type_of("q4_0", "blk.1.ffn_down.weight", 172, false), "F16");
    assert_string_equal(type_of("q4_0", "token_embd.weight", 128, true), "Q8_0");
    assert_string_equal(type_of("q4_0", "token_embd.weight", 128, false), "Q4_0");
    assert_string_equal(type_of("q8_0", "output.weight", 512, false), "Q8_0");
    assert_string_equal(type_of("q4_0", "output.weight", 100, false), "F16");
    assert_string_equal(type_of("f16", "output.weight", 100, false), "F16");
    assert_string_equal(type_of("bf16", "blk.0.attn_q.weight", 100, false), "BF16");
    assert_string_equal(type_of("q4_0", "blk.0.attn_q_norm.weight", 64, false), "F32");
    assert_string_equal(type_of("q4_k_m", "position_embd.weight", 256, false), "F32");
    assert_null(ar__gguf_mix_find("q4_k_x"));
    assert_int_equal(ar__gguf_type_named("Q4_k"), AR_QT_Q4_K);
    assert_int_equal(ar__gguf_type_named("q4_k_m"), AR_QT_COUNT);
    assert_int_equal(ar__gguf_type_named("iq4_nl"), AR_QT_COUNT);
}

/* ---- rounding ---- */

static float normal(uint32_t *state) {
    float sum = 0.0f;
    for (int k = 0; k < 12; k++) {
        *state = *state * 1664525u + 1013904223u;
        sum += (float)(*state >> 8) / 16777216.0f;
    }
    return sum - 6.0f;
}

static double squared_error(const float *a, const float *b, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sum / (double)count;
}

/* Mean squared errors of normal weights; the bound is 2 % above what was found, and far below rounding
 * without a scan. */
static void rounding_errs_little(void **state) {
    (void)state;
    static const struct {
        ar_qtype type;
        double bound;
    } cases[] = {{AR_QT_Q4_0, 0.0105}, {AR_QT_Q4_1, 0.0078}, {AR_QT_Q5_0, 0.0027}, {AR_QT_Q5_1, 0.0019},
                 {AR_QT_Q8_0, 3.7e-5}, {AR_QT_Q2_K, 0.115},  {AR_QT_Q3_K, 0.034},  {AR_QT_Q4_K, 0.0079},
                 {AR_QT_Q5_K, 0.002},  {AR_QT_Q6_K, 4.8e-4}};
    enum { O = 8, I = 512 };
    float W[O * I], got[O * I];
    uint32_t seed = 7;
    for (int i = 0; i < O * I; i++)
        W[i] = normal(&seed) * (i / 64 % 3 == 0 ? 2.0f : 0.5f) + (i / 32 % 5 == 0 ? 0.5f : 0.0f);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        ar_scheme s;
        ar_qlinear q;
        assert_true(ar__gguf_scheme(&s, cases[k].type));
        assert_ok(ar_qlinear_init(&q, &s, O, I));
        assert_ok(ar__gguf_round(&q, "w", W, 0));
        ar_qlinear_dequant(got, &q);
        double error = squared_error(W, got, O * I);
        if (error > cases[k].bound)
            fail_msg("%s: found %g, expected at most %g", ar_qtype_name(cases[k].type), error,
                     cases[k].bound);
        ar_qlinear_deinit(&q);
    }
}

static void rounding_takes_zeros_constants_and_refuses_the_rest(void **state) {
    (void)state;
    enum { O = 3, I = 256 };
    float W[O * I] = {0}, got[O * I];
    for (int i = 0; i < I; i++) W[I + i] = 0.25f, W[2 * I + i] = -0.25f;
    for (int32_t t = 0; t < AR_QT_COUNT; t++) {
        ar_scheme s;
        ar_qlinear q;
        if (!ar__gguf_scheme(&s, (ar_qtype)t)) continue;
        assert_ok(ar_qlinear_init(&q, &s, O, I));
        assert_ok(ar__gguf_round(&q, "w", W, 0));
        ar_qlinear_dequant(got, &q);
        for (int i = 0; i < O * I; i++) assert_true(fabsf(got[i] - W[i]) <= 0.004f);
        for (int i = 0; i < I; i++) assert_true(got[i] == 0.0f);
        W[700] = INFINITY;
        assert_error(ar__gguf_round(&q, "w", W, 5), AR_ERR_FORMAT, "w: found Inf at row 7, column 188");
        W[700] = 1e30f;
        assert_error(ar__gguf_round(&q, "w", W, 5), AR_ERR_FORMAT, "w: found 1e+30 at row 7, column 188");
        W[700] = -0.25f;
        ar_qlinear_deinit(&q);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mixes_are_llama_quantize_s),
        cmocka_unit_test(widths_that_blocks_do_not_divide_fall_back),
        cmocka_unit_test(rounding_errs_little),
        cmocka_unit_test(rounding_takes_zeros_constants_and_refuses_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
