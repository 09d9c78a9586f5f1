/* The formats in the GPTQ layout (gptq, gptq_v2, auto_round) and their reader: round trips at every width, an
 * independent decoder, golden words, config.json, and files that must be refused. */
#include "write_source.h"
#include "packing.h"
#include "packed_folder.h"
#include "ref_packed.h"

static const source_shape small = {
    .hidden = 64, .kv = 16, .inter = 256, .dtype = "F32"}; /* k and v stay float: 16 outputs */

/* ---- round trips ---- */

static void compare_linear(const ref_file *f, const test_source *t, const ar_weights *w, int block, int i,
                           int plus_one, bool has_g_idx) {
    const ar_linear *lin = &t->blocks[block].linears[i];
    char prefix[AR_HF_NAME], name[AR_HF_NAME + 8];
    ref_gptq ref;
    ar_qlinear *q = NULL;
    ar__hf_linear_name(prefix, &t->blocks[block], i);
    snprintf(name, sizeof name, "%s.weight", prefix);
    bool holds =
        lin->O % 32 == 0 && lin->I % 32 == 0 &&
        (t->plan.scheme.group < 0 || lin->I < t->plan.scheme.group || lin->I % t->plan.scheme.group == 0);
    assert_int_equal(ref_gptq_find(&ref, f, prefix), holds);
    if (!holds) return;
    assert_int_equal(ref.has_g_idx, has_g_idx);
    float *want = malloc((size_t)(lin->O * lin->I) * 4), *got = malloc((size_t)(lin->O * lin->I) * 4);
    assert_ok(source_linear((void *)t, &q, block, i));
    ar_qlinear_dequant(want, q);
    int64_t index = ar_weights_find(w, name),
            half = lin->O / 2 + 1; /* in two reads, neither a whole number of tiles */
    assert_true(index >= 0);
    assert_ok(w->vtable->read(w->impl, got, index, 0, half));
    assert_ok(w->vtable->read(w->impl, got + half * lin->I, index, half, lin->O - half));
    assert_ok(w->vtable->read(w->impl, NULL, index, 0, 0));
    assert_error(w->vtable->read(w->impl, got, index, lin->O, 1), AR_ERR_ARG, "rows");
    for (long n = 0; n < lin->O; n++)
        for (long k = 0; k < lin->I; k++) {
            float reference = ref_gptq_value(&ref, n, k, t->plan.scheme.bits, t->plan.scheme.group, plus_one);
            if (reference != want[n * lin->I + k])
                fail_msg("%s (%ld, %ld): the reference reads %g, expected %g", name, n, k, (double)reference,
                         (double)want[n * lin->I + k]);
            assert_true(got[n * lin->I + k] == reference);
            if (has_g_idx)
                assert_int_equal(ref_word(ref.g_idx.data + 4 * k),
                                 t->plan.scheme.group < 0 ? 0 : k / t->plan.scheme.group);
        }
    free(want);
    free(got);
    ar_qlinear_free(q);
}

static void round_trip(const source_shape *shape, const char *format, int bits, int group, bool sym,
                       bool negative) {
    char *folder = temp_folder();
    test_source t;
    source_open(&t, in_folder(folder, "model"), shape,
                &(ar_output_request){.formats = format, .bits = bits, .group = group, .sym = sym});
    t.negative = negative;
    char out[4200];
    snprintf(out, sizeof out, "%s/out", folder);
    const ar_format *f = ar_format_find(format);
    assert_ok(f->write(out, &t.src));
    assert_ok(f->verify(out, &t.src));
    ref_file ref;
    ar_weights w;
    ar_qlinear q;
    assert_true(ref_open(&ref, in_folder(out, "model.safetensors")));
    assert_ok(ar_weights_open_packed(&w, out));
    bool v1 = strcmp(format, "gptq") == 0, v2 = strcmp(format, "gptq_v2") == 0;
    for (int b = 0; b < 2; b++)
        for (int i = 0; i < 7; i++) compare_linear(&ref, &t, &w, b, i, v1 || (sym && !v2), v1 || v2);
    int64_t index = ar_weights_find(&w, "model.layers.0.self_attn.q_proj.weight");
    assert_ok(w.vtable->read_codes(w.impl, &q, index));
    assert_int_equal(q.scheme.zero, sym ? AR_ZERO_SYM : AR_ZERO_INT);
    assert_int_equal(q.scheme.bits, bits);
    ar_qlinear_deinit(&q);
    ar_weights_close(&w);
    ref_close(&ref);
    source_close(&t);
    temp_remove(folder);
}

