/* Which tokens end a text: every one that a model's files name, from a folder and a GGUF file alike. */
#include "convert_model.h"
#include "gguf_file.h"
#include "gguf_source.h"

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

static void check(const ar_config *c, const char *expected) {
    char found[256] = "";
    size_t at = 0;
    for (int32_t i = 0; i < c->end_count; i++)
        at += (size_t)snprintf(found + at, sizeof found - at, "%s%d", i ? " " : "", (int)c->ends[i]);
    assert_string_equal(found, expected);
    assert_int_equal(c->eos, c->end_count ? c->ends[0] : -1);
    for (int32_t i = 0; i < c->end_count; i++) assert_true(ar_config_ends(c, c->ends[i]));
    assert_false(ar_config_ends(c, -1));
    assert_false(ar_config_ends(c, 299));
}

static ar_status parse(ar_config *c, const char *eos) {
    char text[1024];
    snprintf(text, sizeof text,
             "{\"model_type\":\"llama\",\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":2,"
             "\"num_attention_heads\":4,\"vocab_size\":300,\"max_position_embeddings\":64%s}",
             eos);
    return ar_config_parse(c, text, strlen(text), "test");
}

static void config_json_has_a_number_a_list_or_nothing(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"", ""},
        {",\"eos_token_id\":null", ""},
        {",\"eos_token_id\":[]", ""},
        {",\"eos_token_id\":-1", ""},
        {",\"eos_token_id\":0", "0"},
        {",\"eos_token_id\":7", "7"},
        {",\"eos_token_id\":[7]", "7"},
        {",\"eos_token_id\":[9,7,9,8]", "9 7 8"},
        {",\"eos_token_id\":7,\"bos_token_id\":[]", "7"},
    };
    ar_config c;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_ok(parse(&c, rows[i][0]));
        check(&c, rows[i][1]);
        assert_int_equal(c.bos, -1);
    }
    assert_error(parse(&c, ",\"eos_token_id\":[7,300]"), AR_ERR_FORMAT, "eos_token_id: found 300");
    assert_error(parse(&c, ",\"eos_token_id\":[7,\"x\"]"), AR_ERR_FORMAT, "eos_token_id: found no number");
    assert_error(parse(&c, ",\"eos_token_id\":{}"), AR_ERR_FORMAT, "eos_token_id: found no number");
    assert_error(parse(&c, ",\"eos_token_id\":[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]"), AR_ERR_FORMAT,
                 "more than 16 tokens that end");
}

#define TOKENIZER                                                                                            \
    "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"<unk>\":0,\"<s>\":1,\"</"                                     \
    "s>\":2,\"a\":3,\"<|eom_id|>\":4,\"b\":5},"                                                              \
    "\"merges\":[],\"byte_fallback\":true,\"unk_token\":\"<unk>\",\"fuse_unk\":true},\"added_tokens\":[],"   \
    "\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\xe2\x96\x81\"}}"

/* A folder whose files say this; NULL = there is no such file. */
static void write_model(const char *path, const char *config, const char *generation, const char *tokens) {
    char text[1024];
    assert_ok(ar_dir_create(path));
    gguf_write_folder(path, &gguf_small);
    snprintf(text, sizeof text,
             "{\"model_type\":\"llama\",\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":2,"
             "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":16,\"vocab_size\":300,"
             "\"max_position_embeddings\":64%s}",
             config);
    put_text(in_folder(path, "config.json"), text);
    put_text(in_folder(path, "tokenizer.json"), TOKENIZER);
    if (generation) put_text(in_folder(path, "generation_config.json"), generation);
    if (tokens) put_text(in_folder(path, "tokenizer_config.json"), tokens);
}

static void check_model(const char *path, const char *expected, int32_t eos) {
    ar_open_model *m;
    assert_ok(ar_model_open(&m, path));
    check(&m->config, expected);
    assert_int_equal(ar_tokenizer_eos(m->tokenizer), eos);
    ar_model_close(m);
}

static void a_folder_s_files_add_up(void **state) {
    (void)state;
    static const struct {
        const char *config, *generation, *tokens, *expected;
        int32_t eos;
    } rows[] = {
        {",\"eos_token_id\":[2,5]", NULL, NULL, "2 5", 2},
        {",\"eos_token_id\":2", "{\"eos_token_id\":[5,2]}", NULL, "2 5", 2},
        {",\"eos_token_id\":2", "{\"eos_token_id\":5}", "{\"eos_token\":\"a\"}", "2 5 3", 3},
        {",\"eos_token_id\":null", "{\"eos_token_id\":[]}", "{\"eos_token\":\"a\"}", "3", 3},
        {",\"eos_token_id\":[]", "{}", "{\"eos_token\":null}", "", -1},
        {",\"eos_token_id\":null", "{\"eos_token_id\":5}", NULL, "5", 5},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%zu", folder, i);
        write_model(path, rows[i].config, rows[i].generation, rows[i].tokens);
        check_model(path, rows[i].expected, rows[i].eos);
    }
    char path[4096];
    ar_open_model *m;
    snprintf(path, sizeof path, "%s/wrong", folder);
    write_model(path, "", "{\"eos_token_id\":300}", NULL);
    assert_error(ar_model_open(&m, path), AR_ERR_FORMAT, "generation_config.json: eos_token_id: found 300");
}

static void converting_keeps_them(void **state) {
    (void)state;
    char from[4000], gguf[4000], back[4000];
    snprintf(from, sizeof from, "%s/from", folder);
    snprintf(gguf, sizeof gguf, "%s/m.gguf", folder);
    snprintf(back, sizeof back, "%s/back", folder);
    write_model(from, ",\"eos_token_id\":[4,5,2]", NULL, "{\"eos_token\":\"</s>\"}");
    assert_ok(convert(from, gguf, "gguf", "f32"));
    check_model(gguf, "2 5 4", 2); /* eos, eot, and eom by its name */
    assert_ok(convert(gguf, back, "hf", "f32"));
    check_model(back, "2 5 4", 2);
}

static void more_ends(bytes *b) {
    key_u32(b, "tokenizer.ggml.eos_token_id", 3);
    key_u32(b, "tokenizer.ggml.eot_token_id", 0);
    key_u32(b, "tokenizer.ggml.eom_token_id", 3);
}

static void gguf_names_up_to_three(void **state) {
    (void)state;
    static bytes b;
    ar_weights w;
    ar_config c;
    ar_tokenizer *t;
    const char *path = in_folder(folder, "m.gguf");
    model(&b, &(change){.more_keys = more_ends, .more_key_count = 3});
    put_file(path, b.data, b.used);
    assert_ok(ar_weights_open_gguf(&w, &c, &t, path));
    check(&c, "3 0");
    ar_tokenizer_close(t);
    ar_weights_close(&w);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {T(config_json_has_a_number_a_list_or_nothing),
                                       T(a_folder_s_files_add_up), T(converting_keeps_them),
                                       T(gguf_names_up_to_three)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
