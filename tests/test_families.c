/* Every model family against transformers: golden/families/<name> holds a tiny random model as its
 * save_pretrained wrote it, token ids, and the logits it computes (tests/golden/make_families.py). The same
 * logits must come out block by block and token by token, and every family can be quantized and read back.
 * ctest-labels: device vulkan */
#include "op_check.h"
#include "temp_files.h"
#include "ar_error.h"

#define T 24
#define V 64
static const char *const names[] = {"llama", "mistral", "qwen2", "qwen3", "phi3", "gpt2", "opt"};
enum { FAMILIES = sizeof names / sizeof *names };

static const char *golden_folder(const char *name) {
    static char path[256];
    snprintf(path, sizeof path, "tests/golden/families/%s", name);
    return path;
}

typedef struct golden {
    int32_t ids[T];
    float logits[T * V];
} golden;

static void golden_read(golden *g, const char *name) {
    ar_safetensors *st;
    assert_ok(ar_safetensors_open(&st, in_folder(golden_folder(name), "golden.safetensors")));
    const ar_st_tensor *ids = ar_safetensors_find(st, "ids"), *logits = ar_safetensors_find(st, "logits");
    assert_non_null(ids);
    assert_non_null(logits);
    assert_int_equal(ids->bytes, sizeof g->ids);
    assert_int_equal(logits->bytes, sizeof g->logits);
    memcpy(g->ids, ids->data, sizeof g->ids);
    memcpy(g->logits, logits->data, sizeof g->logits);
    ar_safetensors_close(st);
}

/* The difference's norm over the norm, row by row. */
static void compare(const ar_device *device, const char *name, const char *how, const float *got,
                    const float *want, int rows, double bound) {
    for (int r = 0; r < rows; r++) {
        double off = 0, sum = 0;
        for (int i = r * V; i < (r + 1) * V; i++) {
            off += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
            sum += (double)want[i] * want[i];
        }
        if (!(off <= bound * bound * sum))
            fail_msg("%s %s on %s: row %d is off by %.3g of its norm", name, how, check_name(device), r,
                     sqrt(off / sum));
    }
}

/* ---- logits ---- */

static void logits_case(ar_device *device, void *ctx) {
    (void)ctx;
    float *got = malloc(sizeof(float) * T * V);
    golden g;
    for (int f = 0; f < FAMILIES; f++) {
        ar_open_model *m;
        ar_session *s;
        golden_read(&g, names[f]);
        assert_ok(ar_model_open(&m, golden_folder(names[f])));
        assert_string_equal(m->config.family, names[f]);
        assert_ok(ar_model_logits(got, m, device, g.ids, T, T));
        compare(device, names[f], "block by block", got, g.logits, T, 1e-5);
        assert_ok(ar_session_create(&s, m, device, T));
        for (int t = 0; t < T; t++) assert_ok(ar_session_logits(s, got + t * V, g.ids, t + 1));
        compare(device, names[f], "token by token", got, g.logits, T, 1e-3); /* fp16 caches */
        ar_session_destroy(s);
        assert_ok(ar_session_create(&s, m, device, T));
        assert_ok(ar_session_logits(s, got, g.ids, T));
        compare(device, names[f], "as a prompt", got, g.logits + (T - 1) * V, 1, 1e-3);
        ar_session_destroy(s);
        assert_ok(
            ar_session_create(&s, m, device, T)); /* in chunks, some of which begin beyond the first window */
        for (int t = 5; t < T; t += 9) assert_ok(ar_session_logits(s, NULL, g.ids, t));
        assert_ok(ar_session_logits(s, got, g.ids, T));
        compare(device, names[f], "in chunks", got, g.logits + (T - 1) * V, 1, 1e-3);
        ar_session_destroy(s);
        ar_model_close(m);
    }
    free(got);
}

/* Phi-3's longrope, whose sequences of more than 16 tokens turn by other frequencies, on both sides and
 * across: what was cached of a short sequence is computed anew when it becomes long. */