static void every_scheme_survives_and_the_reference_agrees(void **state) {
    (void)state;
    static const char *const formats[] = {"auto_round", "gptq", "gptq_v2"};
    static const int widths[] = {2, 3, 4, 8}, groups[] = {16, 32, 64, 128, -1},
                     odd_groups[] = {24, 48, 96, 192};
    static const source_shape odd = {.hidden = 96, .kv = 32, .inter = 192, .dtype = "F16"};
    for (int f = 0; f < 3; f++)
        for (int b = 0; b < 4; b++) {
            for (int g = 0; g < 5; g++) {
                round_trip(&small, formats[f], widths[b], groups[g], true, groups[g] == 32);
                round_trip(&small, formats[f], widths[b], groups[g], false, false);
            }
            for (int g = 0; g < 4; g++) {
                round_trip(&odd, formats[f], widths[b], odd_groups[g], true, g == 1);
                round_trip(&odd, formats[f], widths[b], odd_groups[g], false, false);
            }
        }
}

/* ---- golden words ---- */

static void three_bit_words_are_the_described_ones(void **state) {
    (void)state;
    uint8_t values[32], back[32];
    uint32_t words[3], spread[6] = {0};
    ar_streams row = ar__packing_zeros(&ar__packing_gptq, 32, 1, 3),
               columns = ar__packing_codes(&ar__packing_gptq, 2, 32, 3);
    for (int i = 0; i < 32; i++) values[i] = (uint8_t)(i % 8);
    ar__stream_put(words, &row, 0, values, 1);
    /* sum of (i % 8) << 3 i over 24 bits is 0xFAC688, repeated */
    assert_int_equal(words[0], 0x88FAC688u);
    assert_int_equal(words[1], 0xC688FAC6u);
    assert_int_equal(words[2], 0xFAC688FAu);
    ar__stream_block(back, &row, (const uint8_t *)words, 0, 0);
    assert_memory_equal(back, values, 32);
    for (int i = 0; i < 32; i++) values[i] = 3;
    ar__stream_put(spread, &columns, 0, values, 1);
    assert_int_equal(spread[0], 0xDB6DB6DBu);
    assert_int_equal(spread[2], 0xB6DB6DB6u);
    assert_int_equal(spread[4], 0x6DB6DB6Du);
    assert_int_equal(spread[1] | spread[3] | spread[5], 0);
}

static void symmetric_zeros_are_the_known_constants(void **state) {
    (void)state;
    static const struct {
        int bits;
        uint32_t words[3];
    } known[] = {{2, {0x55555555u, 0x55555555u, 0x55555555u}},
                 {3, {0xDB6DB6DBu, 0xB6DB6DB6u, 0x6DB6DB6Du}},
                 {4, {0x77777777u, 0x77777777u, 0x77777777u}},
                 {8, {0x7F7F7F7Fu, 0x7F7F7F7Fu, 0x7F7F7F7Fu}}};
    for (int k = 0; k < 8; k++) {
        const char *format = k % 2 ? "gptq" : "auto_round";
        char *folder = temp_folder();
        test_source t;
        ref_file ref;
        ref_gptq q;
        source_open(
            &t, in_folder(folder, "model"), &small,
            &(ar_output_request){.formats = format, .bits = known[k / 2].bits, .group = 32, .sym = 1});
        assert_ok(ar_format_find(format)->write(in_folder(folder, "out"), &t.src));
        assert_true(ref_open(&ref, in_folder(folder, "out/model.safetensors")));
        assert_true(ref_gptq_find(&q, &ref, "model.layers.1.mlp.down_proj"));
        for (long i = 0; i < q.qzeros.dims[0] * q.qzeros.dims[1]; i++)
            assert_int_equal(ref_word(q.qzeros.data + 4 * i), known[k / 2].words[i % q.qzeros.dims[1] % 3]);
        ref_close(&ref);
        source_close(&t);
        temp_remove(folder);
    }
}

