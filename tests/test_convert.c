/* Float models from a Hugging Face folder to GGUF and back: the same tensors, numbers and ids. No device. */
#include "convert_model.h"
#include "gguf_source.h"
#include "fmt_gguf.h"
#include "tokenizer.h"
#include <cjson/cJSON.h>

static char *folder;
static int setup(void **state) {
    (void)state;
    folder = temp_folder();
    return 0;
}
static int teardown(void **state) {
    (void)state;
    temp_remove(folder);
    return 0;
}

static float round_to(const char *type, float x) {
    return strcmp(type, "f16") == 0    ? ar_f16_to_f32(ar_f32_to_f16(x))
           : strcmp(type, "bf16") == 0 ? ar_bf16_to_f32(ar_f32_to_bf16(x))
                                       : x;
}

static void assert_same_weights(const ar_open_model *a, const ar_open_model *b, const char *type) {
    const ar_weights *wa = &a->weights, *wb = &b->weights;
    assert_int_equal(wa->vtable->count(wa->impl), wb->vtable->count(wb->impl));
    for (int64_t i = 0; i < wa->vtable->count(wa->impl); i++) {
        const ar_weight *t = wa->vtable->at(wa->impl, i);
        int64_t k = ar_weights_find(wb, t->name), rows = t->dim_count > 1 ? t->dims[0] : 1,
                n = rows * t->dims[t->dim_count - 1];
        assert_true(k >= 0);
        const ar_weight *u = wb->vtable->at(wb->impl, k);
        assert_int_equal(t->dim_count, u->dim_count);
        assert_memory_equal(t->dims, u->dims, (size_t)t->dim_count * sizeof *t->dims);
        float *x = malloc((size_t)n * sizeof *x), *y = malloc((size_t)n * sizeof *y);
        assert_ok(wa->vtable->read(wa->impl, x, i, 0, rows));
        assert_ok(wb->vtable->read(wb->impl, y, k, 0, rows));
        for (int64_t j = 0; j < n; j++) assert_true(y[j] == round_to(type, x[j]));
        free(x);
        free(y);
    }
}

static void assert_same_numbers(const ar_config *a, const ar_config *b) {
    assert_string_equal(a->family, b->family);
    assert_true(a->hidden == b->hidden && a->intermediate == b->intermediate && a->vocab == b->vocab);
    assert_true(a->layers == b->layers && a->heads == b->heads && a->kv_heads == b->kv_heads);
    assert_true(a->head_dim == b->head_dim && a->max_tokens == b->max_tokens && a->tied == b->tied);
    assert_true(a->rms_eps == b->rms_eps && a->rope_theta == b->rope_theta && a->bos == b->bos &&
                a->eos == b->eos && a->end_count == b->end_count);
    assert_memory_equal(a->ends, b->ends, sizeof a->ends);
    assert_string_equal(a->rope_scaling.kind, b->rope_scaling.kind);
    assert_true(a->rope_scaling.factor == b->rope_scaling.factor &&
                a->rope_scaling.low_freq == b->rope_scaling.low_freq);
    assert_true(a->rope_scaling.high_freq == b->rope_scaling.high_freq &&
                a->rope_scaling.original_tokens == b->rope_scaling.original_tokens);
}

static void check_there_and_back(const gguf_shape *shape, const char *type) {
    ar_open_model *a, *b;
    char from[4000], gguf[4000], back[4000];
    snprintf(from, sizeof from, "%s/from", folder);
    snprintf(gguf, sizeof gguf, "%s/m.gguf", folder);
    snprintf(back, sizeof back, "%s/back", folder);
    assert_ok(ar_dir_create(from));
    gguf_write_folder(from, shape);
    assert_ok(convert(from, gguf, "gguf", type));
    assert_ok(convert(gguf, back, "hf", type));
    assert_ok(ar_model_open(&a, from));
    assert_ok(ar_model_open(&b, back));
    assert_same_numbers(&a->config, &b->config);
    assert_same_weights(a, b, type);
    ar_model_close(a);
    ar_model_close(b);
}

