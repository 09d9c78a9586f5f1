/* The formats in the layouts of AWQ (awq, auto_round_awq) and compressed-tensors: round trips, independent
 * decoders, golden words, config.json, files of others, and files that must be refused. */
#include "write_source.h"
#include "packed_folder.h"
#include "packing.h"
#include "ref_packed.h"

static const source_shape small = {.hidden = 64, .kv = 16, .inter = 256, .dtype = "F32"},
                          odd = {.hidden = 96, .kv = 32, .inter = 192, .dtype = "BF16"};

/* ---- round trips ---- */

typedef struct reference {
    bool compressed;
    ref_pack pack;
    ref_gptq awq;
} reference;

/* False if the linear is not packed. */
static bool find_reference(reference *r, const ref_file *f, const char *prefix, const ar_scheme *s) {
    if (r->compressed ? !ref_pack_find(&r->pack, f, prefix) : !ref_gptq_find(&r->awq, f, prefix))
        return false;
    if (r->compressed)
        assert_int_equal(r->pack.has_zero, s->zero != AR_ZERO_SYM);
    else
        assert_int_equal(r->awq.has_g_idx, 0);
    return true;
}

static float value_of(const reference *r, const ar_scheme *s, long n, long k) {
    return r->compressed ? ref_pack_value(&r->pack, n, k, s->bits, s->group)
                         : ref_awq_value(&r->awq, n, k, s->group);
}

static void compare_linear(const ref_file *f, const test_source *t, const ar_weights *w, int block, int i,
                           bool compressed, int n_multiple) {
    const ar_linear *lin = &t->blocks[block].linears[i];
    const ar_scheme *s = &t->plan.scheme;
    char prefix[AR_HF_NAME], name[AR_HF_NAME + 8];
    ar_qlinear *q = NULL;
    reference r = {.compressed = compressed};
    ar__hf_linear_name(prefix, &t->blocks[block], i);
    snprintf(name, sizeof name, "%s.weight", prefix);
    bool holds = lin->O % n_multiple == 0 && (s->group < 0 || lin->I % s->group == 0);
    assert_int_equal(find_reference(&r, f, prefix, s), holds);
    if (!holds) return;
    float *want = malloc((size_t)(lin->O * lin->I) * 4), *got = malloc((size_t)(lin->O * lin->I) * 4);
    assert_ok(source_linear((void *)t, &q, block, i));
    ar_qlinear_dequant(want, q);
    int64_t index = ar_weights_find(w, name), part = lin->O / 3 + 1; /* neither a whole number of tiles */
    assert_true(index >= 0);
    assert_ok(w->vtable->read(w->impl, got, index, 0, part));
    assert_ok(w->vtable->read(w->impl, got + part * lin->I, index, part, lin->O - part));
    for (long n = 0; n < lin->O; n++)
        for (long k = 0; k < lin->I; k++) {
            float value = value_of(&r, s, n, k);
            if (value != want[n * lin->I + k])
                fail_msg("%s (%ld, %ld): the reference reads %g, expected %g", name, n, k, (double)value,
                         (double)want[n * lin->I + k]);
            assert_true(got[n * lin->I + k] == value);
        }
    free(want);
    free(got);
    ar_qlinear_free(q);
}

static void round_trip(const source_shape *shape, const char *format, int bits, int group, bool sym,
                       bool negative) {
    char *folder = temp_folder(), model[4200], out[4200];
    test_source t;
    snprintf(model, sizeof model, "%s/model", folder);
    source_open(&t, model, shape,
                &(ar_output_request){.formats = format, .bits = bits, .group = group, .sym = sym});
    assert_int_equal(t.plan.scheme.zero_min, 0);
    t.negative = negative;
    snprintf(out, sizeof out, "%s/out", folder);
    const ar_format *f = ar_format_find(format);
    assert_ok(f->write(out, &t.src));
    assert_ok(f->verify(out, &t.src));
    ref_file ref;
    ar_weights w;
    ar_qlinear q;
    assert_true(ref_open(&ref, in_folder(out, "model.safetensors")));
    assert_ok(ar_weights_open_packed(&w, out));
    for (int b = 0; b < 2; b++)
        for (int i = 0; i < 7; i++)
            compare_linear(&ref, &t, &w, b, i, strcmp(format, "compressed_tensors") == 0,
                           strcmp(format, "auto_round_awq") == 0 ? 32 : 8);
    int64_t index = ar_weights_find(&w, "model.layers.1.mlp.down_proj.weight");
    assert_ok(w.vtable->read_codes(w.impl, &q, index));
    assert_int_equal(q.scheme.bits, bits);
    if (sym) assert_int_equal(q.zeros[0], 1 << (bits - 1));
    ar_qlinear_deinit(&q);
    ar_weights_close(&w);
    ref_close(&ref);
    source_close(&t);
    temp_remove(folder);
}