static void longrope_case(ar_device *device, void *ctx) {
    enum { SHORT = 16 };
    ar_safetensors *st;
    ar_open_model *m;
    ar_session *s;
    golden g;
    float *got = malloc(sizeof(float) * T * V);
    const float *short_logits;
    golden_read(&g, "phi3_longrope");
    assert_ok(ar_safetensors_open(&st, in_folder(golden_folder("phi3_longrope"), "golden.safetensors")));
    assert_int_equal(ar_safetensors_find(st, "short_logits")->bytes, SHORT * V * sizeof(float));
    short_logits = (const float *)(const void *)ar_safetensors_find(st, "short_logits")->data;
    assert_ok(ar_model_open(&m, ctx ? ctx : golden_folder("phi3_longrope")));
    assert_true(fabs((double)m->config.rope_scaling.attention - sqrt(1 + log(2.5) / log(16))) < 1e-6);
    assert_ok(ar_model_logits(got, m, device, g.ids, T, T));
    compare(device, "longrope", "of a long sequence", got, g.logits, T, 1e-5);
    assert_ok(ar_model_logits(got, m, device, g.ids, SHORT, SHORT));
    compare(device, "longrope", "of a short sequence", got, short_logits, SHORT, 1e-5);
    assert_ok(ar_session_create(&s, m, device, T));
    for (int t = 0; t < T; t++) {
        assert_ok(ar_session_logits(s, got, g.ids, t + 1));
        compare(device, "longrope", "token by token", got, (t < SHORT ? short_logits : g.logits) + t * V, 1,
                1e-3);
        assert_int_equal(ar_session_computed(s), t == SHORT ? SHORT + 1 : 1);
    }
    assert_ok(ar_session_logits(s, got, g.ids, SHORT)); /* and back */
    compare(device, "longrope", "shortened", got, short_logits + (SHORT - 1) * V, 1, 1e-3);
    ar_session_destroy(s);
    ar_model_close(m);
    ar_safetensors_close(st);
    free(got);
}

static void longrope_turns_long_sequences_otherwise(void **state) {
    (void)state;
    ar_open_model *m;
    char *folder = temp_folder(), *gguf, *back;
    ar_output_plan plan = {.scheme = {.bits = 16, .group = -1},
                           .embedding = AR_QT_COUNT,
                           .head = AR_QT_COUNT,
                           .type = "f32",
                           .format_count = 1};
    ar_write_source src = {.plan = &plan};
    check_each_device(longrope_case, NULL);
    assert_ok(ar_path_join(&gguf, folder, "m.gguf"));
    assert_ok(ar_path_join(&back, folder, "back"));
    assert_ok(ar_model_open(&m, golden_folder("phi3_longrope")));
    src.model = m;
    assert_ok(ar_format_find("gguf")->write(gguf, &src));
    assert_ok(ar_format_find("gguf")->verify(gguf, &src));
    ar_model_close(m);
    check_each_device(longrope_case, gguf);
    assert_ok(ar_model_open(&m, gguf));
    src.model = m;
    assert_ok(ar_format_find("hf")->write(back, &src));
    ar_model_close(m);
    check_each_device(longrope_case, back);
    free(gguf);
    free(back);
    temp_remove(folder);
}

static void logits_are_those_of_transformers(void **state) {
    (void)state, check_each_device(logits_case, NULL);
}

/* ---- quantize, write, read ---- */

/* Codes of every linear that the plan holds: nearest, on the host. */
static ar_status rtn_linear(void *ctx, ar_qlinear **q, int32_t block, int32_t i) {
    const ar_write_source *src = ctx;
    const ar_block *b = &src->model->model.blocks[block];
    const ar_linear *lin = &b->linears[i];
    *q = NULL;
    if (!ar_output_plan_holds(src->plan, lin->O, lin->I)) return AR_OK;
    float *W = malloc((size_t)(lin->O * lin->I) * sizeof *W);
    ar_qlinear *made = calloc(1, sizeof *made);
    assert_ok(b->read_linear(b, W, i, 0, lin->O));
    assert_ok(ar_qlinear_init(made, &src->plan->scheme, lin->O, lin->I));
    assert_ok(ar_qlinear_rtn(made, W));
    free(W);
    *q = made;
    return AR_OK;
}