static void models_come_back(void **state) {
    (void)state;
    gguf_shape tied = gguf_small, biased = gguf_small, linear = gguf_small, llama3 = gguf_small;
    tied.tied = true;
    biased.biased = true;
    linear.config = "\"rope_theta\":20000,\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":2.5}";
    llama3.config =
        "\"rope_theta\":500000,\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1,"
        "\"high_freq_factor\":4,\"original_max_position_embeddings\":8192}";
    check_there_and_back(&gguf_small, "f32");
    check_there_and_back(&gguf_small, "f16");
    check_there_and_back(&gguf_small, "bf16");
    check_there_and_back(&tied, "f16");
    check_there_and_back(&biased, "f32");
    check_there_and_back(&linear, "f32");
    check_there_and_back(&llama3, "f32");
}

/* The golden GPT-2 in 8 bits, as GPTQ folders hold it. */
static ar_status rtn_linear(void *ctx, ar_qlinear **q, int32_t block, int32_t i) {
    const ar_write_source *src = ctx;
    const ar_block *b = &src->model->model.blocks[block];
    float W[32 * 128];
    ar_qlinear *made = *q = calloc(1, sizeof *made);
    assert_ok(b->read_linear(b, W, i, 0, b->linears[i].O));
    assert_ok(ar_qlinear_init(made, &src->plan->scheme, b->linears[i].O, b->linears[i].I));
    return ar_qlinear_rtn(made, W);
}

static void packed_gpt2(const char *to) {
    ar_open_model *m;
    ar_output_plan plan;
    assert_ok(ar_output_plan_make(&plan,
                                  &(ar_output_request){.formats = "gptq", .bits = 8, .group = 32, .sym = 1}));
    assert_ok(ar_model_open(&m, "tests/golden/families/gpt2"));
    ar_write_source src = {.model = m, .plan = &plan, .linear = rtn_linear, .ctx = &src};
    assert_ok(ar_format_find("gptq")->write(to, &src));
    ar_model_close(m);
}

static void families_come_back(void **state) {
    (void)state;
    const char *families[] = {"llama", "mistral", "qwen2", "qwen3", "phi3", "gpt2"};
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        char from[256], gguf[4000], back[4000];
        ar_open_model *a, *b;
        snprintf(from, sizeof from, "tests/golden/families/%s", families[i]);
        snprintf(gguf, sizeof gguf, "%s/m.gguf", folder);
        snprintf(back, sizeof back, "%s/back", folder);
        assert_ok(convert(from, gguf, "gguf", "f32"));
        assert_ok(convert(gguf, back, "hf", "f32"));
        assert_ok(ar_model_open(&a, from));
        assert_ok(ar_model_open(&b, back));
        assert_true(a->config.hidden == b->config.hidden && a->config.head_dim == b->config.head_dim);
        assert_true(a->config.rotary == b->config.rotary && a->config.rope_theta == b->config.rope_theta);
        assert_true(a->config.tied == b->config.tied && a->config.kv_heads == b->config.kv_heads);
        for (int32_t l = 0; l < a->config.layers; l++)
            assert_int_equal(ar_config_window(&a->config, l), ar_config_window(&b->config, l));
        assert_int_equal(a->config.max_tokens, b->config.max_tokens);
        assert_true(a->config.act == b->config.act && a->config.rms_eps == b->config.rms_eps);
        assert_same_weights(a, b, "f32");
        ar_model_close(a);
        ar_model_close(b);
    }
    char gguf[4000];
    snprintf(gguf, sizeof gguf, "%s/m.gguf", folder);
    assert_error(convert("tests/golden/families/opt", gguf, "gguf", "f32"), AR_ERR_UNSUPPORTED, "opt");
}

/* GPT-2's products are stored (I, O) in folders, (O, I) in GGUF and in packed folders; each way round is
 * rounded alike. */