/* ---- config.json and the other tensors ---- */

static void gptq_v2_says_so_and_keeps_a_zero_point_of_zero(void **state) {
    (void)state;
    char *folder = temp_folder();
    test_source t;
    source_open(&t, in_folder(folder, "model"), &small,
                &(ar_output_request){.formats = "gptq_v2", .bits = 4, .group = 32, .sym = 0});
    assert_int_equal(t.plan.scheme.zero_min, 0);
    assert_ok(ar_format_find("gptq_v2")->write(in_folder(folder, "out"), &t.src));
    assert_true(file_holds(folder, "out/config.json", "\"checkpoint_format\":\"gptq_v2\""));
    ar_weights w;
    ar_qlinear q;
    int zeros = 0;
    assert_ok(ar_weights_open_packed(&w, in_folder(folder, "out")));
    assert_ok(w.vtable->read_codes(w.impl, &q, ar_weights_find(&w, "model.layers.0.mlp.down_proj.weight")));
    for (int64_t i = 0; i < q.O * q.groups; i++) zeros += q.zeros[i] == 0;
    assert_true(zeros > 0);
    ar_qlinear_deinit(&q);
    ar_weights_close(&w);
    source_close(&t);
    temp_remove(folder);
}

static void gptq_config_lists_what_stays_float(void **state) {
    (void)state;
    char *folder = temp_folder();
    test_source t;
    source_open(&t, in_folder(folder, "model"), &small,
                &(ar_output_request){.formats = "gptq", .bits = 4, .group = 32, .sym = 0});
    assert_ok(ar_format_find("gptq")->write(in_folder(folder, "out"), &t.src));
    assert_true(file_holds(
        folder, "out/config.json",
        "\"torch_dtype\":\"float16\",\"quantization_config\":{\"bits\":4,\"group_size\":32,\"sym\":false"));
    assert_true(file_holds(folder, "out/config.json", "\"quant_method\":\"gptq\""));
    assert_true(file_holds(folder, "out/config.json", "\"provider\":\"anyround\""));
    assert_true(
        file_holds(folder, "out/config.json", "\"-:^model\\\\.layers\\\\.1\\\\.self_attn\\\\.k_proj$\":{}"));
    assert_false(file_holds(folder, "out/config.json", "q_proj"));
    assert_true(file_holds(folder, "out/quantization_config.json", "\"quant_method\":\"gptq\""));
    source_close(&t);
    temp_remove(folder);
}

static void auto_round_config_records_the_tuning(void **state) {
    (void)state;
    source_shape shape = small;
    shape.config = "{\"model_type\":\"llama\",\"dtype\":\"bfloat16\",\"quantization_config\":{\"quant_"
                   "method\":\"old\"}}";
    char *folder = temp_folder();
    test_source t;
    source_open(&t, in_folder(folder, "model"), &shape,
                &(ar_output_request){.formats = "auto_round", .bits = 4, .group = 32, .sym = 1});
    ar_method_options options;
    ar_method_options_init(&options, ar_method_find("signround"));
    assert_ok(ar_method_options_set(&options, "lr", "0.005"));
    assert_ok(ar_method_options_set(&options, "seqlen", "512"));
    t.src.options = &options;
    assert_ok(ar_format_find("auto_round")->write(in_folder(folder, "out"), &t.src));
    assert_true(file_holds(folder, "out/config.json", "\"dtype\":\"float16\""));
    assert_false(file_holds(folder, "out/config.json", "torch_dtype"));
    assert_false(file_holds(folder, "out/config.json", "old"));
    static const char *const parts[] = {
        "\"quant_method\":\"auto-round\"",
        "\"packing_format\":\"auto_round:auto_gptq\"",
        "\"data_type\":\"int\"",
        "\"block_name_to_quantize\":\"model.layers\"",
        "\"model.layers.0.self_attn.k_proj\":{\"bits\":16,\"data_type\":\"float\"}",
        "\"iters\":200",
        "\"lr\":0.005,",
        "\"minmax_lr\":0.005,",
        "\"nsamples\":128",
        "\"seqlen\":512",
        "\"batch_size\":8"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!file_holds(folder, "out/quantization_config.json", parts[i]))
            fail_msg("quantization_config.json lacks %s", parts[i]);
    ar_method_options_init(&options, ar_method_find("rtn"));
    assert_ok(ar_format_find("auto_round")->write(in_folder(folder, "out"), &t.src));
    assert_false(file_holds(folder, "out/quantization_config.json", "iters"));
    source_close(&t);
    temp_remove(folder);
}

