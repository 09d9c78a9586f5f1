/* compressed-tensors' "int-quantized" form, codes as signed bytes, and what settings say of inputs: values,
 * faults. */
#include "all_devices.h"
#include "fmt_packed.h"
#include "packed_folder.h"

#define BYTES "\"quant_method\":\"compressed-tensors\",\"format\":\"int-quantized\""
#define INT8  "\"num_bits\":8,\"type\":\"int\",\"strategy\":\"channel\""
#define GROUPS(weights, inputs)                                                                              \
    ",\"config_groups\":{\"g\":{\"targets\":[\"Linear\"],\"weights\":{" weights                              \
    "},\"input_activations\":" inputs "}}"
#define TOKEN "{\"num_bits\":8,\"type\":\"int\",\"strategy\":\"token\",\"dynamic\":true}"

enum { O = 4, I = 45 };

static char *folder_of(const char *config, const bad_tensor *change) {
    static const bad_tensor list[] = {{"p.weight", "I8", 2, {O, I}},
                                      {"p.weight_scale", "F16", 2, {O, 1}},
                                      {"n.weight", "F16", 1, {I, 0}},
                                      {"p.weight_zero_point", "I8", 2, {O, 1}}};
    return packed_folder(config, list, strstr(config, "\"symmetric\":false,\"n") ? 4 : 3, change, 0);
}

static void signed_bytes_are_read(void **state) {
    (void)state;
    static const float s_of[] = {1, -1, 2, -2};
    static const int8_t zeros[O] = {0, -128, 127, 3};
    for (int asym = 0; asym < 2; asym++) {
        char *folder = folder_of(asym ? QC(BYTES GROUPS("\"symmetric\":false," INT8, TOKEN))
                                      : QC(BYTES GROUPS(INT8, TOKEN)),
                                 NULL);
        const uint16_t scales[O] = {0x3c00, 0xbc00, 0x4000, 0xc000};
        int8_t codes[O * I];
        for (int i = 0; i < O * I; i++) codes[i] = (int8_t)(i * 37 % 256 - 128);
        patch_tensor(folder, "p.weight", codes, sizeof codes);
        patch_tensor(folder, "p.weight_scale", scales, sizeof scales);
        if (asym) patch_tensor(folder, "p.weight_zero_point", zeros, sizeof zeros);
        ar_weights w;
        ar_qlinear q;
        float got[O * I];
        assert_ok(ar_weights_open_packed(&w, folder));
        assert_int_equal(w.vtable->count(w.impl), 2);
        int64_t at = ar_weights_find(&w, "p.weight");
        assert_string_equal(w.vtable->at(w.impl, at)->type, "int8");
        assert_string_equal(w.vtable->at(w.impl, 1 - at)->type, "F16");
        assert_ok(w.vtable->read(w.impl, got, at, 0, O));
        assert_ok(w.vtable->read_codes(w.impl, &q, at));
        for (int i = 0; i < O * I; i++) {
            int zero = asym ? zeros[i / I] : 0;
            assert_true(got[i] == s_of[i / I] * (float)(codes[i] - zero));
            assert_int_equal(q.codes[i], codes[i] + 128);
            assert_int_equal(q.zeros[i / I], zero + 128);
        }
        assert_int_equal(q.scheme.zero, asym ? AR_ZERO_INT : AR_ZERO_SYM);
        ar_qlinear_deinit(&q);
        ar_weights_close(&w);
        temp_remove(folder);
    }
}