static void every_scheme_survives_and_the_reference_agrees(void **state) {
    (void)state;
    static const struct {
        const char *format;
        int bits;
    } kinds[] = {{"awq", 4}, {"auto_round_awq", 4}, {"compressed_tensors", 4}, {"compressed_tensors", 8}};
    static const int groups[] = {16, 32, 64, 128, -1}, odd_groups[] = {24, 48, 96, 192, -1};
    for (int k = 0; k < 4; k++)
        for (int g = 0; g < 5; g++)
            for (int sym = 0; sym < 2; sym++) {
                round_trip(&small, kinds[k].format, kinds[k].bits, groups[g], sym, sym && groups[g] == 32);
                round_trip(&odd, kinds[k].format, kinds[k].bits, odd_groups[g], sym, sym && g == 1);
            }
}

/* ---- golden words ---- */

static void words_are_the_described_ones(void **state) {
    (void)state;
    uint8_t values[32], back[32];
    uint32_t words[4];
    for (int i = 0; i < 32; i++) values[i] = (uint8_t)(i % 16);
    ar_streams row = ar__packing_zeros(&ar__packing_awq, 24, 1, 4);
    assert_int_equal(row.words, 3);
    ar__stream_put(words, &row, 0, values, 1);
    assert_int_equal(words[0], 0x75316420u); /* from the lowest nibble on: outputs 0 2 4 6 1 3 5 7 */
    assert_int_equal(words[1], 0xFDB9ECA8u);
    assert_int_equal(words[2], words[0]);
    ar__stream_block(back, &row, (const uint8_t *)words, 0, 0);
    assert_memory_equal(back, values, 24);
    row = ar__packing_codes(&ar__packing_compressed, 1, 32, 4);
    ar__stream_put(words, &row, 0, values, 1);
    assert_int_equal(words[0], 0x76543210u);
    assert_int_equal(words[3], 0xFEDCBA98u);
    ar_streams column = ar__packing_zeros(&ar__packing_compressed, 8, 2, 8);
    assert_int_equal(column.dims[0], 2);
    assert_int_equal(column.dims[1], 2);
    ar__stream_put(words, &column, 1, values, 1);
    assert_int_equal(words[1], 0x03020100u);
    assert_int_equal(words[3], 0x07060504u);
    for (int i = 0; i < 8; i++)
        assert_int_equal(ar__stream_value(&column, (const uint8_t *)words, 1, i), values[i]);
}

/* Five 3-bit values end within a word, and eleven of them within the second. */
static void streams_may_end_anywhere(void **state) {
    (void)state;
    for (int length = 1; length < 70; length++)
        for (int bits = 2; bits <= 8; bits++) {
            ar_streams s = ar__packing_zeros(&ar__packing_compressed, length, 3, bits);
            uint8_t values[70], block[32];
            uint32_t words[3 * 18] = {0};
            assert_int_equal(s.words, (length * bits + 31) / 32);
            for (int i = 0; i < length; i++) values[i] = (uint8_t)((i * 37 + bits) & ((1 << bits) - 1));
            ar__stream_put(words, &s, 2, values, 1);
            for (int i = 0; i < length; i++) {
                if (i % 32 == 0) ar__stream_block(block, &s, (const uint8_t *)words, 2, i / 32);
                assert_int_equal(block[i % 32], values[i]);
                assert_int_equal(ar__stream_value(&s, (const uint8_t *)words, 2, i), values[i]);
            }
            for (int64_t w = 0; w < s.words; w++) assert_int_equal(words[3 * w] | words[3 * w + 1], 0);
        }
}