static void conv1d_is_turned(void **state) {
    (void)state;
    char gguf[4000], halves[4000], packed[4000], back[4000];
    const char *types[] = {"f16", "bf16"};
    ar_open_model *a, *b, *c;
    snprintf(gguf, sizeof gguf, "%s/m.gguf", folder);
    snprintf(halves, sizeof halves, "%s/halves", folder);
    snprintf(packed, sizeof packed, "%s/packed", folder);
    snprintf(back, sizeof back, "%s/back", folder);
    assert_ok(convert("tests/golden/families/gpt2", gguf, "gguf", "f32"));
    assert_ok(ar_model_open(&a, "tests/golden/families/gpt2"));
    assert_ok(ar_model_open(&b, gguf));
    assert_true(a->config.is_conv1d && b->config.is_conv1d && b->config.tied);
    assert_int_equal(ar_weights_find(&b->weights, "lm_head.weight"),
                     -1); /* the repeated head is passed over */
    const ar_weight *t = b->weights.vtable->at(
        b->weights.impl, ar_weights_find(&b->weights, "transformer.h.0.attn.c_attn.weight"));
    assert_true(t->dims[0] == 96 && t->dims[1] == 32);
    ar_model_close(b);
    for (int k = 0; k < 2; k++) {
        assert_ok(convert(gguf, halves, "hf", types[k]));
        assert_ok(ar_model_open(&b, halves));
        assert_same_weights(a, b, types[k]);
        ar_model_close(b);
    }
    ar_model_close(a);
    packed_gpt2(packed);
    assert_ok(convert(packed, back, "hf", "f32"));
    assert_ok(ar_model_open(&a, packed));
    assert_ok(ar_model_open(&b, back));
    for (int32_t i = 0; i < a->model.blocks[0].linear_count; i++) {
        float x[32 * 128], y[32 * 128];
        const ar_block *p = &a->model.blocks[0], *q = &b->model.blocks[0];
        assert_ok(p->read_linear(p, x, i, 0, p->linears[i].O));
        assert_ok(q->read_linear(q, y, i, 0, q->linears[i].O));
        assert_memory_equal(x, y, (size_t)(p->linears[i].O * p->linears[i].I) * sizeof *x);
    }
    ar_model_close(a);
    ar_model_close(b);
    assert_ok(convert(gguf, halves, "hf", "f32"));
    assert_ok(ar_model_open(&c, gguf));
    assert_error(ar_format_find("awq")->accepts(c, &(ar_output_plan){0}), AR_ERR_UNSUPPORTED, "Conv1D");
    ar_model_close(c);
}

/* A file whose first `from` is overwritten by `to`, as long as that. */
static ar_status open_patched(const char *path, const char *from, const void *to) {
    ar_file f;
    ar_open_model *m = NULL;
    const char *patched = in_folder(folder, "patched.gguf");
    assert_ok(ar_file_open(&f, path));
    char *copy = malloc((size_t)f.bytes), *at;
    memcpy(copy, f.data, (size_t)f.bytes);
    assert_non_null(at = memmem(copy, (size_t)f.bytes, from, strlen(from)));
    memcpy(at, to, strlen(from));
    FILE *out = fopen(patched, "wb");
    assert_int_equal(fwrite(copy, 1, (size_t)f.bytes, out), f.bytes);
    fclose(out);
    free(copy);
    ar_file_close(&f);
    ar_status status = ar_model_open(&m, patched);
    if (status == AR_OK) ar_model_close(m);
    return status;
}

static void longrope_needs_all_of_it(void **state) {
    (void)state;
    char gguf[4000], back[4000];
    ar_open_model *a, *b;
    snprintf(gguf, sizeof gguf, "%s/m.gguf", folder);
    snprintf(back, sizeof back, "%s/back", folder);
    assert_ok(convert("tests/golden/families/phi3_longrope", gguf, "gguf", "f32"));
    assert_ok(convert(gguf, back, "hf", "f32"));
    assert_ok(ar_model_open(&a, "tests/golden/families/phi3_longrope"));
    assert_ok(ar_model_open(&b, back));
    assert_memory_equal(&a->config.rope_scaling, &b->config.rope_scaling, sizeof a->config.rope_scaling);
    ar_model_close(a);
    ar_model_close(b);
    assert_ok(open_patched(gguf, "rope_factors_long.weight", "rope_factors_long.weight"));
    assert_error(open_patched(gguf, "rope_factors_long.weight", "rope_factors_lonk.weight"), AR_ERR_FORMAT,
                 "rope_factors_long.weight: missing");
    assert_error(open_patched(gguf, "rope_factors_short.weight", "rope_factors_shord.weight"), AR_ERR_FORMAT,
                 "rope_factors_short.weight: missing");
    assert_error(open_patched(gguf, "scaling.original_context_length", "scaling.orikinal_context_length"),
                 AR_ERR_FORMAT, "original_context_length: missing");
}

/* ---- tokenizers ---- */