/* Generation multiplies with weights as they are stored; its logits are those of the unpacked ones. */
static void check_session(ar_device *device, const char *what, const ar_open_model *m, const golden *g,
                          const float *logits) {
    ar_session *s;
    float last[V];
    assert_ok(ar_session_create(&s, m, device, T));
    assert_ok(ar_session_logits(s, last, g->ids, T));
    compare(device, what, "as stored", last, logits + (T - 1) * V, 1, 1e-3);
    ar_session_destroy(s);
}

/* Logits of a family's model after a trip through a format, whose plan is made for `formats`. */
static void through_format(float *logits, ar_device *device, const char *name, const char *folder,
                           const char *formats, const char *format, int32_t bits) {
    ar_open_model *m, *back;
    ar_output_plan plan;
    golden g;
    golden_read(&g, name);
    ar_output_request request = {.formats = formats, .bits = bits, .group = 32, .sym = 1};
    assert_ok(ar_output_plan_make(&plan, &request));
    assert_ok(ar_model_open(&m, golden_folder(name)));
    ar_write_source src = {.model = m, .plan = &plan, .linear = rtn_linear, .ctx = &src};
    char *out;
    assert_ok(ar_path_join(&out, folder, format));
    assert_ok(ar_format_find(format)->write(out, &src));
    assert_ok(ar_format_find(format)->verify(out, &src));
    assert_ok(ar_model_open(&back, out));
    assert_ok(ar_model_logits(logits, back, device, g.ids, T, T));
    check_session(device, name, back, &g, logits);
    ar_model_close(back);
    ar_model_close(m);
    free(out);
}

/* 8 bits are near the float model, 4 farther; the packed formats hold the very values of the plain one. */
static void formats_case(ar_device *device, void *ctx) {
    (void)ctx;
    char *folder = temp_folder();
    float *plain = malloc(sizeof(float) * T * V), *packed = malloc(sizeof(float) * T * V);
    golden g;
    for (int f = 0; f < FAMILIES; f++) {
        golden_read(&g, names[f]);
        through_format(plain, device, names[f], folder, "fake,gptq,auto_round", "fake", 4);
        for (int p = 0; p < 2; p++) {
            through_format(packed, device, names[f], folder, "fake,gptq,auto_round",
                           p ? "gptq" : "auto_round", 4);
            assert_memory_equal(plain, packed, sizeof(float) * T * V);
        }
        through_format(plain, device, names[f], folder, "fake", "fake", 8);
        compare(device, names[f], "in 8 bits", plain, g.logits, T, 0.05);
    }
    temp_remove(folder);
    free(plain);
    free(packed);
}

static void every_family_is_quantized_and_read_back(void **state) {
    (void)state, check_each_device(formats_case, NULL);
}

/* Logits after a trip through a GGUF file of this type. */
static void through_gguf(float *logits, ar_device *device, const ar_open_model *m, const char *folder,
                         const char *type, const golden *g) {
    ar_output_plan plan;
    ar_open_model *back;
    const char *path = in_folder(folder, "model.gguf");
    assert_ok(ar_output_plan_make(&plan, &(ar_output_request){.formats = "gguf", .type = type, .sym = -1}));
    ar_write_source src = {.model = m, .plan = &plan, .linear = rtn_linear, .ctx = &src};
    assert_ok(ar_format_find("gguf")->accepts(m, &plan));
    assert_ok(ar_format_find("gguf")->write(path, &src));
    assert_ok(ar_format_find("gguf")->verify(path, &src));
    assert_ok(ar_model_open(&back, path));
    assert_int_equal(back->model.max_tokens, m->model.max_tokens);
    assert_string_equal(back->config.family, m->config.family);
    for (int32_t l = 0; l < m->config.layers; l++)
        assert_int_equal(ar_config_window(&back->config, l), ar_config_window(&m->config, l));
    assert_ok(ar_model_logits(logits, back, device, g->ids, T, T));
    check_session(device, m->config.family, back, g, logits);
    ar_model_close(back);
}