/* ---- config.json ---- */

static void configs_are_those_of_their_libraries(void **state) {
    (void)state;
    static const struct {
        const char *format;
        int bits, group, sym;
        const char *part;
    } cases[] = {
        {"awq", 4, 32, 0,
         "\"quantization_config\":{\"quant_method\":\"awq\",\"version\":\"gemm\",\"bits\":4,\"group_size\":"
         "32,"
         "\"zero_point\":true,\"modules_to_not_convert\":[\"lm_head\"],\"provider\":\"anyround\"}"},
        {"awq", 4, 128, 1, "\"zero_point\":true,\"modules_to_not_convert\":[\"lm_head\",\"model.layers.0."},
        {"auto_round_awq", 4, 32, 1, "\"packing_format\":\"auto_round:auto_awq\""},
        {"auto_round_awq", 4, 32, 0, "\"packing_format\":\"auto_round:auto_awq\""},
        {"auto_round_awq", 4, 32, 0,
         "\"model.layers.1.self_attn.k_proj\":{\"bits\":16,\"data_type\":\"float\"}"},
        {"compressed_tensors", 4, 32, 0,
         "\"quantization_config\":{\"quant_method\":\"compressed-tensors\",\"format\":\"pack-quantized\","
         "\"quantization_status\":\"compressed\",\"config_groups\":{\"group_0\":{\"targets\":[\"Linear\"],"
         "\"weights\":{\"num_bits\":4,\"type\":\"int\",\"symmetric\":false,\"group_size\":32,"
         "\"strategy\":\"group\",\"block_structure\":null,\"dynamic\":false,\"actorder\":null},"
         "\"input_activations\":null,\"output_activations\":null}},\"ignore\":[\"lm_head\"],"
         "\"kv_cache_scheme\":null}"},
        {"compressed_tensors", 8, -1, 1,
         "{\"num_bits\":8,\"type\":\"int\",\"symmetric\":true,\"group_size\":null,\"strategy\":\"channel\""},
        {"compressed_tensors", 8, 128, 1, "\"ignore\":[\"lm_head\",\"model.layers.0.self_attn.q_proj\","}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *folder = temp_folder();
        test_source t;
        source_open(&t, in_folder(folder, "model"), &small,
                    &(ar_output_request){.formats = cases[i].format,
                                         .bits = cases[i].bits,
                                         .group = cases[i].group,
                                         .sym = cases[i].sym});
        assert_ok(ar_format_find(cases[i].format)->write(in_folder(folder, "out"), &t.src));
        assert_true(file_holds(folder, "out/config.json", "\"torch_dtype\":\"float16\""));
        if (!file_holds(folder, "out/config.json", cases[i].part))
            fail_msg("%s: config.json lacks %s", cases[i].format, cases[i].part);
        source_close(&t);
        temp_remove(folder);
    }
}

/* ---- files of others, and bad ones ---- */

#define AWQ4 "\"quant_method\":\"awq\",\"bits\":4,\"group_size\":32"
#define ROUND4                                                                                               \
    "\"quant_method\":\"auto-round\",\"bits\":4,\"group_size\":32,\"packing_format\":\"auto_round:auto_"     \
    "awq\""
#define PACK    "\"quant_method\":\"compressed-tensors\",\"format\":\"pack-quantized\""
#define WEIGHTS "\"num_bits\":4,\"type\":\"int\",\"group_size\":32,\"strategy\":\"group\""
#define GROUPS(weights)                                                                                      \
    ",\"config_groups\":{\"group_0\":{\"targets\":[\"Linear\"],\"weights\":{" weights "}}}"
#define PACK4  PACK GROUPS(WEIGHTS)
#define PACK4Z PACK GROUPS(WEIGHTS ",\"symmetric\":false")