static void assert_same_ids(const ar_tokenizer *a, const ar_tokenizer *b, const char *text, bool special) {
    int32_t *x, *y;
    int64_t m, n;
    char *s, *t;
    size_t p, q;
    assert_ok(ar_tokenizer_encode(a, &x, &m, text, strlen(text), special));
    assert_ok(ar_tokenizer_encode(b, &y, &n, text, strlen(text), special));
    if (m != n || memcmp(x, y, (size_t)m * sizeof *x) != 0)
        fail_msg("\"%s\" (special %d): other ids", text, special);
    assert_ok(ar_tokenizer_decode(a, &s, &p, x, m, true, false));
    assert_ok(ar_tokenizer_decode(b, &t, &q, y, n, true, false));
    assert_int_equal(p, q);
    assert_memory_equal(s, t, p);
    free(x);
    free(y);
    free(s);
    free(t);
}

/* Does the text hold an added token that strips spaces, stands alone or is normalized? GGUF has no place for
 * that. */
static bool has_flagged_token(const ar_tokenizer *t, const char *text) {
    const ar__added_set *sets[] = {&t->raw_added, &t->normalized_added};
    for (int k = 0; k < 2; k++)
        for (int32_t i = 0; i < sets[k]->count; i++) {
            const ar__added *a = &sets[k]->items[i];
            bool flagged =
                a->lstrip || a->rstrip || a->single_word || strcmp(a->pattern, t->tokens[a->id].text) != 0;
            if (flagged && strstr(text, t->tokens[a->id].text)) return true;
        }
    return false;
}

static void check_tokenizer(const char *name) {
    char path[256], *text;
    size_t bytes;
    ar_open_model *a, *b;
    ar_tokenizer *t;
    ar_json *cases;
    gguf_shape shape = gguf_small;
    snprintf(path, sizeof path, "tests/golden/tokenizers/%s.json", name);
    assert_ok(ar_tokenizer_open(&t, path));
    shape.vocab = ar_tokenizer_vocab(t) + 3;
    ar_tokenizer_close(t);
    char from[4000], gguf[4000], back[4000];
    snprintf(from, sizeof from, "%s/from", folder);
    snprintf(gguf, sizeof gguf, "%s/m.gguf", folder);
    snprintf(back, sizeof back, "%s/back", folder);
    assert_ok(ar_dir_create(from));
    gguf_write_folder(from, &shape);
    assert_ok(ar_file_read_text(&text, &bytes, path, 1 << 24));
    put_text(in_folder(from, "tokenizer.json"), text);
    put_text(in_folder(from, "tokenizer_config.json"), "{\"chat_template\":\"{{ 'any text' }}\"}");
    free(text);
    assert_ok(convert(from, gguf, "gguf", "f32"));
    assert_ok(convert(gguf, back, "hf", "f32"));
    assert_ok(ar_model_open(&a, from));
    assert_ok(ar_model_open(&b, back));
    assert_int_equal(ar_tokenizer_bos(a->tokenizer), ar_tokenizer_bos(b->tokenizer));
    assert_int_equal(ar_tokenizer_eos(a->tokenizer), ar_tokenizer_eos(b->tokenizer));
    snprintf(path, sizeof path, "tests/golden/tokenizers/%s.cases.json", name);
    assert_ok(ar_json_open(&cases, path, 1 << 20));
    int checked = 0;
    for (const cJSON *one = cases->child; one; one = one->next) {
        const char *content = ar_json_get(one, "text")->valuestring;
        if (has_flagged_token(a->tokenizer, content)) continue;
        assert_same_ids(a->tokenizer, b->tokenizer, content, cJSON_IsTrue(ar_json_get(one, "special")));
        checked++;
    }
    if (checked <= 20) fail_msg("%s: %d texts", name, checked);
    ar_json_close(cases);
    ar_model_close(a);
    ar_model_close(b);
    assert_ok(ar_file_read_text(&text, &bytes, in_folder(back, "tokenizer_config.json"), 1 << 20));
    assert_non_null(strstr(text, "any text"));
    free(text);
}

static void tokenizers_come_back(void **state) {
    (void)state;
    const char *names[] = {"llama3", "qwen2", "gpt2", "smollm", "legacy"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) check_tokenizer(names[i]);
}