/* From a folder to GGUF in f32 and back to a folder: every logit keeps its bits. */
static void there_and_back(float *logits, ar_device *device, const ar_open_model *m, const char *folder,
                           const golden *g) {
    ar_open_model *gguf, *back;
    ar_output_plan plan = {.scheme = {.bits = 16, .group = -1},
                           .embedding = AR_QT_COUNT,
                           .head = AR_QT_COUNT,
                           .type = "f32",
                           .format_count = 1};
    float *want = malloc(sizeof(float) * T * V);
    ar_write_source src = {.model = m, .plan = &plan, .linear = rtn_linear, .ctx = &src};
    assert_ok(ar_format_find("gguf")->write(in_folder(folder, "float.gguf"), &src));
    assert_ok(ar_model_open(&gguf, in_folder(folder, "float.gguf")));
    src.model = gguf;
    assert_ok(ar_format_find("hf")->write(in_folder(folder, "back"), &src));
    assert_ok(ar_format_find("hf")->verify(in_folder(folder, "back"), &src));
    assert_ok(ar_model_open(&back, in_folder(folder, "back")));
    assert_string_equal(back->config.family, m->config.family);
    assert_ok(ar_model_logits(want, m, device, g->ids, T, T));
    assert_ok(ar_model_logits(logits, back, device, g->ids, T, T));
    if (memcmp(want, logits, sizeof(float) * T * V) != 0)
        fail_msg("%s: other logits from the way back", m->config.family);
    ar_model_close(back);
    ar_model_close(gguf);
    free(want);
}

static void gguf_case(ar_device *device, void *ctx) {
    (void)ctx;
    char *folder = temp_folder();
    float *got = malloc(sizeof(float) * T * V);
    golden g;
    for (int f = 0; f < FAMILIES; f++) {
        ar_open_model *m;
        golden_read(&g, names[f]);
        assert_ok(ar_model_open(&m, golden_folder(names[f])));
        if (strcmp(names[f], "opt") == 0) {
            assert_error(ar_format_find("gguf")->accepts(m, &(ar_output_plan){0}), AR_ERR_UNSUPPORTED,
                         "found model family \"opt\"");
        } else {
            through_gguf(got, device, m, folder, "f32", &g);
            compare(device, names[f], "through GGUF", got, g.logits, T, 1e-5);
            through_gguf(got, device, m, folder, "q8_0", &g);
            compare(device, names[f], "through Q8_0", got, g.logits, T, 0.05);
            there_and_back(got, device, m, folder, &g);
        }
        ar_model_close(m);
    }
    temp_remove(folder);
    free(got);
}

static void gguf_holds_every_family_but_opt(void **state) { (void)state, check_each_device(gguf_case, NULL); }

static void formats_without_conv1d_refuse_gpt2(void **state) {
    (void)state;
    ar_open_model *m;
    assert_ok(ar_model_open(&m, golden_folder("gpt2")));
    const char *refused[] = {"awq", "auto_round_awq", "compressed_tensors"};
    for (int i = 0; i < 3; i++)
        assert_error(ar_format_find(refused[i])->accepts(m, &(ar_output_plan){0}), AR_ERR_UNSUPPORTED,
                     "Conv1D");
    ar_model_close(m);
}

/* ---- names and layouts ---- */

/* A golden folder whose tensors may be renamed, left out or added to, and whose config.json gets `config`
 * last. */
typedef struct change {
    const char *cut;     /* prefix taken off every name that has it */
    const char *missing; /* a name, before it is cut */
    const char *extra;   /* a name */
    const char *config;
} change;