/* One packed linear p (O 16, I 64, 4 bits, group 32) in the layout that config is for, changed as told. */
static char *folder_of(const char *config, const bad_tensor *change, uint8_t fill) {
    static const bad_tensor awq[] = {{"p.qweight", "I32", 2, {64, 2}},
                                     {"p.qzeros", "I32", 2, {2, 2}},
                                     {"p.scales", "F16", 2, {2, 16}}},
                            pack[] = {{"p.weight_packed", "I32", 2, {16, 8}},
                                      {"p.weight_scale", "F16", 2, {16, 2}},
                                      {"p.weight_shape", "I64", 1, {2, 0}},
                                      {"p.weight_zero_point", "I32", 2, {2, 2}}};
    bool compressed = strstr(config, "compressed-tensors") != NULL,
         zeros = strstr(config, "\"symmetric\":false");
    char *folder = packed_folder(config, compressed ? pack : awq, compressed ? 3 + zeros : 3, change, fill);
    bool shaped = !change || strcmp(change->name, "p.weight_shape") != 0;
    if (compressed && shaped) patch_tensor(folder, "p.weight_shape", (const int64_t[]){16, 64}, 16);
    return folder;
}

static void others_files_are_read(void **state) {
    (void)state;
    static const struct {
        const char *config, *type;
        float zero;
    } cases[] = {
        {QC(AWQ4), "awq4g32", 3},
        {QC(AWQ4 ",\"version\":\"GEMM\",\"zero_point\":false"), "awq4g32", 3},
        {QC(AWQ4 ",\"format\":\"gemm\""), "awq4g32", 3},
        {QC(ROUND4), "auto_round4g32", 3},
        {QC(PACK4), "pack4g32", 8},
        {QC(PACK4Z), "pack4g32", 3},
        {QC(PACK4
            ",\"sparsity_config\":{\"format\":\"dense\"},\"kv_cache_scheme\":null,\"transform_config\":{}"),
         "pack4g32", 8},
        {QC(PACK ",\"config_groups\":{\"a\":{\"weights\":{\"num_bits\":8,\"strategy\":\"channel\"}},\"b\":{"
                 "\"weights\":{" WEIGHTS "}}}"),
         "pack4g32", 8}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *folder = folder_of(cases[i].config, NULL, 0x33);
        ar_weights w;
        float row[64], s = ar_f16_to_f32(0x3333);
        assert_ok(ar_weights_open_packed(&w, folder));
        assert_int_equal(w.vtable->count(w.impl), 1);
        const ar_weight *p = w.vtable->at(w.impl, 0);
        assert_string_equal(p->name, "p.weight");
        assert_string_equal(p->type, cases[i].type);
        assert_int_equal(p->dims[0], 16);
        assert_int_equal(p->dims[1], 64);
        assert_ok(w.vtable->read(w.impl, row, 0, 15, 1));
        for (int k = 0; k < 64; k++) assert_true(row[k] == s * (3.0f - cases[i].zero));
        ar_weights_close(&w);
        temp_remove(folder);
    }
}

/* Widths that are read and not written: 2 and dense 3 bits, a number of inputs that ends within a word. */
static void narrow_compressed_files_are_read(void **state) {
    (void)state;
    static const int widths[] = {2, 3, 8};
    for (int b = 0; b < 3; b++) {
        int bits = widths[b];
        char config[400];
        snprintf(config, sizeof config,
                 QC(PACK GROUPS("\"num_bits\":%d,\"type\":\"int\",\"strategy\":\"channel\"")), bits);
        int64_t words = (45 * bits + 31) / 32;
        const bad_tensor list[] = {{"p.weight_packed", "I32", 2, {4, words}},
                                   {"p.weight_scale", "F16", 2, {4, 1}},
                                   {"p.weight_shape", "I64", 1, {2, 0}}};
        char *folder = packed_folder(config, list, 3, NULL, 0);
        uint32_t data[4 * 12] = {0};
        uint16_t scales[4] = {0x3c00, 0xbc00, 0x4000, 0xc000}; /* 1, -1, 2, -2 */
        ar_streams s = ar__packing_codes(&ar__packing_compressed, 4, 45, bits);
        uint8_t codes[45];
        for (int i = 0; i < 45; i++) codes[i] = (uint8_t)(i & ((1 << bits) - 1));
        for (int o = 0; o < 4; o++) ar__stream_put(data, &s, o, codes, 1);
        patch_tensor(folder, "p.weight_packed", data, (size_t)(16 * words));
        patch_tensor(folder, "p.weight_scale", scales, sizeof scales);
        patch_tensor(folder, "p.weight_shape", (const int64_t[]){4, 45}, 16);
        ar_weights w;
        float got[4 * 45];
        static const float s_of[] = {1, -1, 2, -2};
        assert_ok(ar_weights_open_packed(&w, folder));
        assert_ok(w.vtable->read(w.impl, got, 0, 0, 4));
        for (int o = 0; o < 4; o++)
            for (int i = 0; i < 45; i++)
                assert_true(got[o * 45 + i] == s_of[o] * (float)(codes[i] - (1 << (bits - 1))));
        ar_weights_close(&w);
        temp_remove(folder);
    }
}