static void settings_of_inputs_are_read(void **state) {
    (void)state;
    static const struct {
        const char *inputs;
        ar_acts_scheme scheme;
    } cases[] = {{"null", {0, AR_ACTS_TOKEN, false}},
                 {TOKEN, {8, AR_ACTS_TOKEN, false}},
                 {"{\"num_bits\":4,\"strategy\":\"token\",\"dynamic\":true,\"symmetric\":false}",
                  {4, AR_ACTS_TOKEN, true}},
                 {"{\"num_bits\":8,\"strategy\":\"tensor\",\"dynamic\":true}", {8, AR_ACTS_TENSOR, false}},
                 {"{\"num_bits\":8}", {8, AR_ACTS_STATIC, false}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char config[600];
        snprintf(config, sizeof config, QC(BYTES GROUPS(INT8, "%s")), cases[i].inputs);
        char *folder = folder_of(config, NULL);
        ar_packed_config c = {0};
        assert_ok(ar__packed_config_open(&c, folder));
        assert_int_equal(c.acts.bits, cases[i].scheme.bits);
        assert_int_equal(c.acts.range, cases[i].scheme.range);
        assert_int_equal(c.acts.asym, cases[i].scheme.asym);
        ar__packed_config_close(&c);
        temp_remove(folder);
    }
}

/* W16A8: nothing is packed. */
static void floats_beside_settings_of_inputs_are_read(void **state) {
    (void)state;
    static const bad_tensor list[] = {{"p.weight", "F16", 2, {O, I}}};
    char *folder = packed_folder(
        QC("\"quant_method\":\"compressed-tensors\",\"format\":\"dense\",\"config_groups\":{\"g\":{"
           "\"weights\":null,\"input_activations\":" TOKEN "}}"),
        list, 1, NULL, 0x3c);
    ar_packed_config c = {0};
    ar_weights w;
    float row[I];
    assert_ok(ar__packed_config_open(&c, folder));
    assert_int_equal(c.acts.bits, 8);
    ar__packed_config_close(&c);
    assert_ok(ar_weights_open_packed(&w, folder));
    assert_string_equal(w.vtable->at(w.impl, 0)->type, "F16");
    assert_ok(w.vtable->read(w.impl, row, 0, 1, 1));
    assert_true(row[I - 1] == ar_f16_to_f32(0x3c3c));
    ar_weights_close(&w);
    temp_remove(folder);
}

static void bad_bytes_are_refused(void **state) {
    (void)state;
    static const char *const plain = QC(BYTES GROUPS(INT8, TOKEN)), *const zeros = QC(BYTES GROUPS(
                                                                        "\"symmetric\":false," INT8, TOKEN));
    const struct {
        const char *config;
        bad_tensor change;
        const char *text;
    } cases[] = {{plain, {"p.weight", "I8", 1, {O * I, 0}}, "found I8 (180), expected I8 (out, in)"},
                 {plain, {"p.weight", "I8", 2, {0, I}}, "expected I8 (out, in)"},
                 {plain, {"p.weight", "F16", 2, {O, I}}, "p.weight_scale: found no p.weight"},
                 {plain, {"p.weight_scale", NULL, 0, {0, 0}}, "p.weight_scale: found nothing"},
                 {plain, {"p.weight_scale", "F16", 2, {O, 2}}, "found F16 (4, 2), expected F16 (4, 1)"},
                 {plain, {"p.weight_zero_point", "I8", 2, {O, 1}}, "found zero points, expected none"},
                 {zeros, {"p.weight_zero_point", "I32", 2, {O, 1}}, "found I32 (4, 1), expected I8 (4, 1)"},
                 {zeros, {"p.weight_zero_point", NULL, 0, {0, 0}}, "p.weight_zero_point: found nothing"},
                 {plain, {"o.input_scale", "F32", 1, {1, 0}}, "o.input_scale: found no o.weight"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *folder = folder_of(cases[i].config, &cases[i].change);
        ar_weights w;
        assert_error(ar_weights_open_packed(&w, folder), AR_ERR_FORMAT, cases[i].text);
        assert_null(w.impl);
        temp_remove(folder);
    }
}

static void unsupported_settings_are_named(void **state) {
    (void)state;
    static const struct {
        const char *config, *text;
    } cases[] = {
        {QC(BYTES GROUPS("\"num_bits\":4,\"type\":\"int\",\"strategy\":\"channel\"", TOKEN)),
         "num_bits: found 4, expected 8 (int-quantized)"},
        {QC(BYTES GROUPS(INT8, "{\"num_bits\":8,\"type\":\"float\"}")), "type: found \"float\""},
        {QC(BYTES GROUPS(INT8, "{\"num_bits\":16}")), "num_bits: found 16"},
        {QC(BYTES GROUPS(INT8, "{\"num_bits\":8,\"strategy\":\"group\"}")), "expected token or tensor"},
        {QC(BYTES GROUPS(INT8, "{\"num_bits\":8,\"strategy\":\"token\"}")), "static ranges of tokens"},
        {QC(BYTES GROUPS(INT8, "{\"num_bits\":8,\"dynamic\":\"local\"}")), "dynamic"},
        {QC(BYTES ",\"config_groups\":{\"a\":{\"weights\":{" INT8 "},\"input_activations\":" TOKEN
                  "},\"b\":{\"weights\":{" INT8 "}}}"),
         "b: found other input_activations"},
        {QC(BYTES ",\"config_groups\":{\"a\":{\"weights\":null}}"), "weights: found no object"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *folder = folder_of(cases[i].config, NULL);
        ar_weights w;
        assert_error(ar_weights_open_packed(&w, folder), AR_ERR_FORMAT, cases[i].text);
        temp_remove(folder);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signed_bytes_are_read),
        cmocka_unit_test(settings_of_inputs_are_read),
        cmocka_unit_test(floats_beside_settings_of_inputs_are_read),
        cmocka_unit_test(bad_bytes_are_refused),
        cmocka_unit_test(unsupported_settings_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