static void other_tensors_become_f16(void **state) {
    (void)state;
    static const char *const dtypes[] = {"F32", "BF16", "F16"};
    for (int d = 0; d < 3; d++) {
        source_shape shape = small;
        shape.biased = true;
        shape.dtype = dtypes[d];
        char *folder = temp_folder();
        test_source t;
        ar_weights w;
        source_open(&t, in_folder(folder, "model"), &shape,
                    &(ar_output_request){.formats = "gptq", .bits = 4, .group = 32, .sym = 1});
        assert_ok(ar_format_find("gptq")->write(in_folder(folder, "out"), &t.src));
        assert_ok(ar_weights_open_packed(&w, in_folder(folder, "out")));
        int64_t count = w.vtable->count(w.impl);
        assert_int_equal(count, t.model.weights.vtable->count(t.model.weights.impl));
        for (int64_t i = 0; i < count; i++) {
            const ar_weight *got = w.vtable->at(w.impl, i);
            int64_t from = ar_weights_find(&t.model.weights, got->name);
            assert_true(from >= 0);
            assert_int_equal(got->dims[0], t.model.weights.vtable->at(t.model.weights.impl, from)->dims[0]);
            if (strncmp(got->type, "gptq", 4) == 0) {
                assert_string_equal(got->type, "gptq4g32");
                continue;
            }
            assert_string_equal(got->type, "F16");
            float a[256], b[256];
            assert_ok(w.vtable->read(w.impl, a, i, 0, 1));
            assert_ok(t.model.weights.vtable->read(t.model.weights.impl, b, from, 0, 1));
            int64_t width = got->dims[got->dim_count - 1];
            assert_memory_equal(a, b, (size_t)width * 4);
        }
        assert_null(w.vtable->at(w.impl, count));
        ar_weights_close(&w);
        source_close(&t);
        temp_remove(folder);
    }
}

/* ---- files of others, and bad ones ---- */

/* One packed linear p (O 32, I 64, 4 bits, group 32), changed as told. */
static char *gptq_folder(const char *config, const bad_tensor *change, uint8_t fill) {
    static const bad_tensor list[] = {{"p.qweight", "I32", 2, {8, 32}},
                                      {"p.qzeros", "I32", 2, {2, 4}},
                                      {"p.scales", "F16", 2, {2, 32}},
                                      {"p.bias", "F16", 1, {32, 0}}};
    return packed_folder(config, list, 4, change, fill);
}

#define GPTQ4  "\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":32"
#define ROUND4 "\"quant_method\":\"auto-round\",\"bits\":4,\"group_size\":32"