static void reordered_inputs_are_read(void **state) {
    (void)state;
    static const bad_tensor g_idx = {"p.weight_g_idx", "I32", 1, {64, 0}};
    char *folder = folder_of(QC(PACK4), &g_idx, 0);
    int32_t groups[64];
    uint16_t scales[32];
    for (int i = 0; i < 64; i++) groups[i] = i % 2;
    for (int i = 0; i < 32; i++) scales[i] = i % 2 ? 0x4000 : 0x3c00;
    patch_tensor(folder, g_idx.name, groups, sizeof groups);
    patch_tensor(folder, "p.weight_scale", scales, sizeof scales);
    ar_weights w;
    ar_qlinear q;
    float row[64];
    assert_ok(ar_weights_open_packed(&w, folder));
    assert_ok(w.vtable->read(w.impl, row, 0, 7, 1));
    for (int i = 0; i < 64; i++) assert_true(row[i] == (i % 2 ? -16.0f : -8.0f));
    assert_error(w.vtable->read_codes(w.impl, &q, 0), AR_ERR_UNSUPPORTED, "reordered");
    ar_weights_close(&w);
    temp_remove(folder);
}

static void bad_tensors_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *config;
        bad_tensor change;
        const char *text;
    } cases[] = {
        {QC(AWQ4), {"p.qzeros", NULL, 0, {0, 0}}, "p.qzeros: found nothing, expected I32 (2, 2)"},
        {QC(AWQ4), {"p.scales", NULL, 0, {0, 0}}, "p.scales: found nothing, expected F16 (2, 16)"},
        {QC(AWQ4), {"p.qweight", NULL, 0, {0, 0}}, "found no p.qweight"},
        {QC(AWQ4), {"p.qweight", "I32", 1, {128, 0}}, "found I32 (128), expected I32 (in, out / 8)"},
        {QC(AWQ4), {"p.qweight", "I32", 2, {0, 2}}, "found I32 (0, 2), expected I32 (in, out / 8)"},
        {QC(AWQ4), {"p.qweight", "F32", 2, {64, 2}}, "found F32 (64, 2), expected I32 (64, 2)"},
        {QC(AWQ4), {"p.qweight", "I32", 2, {8, 16}}, "found I32 (2, 2), expected I32 (1, 16)"}, /* GPTQ's */
        {QC(AWQ4), {"p.qzeros", "I32", 2, {2, 16}}, "found I32 (2, 16), expected I32 (2, 2)"},
        {QC(AWQ4), {"p.scales", "F16", 2, {16, 2}}, "found F16 (16, 2), expected F16 (2, 16)"},
        {QC(AWQ4), {"p.weight", "F16", 2, {16, 64}}, "float tensor beside"},
        {QC(PACK4), {"p.weight_shape", NULL, 0, {0, 0}}, "p.weight_shape: found nothing, expected I64 (2)"},
        {QC(PACK4), {"p.weight_shape", "I32", 1, {2, 0}}, "found I32 (2), expected I64 (2)"},
        {QC(PACK4), {"p.weight_shape", "I64", 1, {3, 0}}, "found I64 (3), expected I64 (2)"},
        {QC(PACK4), {"p.weight_shape", "I64", 1, {2, 0}}, "expected two positive sizes"}, /* all 0xff: -1 */
        {QC(PACK4), {"p.weight_scale", NULL, 0, {0, 0}}, "p.weight_scale: found nothing"},
        {QC(PACK4), {"p.weight_scale", "F16", 2, {2, 16}}, "found F16 (2, 16), expected F16 (16, 2)"},
        {QC(PACK4), {"p.weight_scale", "F16", 1, {32, 0}}, "found F16 (32), expected F16 (16, 2)"},
        {QC(PACK4), {"p.weight_packed", "I32", 2, {16, 7}}, "found I32 (16, 7), expected I32 (16, 8)"},
        {QC(PACK4), {"p.weight_packed", "U8", 2, {16, 8}}, "found U8 (16, 8), expected I32 (16, 8)"},
        {QC(PACK4), {"p.weight_packed", NULL, 0, {0, 0}}, "found no p.weight_packed"},
        {QC(PACK4),
         {"p.weight_zero_point", "I32", 2, {2, 2}},
         "found zero points, expected none (symmetric)"},
        {QC(PACK4Z), {"p.weight_zero_point", NULL, 0, {0, 0}}, "p.weight_zero_point: found nothing"},
        {QC(PACK4Z), {"p.weight_zero_point", "I8", 2, {16, 2}}, "found I8 (16, 2), expected I32 (2, 2)"},
        {QC(PACK4Z), {"p.weight_zero_point", "I32", 2, {16, 2}}, "found I32 (16, 2), expected I32 (2, 2)"},
        {QC(PACK4), {"p.weight_g_idx", "I32", 1, {64, 0}}, "found group -1 at 0, expected 0 to 1"},
        {QC(PACK4), {"p.weight_g_idx", "I32", 1, {16, 0}}, "found I32 (16), expected I32 (64)"},
        {QC(PACK4), {"p.weight", "F16", 2, {16, 64}}, "float tensor beside"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *folder = folder_of(cases[i].config, &cases[i].change, 0xff);
        ar_weights w;
        assert_error(ar_weights_open_packed(&w, folder), AR_ERR_FORMAT, cases[i].text);
        assert_null(w.impl);
        temp_remove(folder);
    }
}