static void write_changed(const char *folder, const char *name, const change *c) {
    ar_safetensors *st;
    ar_st_writer *w;
    char *text, *json;
    size_t bytes;
    assert_ok(ar_file_read_text(&text, &bytes, in_folder(golden_folder(name), "config.json"), 1 << 16));
    json = malloc(bytes + 256);
    *strrchr(text, '}') = '\0';
    snprintf(json, bytes + 256, "%s%s%s}", text, c->config ? "," : "", c->config ? c->config : "");
    put_text(in_folder(folder, "config.json"), json);
    free(text);
    free(json);
    assert_ok(ar_safetensors_open(&st, in_folder(golden_folder(name), "model.safetensors")));
    assert_ok(ar_st_writer_create(&w));
    size_t cut = c->cut ? strlen(c->cut) : 0;
    for (int pass = 0; pass < 2; pass++) {
        if (pass) assert_ok(ar_st_writer_begin(w, in_folder(folder, "model.safetensors")));
        for (int64_t i = 0; i < ar_safetensors_count(st); i++) {
            const ar_st_tensor *t = ar_safetensors_at(st, i);
            const char *as = cut && strncmp(t->name, c->cut, cut) == 0 ? t->name + cut : t->name;
            if (c->missing && strcmp(t->name, c->missing) == 0) continue;
            if (pass)
                assert_ok(ar_st_writer_data(w, t->data, (size_t)t->bytes));
            else
                assert_ok(ar_st_writer_declare(w, as, t->dtype, t->dim_count, t->dims));
        }
        if (c->extra && !pass) assert_ok(ar_st_writer_declare(w, c->extra, "F32", 1, (int64_t[]){1}));
        if (c->extra && pass) assert_ok(ar_st_writer_data(w, &(float){1}, 4));
    }
    assert_ok(ar_st_writer_finish(&w));
    ar_safetensors_close(st);
}

static ar_status open_changed(ar_open_model **m, const char *name, const change *c) {
    char *folder = temp_folder();
    write_changed(folder, name, c);
    ar_status status = ar_model_open(m, folder);
    temp_remove(folder);
    return status;
}

/* Checkpoints of the bare model leave "transformer." or "model." out; masks and frequencies are passed over.
 */