static void zero_points_follow_the_config(void **state) {
    (void)state;
    static const struct {
        const char *config;
        float zero;
    } cases[] = {{QC(GPTQ4), 8},
                 {QC(GPTQ4 ",\"checkpoint_format\":\"gptq\",\"desc_act\":false"), 8},
                 {QC(GPTQ4 ",\"checkpoint_format\":\"gptq_v2\""), 7},
                 {QC(GPTQ4 ",\"format\":\"gptq_v2\""), 7},
                 {QC(ROUND4), 8},
                 {QC(ROUND4 ",\"packing_format\":\"auto_round:auto_gptq\""), 8},
                 {QC(ROUND4 ",\"packing_format\":\"auto_round\""), 7},
                 {QC(ROUND4 ",\"packing_format\":\"auto_round:gptqmodel\""), 7},
                 {QC("\"quant_method\":\"auto-round\",\"bits\":8,\"group_size\":32,\"extra_config\":{\"p\":{"
                     "\"bits\":4}}"),
                  8},
                 {QC("\"quant_method\":\"gptq\",\"bits\":8,\"group_size\":64,\"dynamic\":{\"-:q\":{},\"+:p.*"
                     "\":{\"bits\":4,\"group_size\":32}}"),
                  8}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *folder = gptq_folder(cases[i].config, NULL, 0x77);
        ar_weights w;
        float row[64], s = ar_f16_to_f32(0x7777);
        assert_ok(ar_weights_open_packed(&w, folder));
        assert_int_equal(w.vtable->count(w.impl), 2);
        assert_string_equal(w.vtable->at(w.impl, ar_weights_find(&w, "p.weight"))->type,
                            i < 4 || i == 9 ? "gptq4g32" : "auto_round4g32");
        assert_ok(w.vtable->read(w.impl, row, ar_weights_find(&w, "p.weight"), 31, 1));
        for (int k = 0; k < 64; k++) assert_true(row[k] == s * (7.0f - cases[i].zero));
        ar_weights_close(&w);
        temp_remove(folder);
    }
}

/* Classic loaders read a stored 2^bits - 1 as the zero point 2^bits, and so do we; as codes it has no form.
 */
static void a_stored_minus_one_is_not_masked(void **state) {
    (void)state;
    char *folder = gptq_folder(QC(GPTQ4), NULL, 0xff);
    ar_weights w;
    ar_qlinear q;
    assert_ok(ar_weights_open_packed(&w, folder));
    int64_t index = ar_weights_find(&w, "p.weight");
    assert_error(w.vtable->read_codes(w.impl, &q, index), AR_ERR_UNSUPPORTED, "zero point 16");
    assert_error(w.vtable->read_codes(w.impl, &q, 1 - index), AR_ERR_UNSUPPORTED, "float");
    ar_weights_close(&w);
    temp_remove(folder);
}