static void unsupported_configs_are_named(void **state) {
    (void)state;
    static const struct {
        const char *config, *text;
    } cases[] = {
        {QC(AWQ4 ",\"version\":\"gemv\""), "version: found \"gemv\", expected gemm"},
        {QC(AWQ4 ",\"version\":\"marlin\""), "version: found \"marlin\""},
        {QC(AWQ4 ",\"format\":\"llm-awq\""), "format: found \"llm-awq\""},
        {QC(AWQ4 ",\"zero_point\":3"), "zero_point"},
        {QC("\"quant_method\":\"awq\""), "bits: found nothing"},
        {QC("\"quant_method\":\"awq\",\"bits\":3,\"group_size\":32"), "found 3, expected 4"},
        {QC("\"quant_method\":\"auto-round\",\"bits\":8,\"packing_format\":\"auto_round:auto_awq\""),
         "found 8, expected 4"},
        {QC("\"quant_method\":\"compressed-tensors\""), "format: found \"\", expected pack-quantized, int"},
        {QC("\"quant_method\":\"compressed-tensors\",\"format\":\"naive-quantized\""),
         "found \"naive-quantized\""},
        {QC("\"quant_method\":\"compressed-tensors\",\"format\":\"marlin-24\""), "found \"marlin-24\""},
        {QC(PACK), "config_groups: found none"},
        {QC(PACK ",\"config_groups\":{}"), "config_groups: found none"},
        {QC(PACK ",\"config_groups\":[]"), "config_groups: found none"},
        {QC(PACK ",\"config_groups\":{\"W4A16\":[\"Linear\"]}"), "weights: found no object"},
        {QC(PACK ",\"config_groups\":{\"g\":{\"weights\":null}}"), "weights: found no object"},
        {QC(PACK GROUPS("\"type\":\"int\"")), "num_bits: found nothing"},
        {QC(PACK GROUPS("\"num_bits\":5,\"strategy\":\"channel\"")), "found 5, expected 2, 3, 4 or 8"},
        {QC(PACK GROUPS("\"num_bits\":16,\"strategy\":\"channel\"")), "expected 2, 3, 4 or 8"},
        {QC(PACK GROUPS("\"num_bits\":8,\"type\":\"float\",\"strategy\":\"channel\"")),
         "type: found \"float\""},
        {QC(PACK GROUPS("\"num_bits\":8,\"type\":\"int\",\"strategy\":\"tensor\"")), "found \"tensor\""},
        {QC(PACK GROUPS("\"num_bits\":8,\"type\":\"int\",\"strategy\":\"group\"")),
         "group_size: found nothing"},
        {QC(PACK GROUPS("\"num_bits\":8,\"group_size\":0,\"strategy\":\"group\"")), "group_size: found 0"},
        {QC(PACK4 ",\"kv_cache_scheme\":{\"num_bits\":8}"), "kv_cache_scheme: found a value"},
        {QC(PACK4 ",\"transform_config\":{\"config_groups\":{}}"), "transform_config: found a value"},
        {QC(PACK4 ",\"sparsity_config\":{\"format\":\"sparse-24-bitmask\"}"), "found \"sparse-24-bitmask\""},
        {QC(PACK ",\"config_groups\":{\"g\":{\"weights\":{" WEIGHTS
                 "},\"output_activations\":{\"num_bits\":8}}}"),
         "output_activations: found a value"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *folder = folder_of(cases[i].config, NULL, 0);
        ar_weights w;
        assert_error(ar_weights_open_packed(&w, folder), AR_ERR_FORMAT, cases[i].text);
        assert_null(w.impl);
        temp_remove(folder);
    }
}

static void truncated_files_are_refused(void **state) {
    (void)state;
    static const char *const configs[] = {QC(AWQ4), QC(PACK4Z)};
    for (int c = 0; c < 2; c++) {
        char *folder = folder_of(configs[c], NULL, 0x33);
        ar_weights w;
        ar_file f;
        assert_ok(ar_file_open(&f, in_folder(folder, "model.safetensors")));
        uint8_t *copy = malloc((size_t)f.bytes);
        memcpy(copy, f.data, (size_t)f.bytes);
        size_t bytes = (size_t)f.bytes;
        ar_file_close(&f);
        for (size_t n = 0; n < bytes; n += n < 400 ? 7 : 97) {
            put_file(in_folder(folder, "model.safetensors"), copy, n);
            ar_status status = ar_weights_open_packed(&w, folder);
            if (status != AR_ERR_FORMAT) fail_msg("%zu of %zu bytes: found %d", n, bytes, (int)status);
        }
        free(copy);
        temp_remove(folder);
    }
}

/* Every allocation that can fail comes back as a clean status (the sanitizers see leaks). */
static void failing_allocations_are_reported(void **state) {
    (void)state;
    static const char *const configs[] = {QC(AWQ4), QC(PACK4Z)};
    for (int c = 0; c < 2; c++) {
        char *folder = folder_of(configs[c], NULL, 0x33);
        ar_weights w;
        float row[64];
        for (int32_t n = 1; n < 200; n++) {
            ar__alloc_fail_at(n);
            ar_status status = ar_weights_open_packed(&w, folder);
            ar__alloc_fail_at(0);
            if (status == AR_OK) break;
            assert_int_equal(status, AR_ERR_MEMORY);
        }
        assert_non_null(w.impl);
        for (int32_t n = 1; n <= 3; n++) {
            ar__alloc_fail_at(n);
            ar_status status = w.vtable->read(w.impl, row, 0, 0, 1);
            ar__alloc_fail_at(0);
            assert_int_equal(status, AR_ERR_MEMORY);
        }
        ar_weights_close(&w);
        temp_remove(folder);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_scheme_survives_and_the_reference_agrees),
        cmocka_unit_test(words_are_the_described_ones),
        cmocka_unit_test(streams_may_end_anywhere),
        cmocka_unit_test(configs_are_those_of_their_libraries),
        cmocka_unit_test(others_files_are_read),
        cmocka_unit_test(narrow_compressed_files_are_read),
        cmocka_unit_test(reordered_inputs_are_read),
        cmocka_unit_test(bad_tensors_are_refused),
        cmocka_unit_test(unsupported_configs_are_named),
        cmocka_unit_test(truncated_files_are_refused),
        cmocka_unit_test(failing_allocations_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