static void other_prefixes_bind(void **state) {
    (void)state;
    const struct {
        const char *family;
        change c;
        const char *name;
    } rows[] = {{"gpt2", {.cut = "transformer.", .extra = "h.1.attn.bias"}, "h.1"},
                {"gpt2", {.extra = "transformer.h.0.attn.masked_bias"}, "transformer.h.1"},
                {"opt", {.cut = "model."}, "decoder.layers.1"},
                {"llama", {.extra = "model.layers.0.self_attn.rotary_emb.inv_freq"}, "model.layers.1"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ar_open_model *m;
        assert_ok(open_changed(&m, rows[i].family, &rows[i].c));
        assert_string_equal(m->model.blocks[1].name, rows[i].name);
        ar_model_close(m);
    }
}

static void wrong_tensors_and_keys_are_named(void **state) {
    (void)state;
    const struct {
        const char *family;
        change c;
        const char *part;
    } rows[] = {
        {"qwen2",
         {.missing = "model.layers.1.self_attn.k_proj.bias"},
         "model.layers.1.self_attn.k_proj.bias: missing"},
        {"qwen2",
         {.extra = "model.layers.1.self_attn.o_proj.bias"},
         "self_attn.o_proj.bias: found, expected none"},
        {"qwen3",
         {.missing = "model.layers.0.self_attn.q_norm.weight"},
         "q_norm.weight: missing, expected (16)"},
        {"qwen3", {.config = "\"head_dim\":8"}, "q_proj.weight: found (64, 32), expected (32, 32)"},
        {"phi3",
         {.missing = "model.layers.0.mlp.gate_up_proj.weight"},
         "gate_up_proj.weight: missing, expected (128, 32)"},
        {"phi3", {.config = "\"rope_parameters\":{\"rope_type\":\"yarn\"}"}, "rope_type: found \"yarn\""},
        {"phi3",
         {.config = "\"rope_parameters\":{\"rope_type\":\"longrope\"}"},
         "short_factor: found 0 numbers, expected 4"},
        {"phi3_longrope",
         {.config = "\"rope_scaling\":{\"type\":\"su\",\"short_factor\":[1,1,1,1]},\"rope_parameters\":null"},
         "long_factor: found 0 numbers, expected 4"},
        {"phi3_longrope",
         {.config = "\"rope_parameters\":{\"rope_type\":\"longrope\",\"partial_rotary_factor\":0.5,\"short_"
                    "factor\":[1,0]}"},
         "short_factor: found 0, expected numbers"},
        {"llama",
         {.config = "\"rope_parameters\":{\"rope_type\":\"longrope\"}"},
         "rope_type: found \"longrope\""},
        {"phi3",
         {.config = "\"rope_parameters\":{\"partial_rotary_factor\":0.1}"},
         "partial_rotary_factor: found 0.1"},
        {"gpt2", {.missing = "transformer.wpe.weight"}, "wpe.weight: missing, expected (40, 32)"},
        {"gpt2", {.missing = "transformer.h.0.ln_1.bias"}, "ln_1.bias: missing"},
        {"gpt2", {.config = "\"n_inner\":96"}, "mlp.c_fc.weight: found (32, 128), expected (32, 96)"},
        {"gpt2",
         {.config = "\"scale_attn_by_inverse_layer_idx\":true"},
         "scale_attn_by_inverse_layer_idx: found true"},
        {"gpt2", {.config = "\"activation_function\":\"silu\""}, "activation_function: found \"silu\""},
        {"opt",
         {.config = "\"do_layer_norm_before\":false"},
         "do_layer_norm_before: found false, expected true"},
        {"opt",
         {.config = "\"word_embed_proj_dim\":16"},
         "word_embed_proj_dim: found 16, expected hidden_size = 32"},
        {"opt",
         {.config = "\"max_position_embeddings\":38"},
         "embed_positions.weight: found (42, 32), expected (40, 32)"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ar_open_model *m = NULL;
        assert_error(open_changed(&m, rows[i].family, &rows[i].c), AR_ERR_FORMAT, rows[i].part);
        assert_null(m);
    }
}

/* How many tokens a token of each layer sees: the golden models' windows are smaller than T. */
static void windows_are_kept_by_layer(void **state) {
    (void)state;
    static const struct {
        const char *family;
        int32_t windows[2];
    } rows[] = {
        {"llama", {0, 0}}, {"mistral", {7, 7}}, {"qwen2", {0, 5}}, {"qwen3", {3, 0}}, {"phi3", {16, 16}}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ar_open_model *m;
        assert_ok(ar_model_open(&m, golden_folder(rows[i].family)));
        assert_int_equal(m->model.max_tokens, 40);
        for (int32_t l = 0; l < 2; l++) assert_int_equal(ar_config_window(&m->config, l), rows[i].windows[l]);
        ar_model_close(m);
    }
}

static void ids_and_positions_are_checked(void **state) {
    (void)state;
    ar_open_model *m;
    float row[32];
    assert_ok(ar_model_open(&m, golden_folder("qwen2")));
    assert_error(ar_model_embed(&m->model, row, (int32_t[]){64}, 1, 0), AR_ERR_ARG, "token id 64");
    ar_model_close(m);
    assert_ok(ar_model_open(&m, golden_folder("opt")));
    assert_ok(ar_model_embed(&m->model, row, (int32_t[]){3}, 1, 39));
    assert_error(ar_model_embed(&m->model, row, (int32_t[]){3}, 1, 40), AR_ERR_ARG, "expected 0..39");
    ar_model_close(m);
}

int main(int argc, char **argv) { /* test_families [NAME]: the tests of that name only */
    const struct CMUnitTest tests[] = {cmocka_unit_test(logits_are_those_of_transformers),
                                       cmocka_unit_test(longrope_turns_long_sequences_otherwise),
                                       cmocka_unit_test(every_family_is_quantized_and_read_back),
                                       cmocka_unit_test(gguf_holds_every_family_but_opt),
                                       cmocka_unit_test(formats_without_conv1d_refuse_gpt2),
                                       cmocka_unit_test(other_prefixes_bind),
                                       cmocka_unit_test(wrong_tensors_and_keys_are_named),
                                       cmocka_unit_test(windows_are_kept_by_layer),
                                       cmocka_unit_test(ids_and_positions_are_checked)};
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