static const struct {
    const char *config;
    bad_tensor change;
    const char *text;
} bad_files[] = {
    {QC(GPTQ4), {"p.qzeros", NULL, 0, {0, 0}}, "p.qzeros: found nothing, expected I32 (2, 4)"},
    {QC(GPTQ4), {"p.scales", NULL, 0, {0, 0}}, "p.scales: found nothing, expected F16 (2, 32)"},
    {QC(GPTQ4), {"p.qweight", NULL, 0, {0, 0}}, "found no p.qweight"},
    {QC(GPTQ4), {"p.qweight", "I32", 2, {9, 32}}, "found I32 (9, 32)"},
    {QC(GPTQ4), {"p.qweight", "I32", 2, {8, 31}}, "found I32 (8, 31)"},
    {QC(GPTQ4), {"p.qweight", "F32", 2, {8, 32}}, "found F32 (8, 32), expected I32 (8, 32)"},
    {QC(GPTQ4), {"p.qweight", "I32", 1, {256, 0}}, "found I32 (256)"},
    {QC(GPTQ4), {"p.qzeros", "I32", 2, {4, 2}}, "found I32 (4, 2), expected I32 (2, 4)"},
    {QC(GPTQ4), {"p.scales", "I32", 2, {2, 32}}, "found I32 (2, 32), expected F16 (2, 32)"},
    {QC(GPTQ4), {"p.scales", "BF16", 2, {32, 2}}, "found BF16 (32, 2), expected BF16 (2, 32)"},
    {QC(GPTQ4), {"p.scales", "F16", 2, {32, 2}}, "found F16 (32, 2), expected F16 (2, 32)"},
    {QC(GPTQ4), {"p.weight", "F16", 2, {32, 64}}, "float tensor beside"},
    {QC(GPTQ4), {"p.g_idx", "I32", 1, {64, 0}}, "found group 2004318071 at 0, expected 0 to 1"},
    {QC(GPTQ4), {"p.g_idx", "I32", 1, {63, 0}}, "found I32 (63), expected I32 (64)"},
    {QC(GPTQ4 ",\"desc_act\":true"), {"p.bias", "F16", 1, {32, 0}}, "no g_idx"},
    {QC("\"quant_method\":\"gptq\",\"bits\":8,\"group_size\":32"),
     {"p.bias", "F16", 1, {32, 0}},
     "found I32 (2, 4), expected I32 (1, 8)"},
    {QC("\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":64"),
     {"p.bias", "F16", 1, {32, 0}},
     "found I32 (2, 4), expected I32 (1, 4)"},
    {QC(ROUND4 ",\"extra_config\":{\"p\":{\"bits\":16}}"),
     {"p.bias", "F16", 1, {32, 0}},
     "found packed, expected float"},
    {QC(ROUND4 ",\"extra_config\":[]"), {"p.bias", "F16", 1, {32, 0}}, "extra_config"},
    {QC(ROUND4 ",\"extra_config\":{\"p\":4}"), {"p.bias", "F16", 1, {32, 0}}, "extra_config: p"},
    {QC("\"quant_method\":\"gptq\",\"bits\":5"),
     {"p.bias", "F16", 1, {32, 0}},
     "bits: found 5, expected 2, 3, 4 or 8"},
    {QC("\"quant_method\":\"gptq\""), {"p.bias", "F16", 1, {32, 0}}, "bits: found nothing"},
    {QC("\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":0"),
     {"p.bias", "F16", 1, {32, 0}},
     "group_size: found 0"},
    {QC("\"quant_method\":\"marlin\",\"bits\":4"),
     {"p.bias", "F16", 1, {32, 0}},
     "found \"marlin\", expected one of auto-round, gptq, awq, compressed-tensors"},
    {QC("\"bits\":4"), {"p.bias", "F16", 1, {32, 0}}, "quant_method: found \"\""},
    {QC(GPTQ4 ",\"checkpoint_format\":\"marlin\""), {"p.bias", "F16", 1, {32, 0}}, "found \"marlin\""},
    {QC(GPTQ4 ",\"is_marlin_format\":true"), {"p.bias", "F16", 1, {32, 0}}, "is_marlin_format: found true"},
    {QC(ROUND4 ",\"packing_format\":\"auto_round:fp8\""),
     {"p.bias", "F16", 1, {32, 0}},
     "found \"auto_round:fp8\""},
    {QC(ROUND4 ",\"data_type\":\"mx_fp\""), {"p.bias", "F16", 1, {32, 0}}, "data_type: found \"mx_fp\""},
    {QC(ROUND4 ",\"act_bits\":8"), {"p.bias", "F16", 1, {32, 0}}, "act_bits: found 8"},
    {"{\"quantization_config\":3}", {"p.bias", "F16", 1, {32, 0}}, "expected an object"}};

static void bad_files_are_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad_files / sizeof *bad_files; i++) {
        char *folder = gptq_folder(bad_files[i].config, &bad_files[i].change, 0x77);
        ar_weights w;
        assert_error(ar_weights_open_packed(&w, folder), AR_ERR_FORMAT, bad_files[i].text);
        assert_null(w.impl);
        temp_remove(folder);
    }
}

/* desc_act: every input names its group. */
static void reordered_inputs_are_read(void **state) {
    (void)state;
    static const bad_tensor with_g_idx = {"p.g_idx", "I32", 1, {64, 0}};
    char *folder = gptq_folder(QC(GPTQ4 ",\"desc_act\":true"), &with_g_idx, 0);
    ar_weights w;
    ar_qlinear q;
    float row[64];
    int32_t groups[64];
    uint16_t scales[64];
    for (int i = 0; i < 64; i++) groups[i] = (i * 7 + 1) % 3 == 0;
    for (int i = 0; i < 64; i++) scales[i] = ar_f32_to_f16(i < 32 ? 0.25f : -2.0f);
    patch_tensor(folder, "p.g_idx", groups, sizeof groups);
    patch_tensor(folder, "p.scales", scales, sizeof scales);
    assert_ok(ar_weights_open_packed(&w, folder));
    int64_t index = ar_weights_find(&w, "p.weight");
    assert_ok(w.vtable->read(w.impl, row, index, 5, 1));
    for (int i = 0; i < 64; i++) assert_true(row[i] == (groups[i] ? -2.0f : 0.25f) * -1.0f);
    assert_error(w.vtable->read_codes(w.impl, &q, index), AR_ERR_UNSUPPORTED, "reordered");
    ar_weights_close(&w);
    temp_remove(folder);
}