/* Quantized blocks become floats; a value beyond F16 is refused. */
static void quantized_files_become_floats(void **state) {
    (void)state;
    gguf_source s;
    ar_open_model *a, *b;
    char from[4000], q8[4000], back[4000];
    snprintf(from, sizeof from, "%s/from", folder);
    snprintf(q8, sizeof q8, "%s/q8.gguf", folder);
    snprintf(back, sizeof back, "%s/back", folder);
    assert_ok(ar_dir_create(from));
    gguf_write_folder(from, &gguf_small);
    gguf_open_source(&s, from, NULL, (ar_output_request){.type = "q8_0", .sym = -1});
    assert_ok(ar_format_find("gguf")->write(q8, &s.write));
    gguf_close_source(&s);
    assert_ok(convert(q8, back, "hf", "f32"));
    assert_ok(ar_model_open(&a, q8));
    assert_ok(ar_model_open(&b, back));
    assert_same_weights(a, b, "f32");
    ar_model_close(a);
    ar_model_close(b);
}

/* The golden model of a family with one more tensor, of zeros, at FOLDER/from. */
static void write_with(const char *family, const char *name, const char *dtype, const int64_t dims[2],
                       size_t bytes) {
    static const uint8_t zeros[64];
    ar_safetensors *st;
    ar_st_writer *w;
    char *config, from[4000], path[256];
    snprintf(from, sizeof from, "%s/from", folder);
    assert_ok(ar_dir_create(from));
    snprintf(path, sizeof path, "tests/golden/families/%s/config.json", family);
    assert_ok(ar_file_read_text(&config, NULL, path, 1 << 20));
    put_text(in_folder(from, "config.json"), config);
    free(config);
    snprintf(path, sizeof path, "tests/golden/families/%s/model.safetensors", family);
    assert_ok(ar_safetensors_open(&st, path));
    assert_ok(ar_st_writer_create(&w));
    for (int64_t i = 0; i < ar_safetensors_count(st); i++) {
        const ar_st_tensor *t = ar_safetensors_at(st, i);
        assert_ok(ar_st_writer_declare(w, t->name, t->dtype, t->dim_count, t->dims));
    }
    assert_ok(ar_st_writer_declare(w, name, dtype, 2, dims));
    assert_ok(ar_st_writer_begin(w, in_folder(from, "model.safetensors")));
    for (int64_t i = 0; i < ar_safetensors_count(st); i++)
        assert_ok(
            ar_st_writer_data(w, ar_safetensors_at(st, i)->data, (size_t)ar_safetensors_at(st, i)->bytes));
    assert_ok(ar_st_writer_data(w, zeros, bytes));
    assert_ok(ar_st_writer_finish(&w));
    ar_safetensors_close(st);
}

/* A tensor of many rows and no element takes no time. */
static void tensors_without_elements_go_on(void **state) {
    (void)state;
    static const char name[] = "model.layers.0.self_attn.rotary_emb.inv_freq";
    ar_open_model *m;
    char from[4000], back[4000];
    snprintf(from, sizeof from, "%s/from", folder);
    snprintf(back, sizeof back, "%s/back", folder);
    write_with("llama", name, "F32", (const int64_t[]){INT64_C(1) << 53, 0}, 0);
    assert_ok(convert(from, back, "hf", "f32"));
    assert_ok(ar_model_open(&m, back));
    int64_t i = ar_weights_find(&m->weights, name);
    assert_true(m->weights.vtable->at(m->weights.impl, i)->dims[0] == INT64_C(1) << 53);
    ar_model_close(m);
}

/* As older checkpoints of GPT-2 have it: outputs are without. */
static void masks_of_bytes_are_left_out(void **state) {
    (void)state;
    ar_open_model *m;
    char from[4000], back[4000];
    snprintf(from, sizeof from, "%s/from", folder);
    snprintf(back, sizeof back, "%s/back", folder);
    write_with("gpt2", "transformer.h.0.attn.bias", "U8", (const int64_t[]){8, 8}, 64);
    assert_ok(convert(from, back, "hf", "f32"));
    assert_ok(ar_model_open(&m, back));
    assert_int_equal(ar_weights_find(&m->weights, "transformer.h.0.attn.bias"), -1);
    assert_int_equal(m->notes.count, 0);
    ar_model_close(m);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {T(models_come_back),
                                       T(families_come_back),
                                       T(conv1d_is_turned),
                                       T(longrope_needs_all_of_it),
                                       T(tokenizers_come_back),
                                       T(quantized_files_become_floats),
                                       T(tensors_without_elements_go_on),
                                       T(masks_of_bytes_are_left_out)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