/* Scales of other programs: BF16 and F32 are read as they are; codes with them only where F16 holds them. */
static void scales_of_other_types_are_read(void **state) {
    (void)state;
    static const bad_tensor wide = {"p.scales", "F32", 2, {2, 32}}, brain = {"p.scales", "BF16", 2, {2, 32}};
    for (int k = 0; k < 3; k++) {
        char *folder = gptq_folder(QC(GPTQ4), k ? &wide : &brain, 0);
        float values[64], row[64];
        uint16_t halves[64];
        for (int i = 0; i < 64; i++) values[i] = k == 2 ? 0.1f : -0.375f;
        for (int i = 0; i < 64; i++) halves[i] = ar_f32_to_bf16(values[i]);
        patch_tensor(folder, "p.scales", k ? (void *)values : halves, k ? sizeof values : sizeof halves);
        ar_weights w;
        ar_qlinear q;
        assert_ok(ar_weights_open_packed(&w, folder));
        int64_t index = ar_weights_find(&w, "p.weight");
        assert_ok(w.vtable->read(w.impl, row, index, 3, 1));
        for (int i = 0; i < 64; i++) assert_true(row[i] == values[0] * -1.0f);
        if (k == 2) {
            assert_error(w.vtable->read_codes(w.impl, &q, index), AR_ERR_UNSUPPORTED, "F16");
        } else {
            assert_ok(w.vtable->read_codes(w.impl, &q, index));
            assert_int_equal(q.scales[0], ar_f32_to_f16(-0.375f));
            ar_qlinear_deinit(&q);
        }
        ar_weights_close(&w);
        temp_remove(folder);
    }
}

static void truncated_files_are_refused(void **state) {
    (void)state;
    char *folder = gptq_folder(QC(GPTQ4), NULL, 0x77);
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
    assert_ok(ar_dir_remove(in_folder(folder, "config.json")));
    assert_error(ar_weights_open_packed(&w, folder), AR_ERR_FORMAT, "config.json");
    temp_remove(folder);
}

/* Every allocation that can fail comes back as a clean status (the sanitizers see leaks). */
static void failing_allocations_are_reported(void **state) {
    (void)state;
    char *folder = temp_folder();
    char out[4200];
    test_source t;
    snprintf(out, sizeof out, "%s/out", folder);
    source_open(&t, in_folder(folder, "model"), &small,
                &(ar_output_request){.formats = "gptq", .bits = 3, .group = 64, .sym = 1});
    assert_ok(ar_format_find("gptq")->write(out, &t.src));
    ar_weights w;
    for (int32_t n = 1; n < 200; n++) {
        ar__alloc_fail_at(n);
        ar_status status = ar_weights_open_packed(&w, out);
        ar__alloc_fail_at(0);
        if (status == AR_OK) break;
        assert_int_equal(status, AR_ERR_MEMORY);
    }
    assert_non_null(w.impl);
    ar_weights_close(&w);
    source_close(&t);
    temp_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_scheme_survives_and_the_reference_agrees),
        cmocka_unit_test(three_bit_words_are_the_described_ones),
        cmocka_unit_test(symmetric_zeros_are_the_known_constants),
        cmocka_unit_test(gptq_v2_says_so_and_keeps_a_zero_point_of_zero),
        cmocka_unit_test(gptq_config_lists_what_stays_float),
        cmocka_unit_test(auto_round_config_records_the_tuning),
        cmocka_unit_test(other_tensors_become_f16),
        cmocka_unit_test(zero_points_follow_the_config),
        cmocka_unit_test(a_stored_minus_one_is_not_masked),
        cmocka_unit_test(bad_files_are_refused),
        cmocka_unit_test(reordered_inputs_are_read),
        cmocka_unit_test(scales_of_other_types_are_read),
        cmocka_unit_test(truncated_files_are_refused),
        cmocka_unit_test(failing_allocations_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
