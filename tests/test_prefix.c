/* What stands before a text: the same from a folder and a GGUF file, for every command that encodes one. */
#include "convert_model.h"
#include "small_tokenizers.h"
#include "gguf_file.h"
#include "gguf_source.h"

#define ADDED                                                                                                \
    "{\"id\":10,\"content\":\"<s>\",\"special\":true},{\"id\":11,\"content\":\"</s>\",\"special\":true}"
#define SPECIAL(name) "{\"SpecialToken\":{\"id\":\"" name "\",\"type_id\":0}}"
#define TEXT          "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}"
#define IDS                                                                                                  \
    "\"<s>\":{\"id\":\"<s>\",\"ids\":[10],\"tokens\":[\"<s>\"]},\"</s>\":{\"id\":\"</s>\",\"ids\":[11]}"
#define TEMPLATE(single)                                                                                     \
    "{\"type\":\"TemplateProcessing\",\"single\":[" single "],\"pair\":[],\"special_tokens\":{" IDS "}}"
#define BYTES           "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}"
#define POST(processor) "\"post_processor\":" processor ","

static void check_text_ids(const ar_tokenizer *t, const char *text, const int32_t *expected, int64_t count) {
    int32_t *ids;
    int64_t n;
    assert_ok(ar_tokenizer_encode_text(t, &ids, &n, text, strlen(text), true));
    assert_int_equal(n, count);
    assert_memory_equal(ids, expected, (size_t)count * sizeof *ids);
    free(ids);
}

static void post_processors_decide(void **state) {
    (void)state;
    static const struct {
        const char *stages;
        int32_t ids[4];
        int64_t count;
        bool appends;
    } rows[] = {
        {"", {1}, 1, false},
        {POST("null"), {1}, 1, false},
        {POST(BYTES), {1}, 1, false},
        {POST(TEMPLATE(SPECIAL("<s>") "," TEXT)), {10, 1}, 2, false},
        {POST(TEMPLATE(TEXT)), {1}, 1, false},
        {POST(TEMPLATE(SPECIAL("<s>") "," TEXT "," SPECIAL("</s>"))), {10, 1}, 2, true},
        {POST(TEMPLATE(SPECIAL("<s>") "," SPECIAL("</s>") "," TEXT)), {10, 11, 1}, 3, false},
        {POST("{\"type\":\"Sequence\",\"processors\":[" BYTES "," TEMPLATE(SPECIAL("<s>") "," TEXT) "]}"),
         {10, 1},
         2,
         false},
        {POST("{\"type\":\"RobertaProcessing\",\"sep\":[\"</s>\",11],\"cls\":[\"<s>\",10]}"),
         {10, 1},
         2,
         true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ar_tokenizer *t;
        int32_t count;
        assert_ok(parse_with(&t, UNK, VOCAB, MERGES, ADDED, rows[i].stages));
        ar_tokenizer_set_special(t, 10, 11, 0); /* that there is a BOS says nothing */
        check_text_ids(t, "a", rows[i].ids, rows[i].count);
        check_text_ids(t, "", rows[i].ids, rows[i].count - 1);
        ar_tokenizer_prefix(&count, t);
        assert_int_equal(count, rows[i].count - 1);
        assert_int_equal(ar_tokenizer_appends(t), rows[i].appends);
        ar_tokenizer_close(t);
    }
    int32_t none = 7;
    assert_null(ar_tokenizer_prefix(&none, NULL));
    assert_int_equal(none, 0);
}

static void wrong_post_processors_are_refused(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {POST("{\"type\":\"Odd\"}"), "\"Odd\", expected ByteLevel, TemplateProcessing"},
        {POST("{\"type\":\"TemplateProcessing\"}"), "single: found no list"},
        {POST(TEMPLATE(SPECIAL("<x>") "," TEXT)), "found no ids of \"<x>\""},
        {POST("{\"type\":\"BertProcessing\",\"cls\":[\"<s>\",12]}"), "the id 12"},
        {POST("{\"type\":\"BertProcessing\",\"cls\":[\"<s>\"]}"), "the id -1"},
        {POST("{\"type\":\"TemplateProcessing\",\"single\":[" SPECIAL(
             "x") "],\"special_tokens\":{\"x\":{\"ids\":[1,1,1,1,1,1,1,1,1]}}}"),
         "more than 8 tokens"},
        {POST("{\"type\":\"Sequence\"}"), "found no list processors"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ar_tokenizer *t;
        assert_error(parse_with(&t, UNK, VOCAB, MERGES, ADDED, rows[i][0]), AR_ERR_FORMAT, rows[i][1]);
        assert_null(t);
    }
}

/* ---- GGUF ---- */

static int says; /* 0 = no key */

static void says_so(bytes *b) {
    key(b, "tokenizer.ggml.add_bos_token", AR__GGUF_BOOL);
    number(b, says == 1, 1);
}

static void gguf_says_or_llama_cpps_rule_does(void **state) {
    (void)state;
    static bytes b;
    for (says = 0; says < 3; says++) {
        ar__gguf g;
        ar_tokenizer *t;
        int32_t count;
        model(&b, &(change){.more_keys = says ? says_so : NULL, .more_key_count = says != 0});
        assert_ok(ar__gguf_parse(&g, b.data, b.used, "f"));
        assert_ok(ar__gguf_tokenizer(&t, &g));
        const int32_t *prefix = ar_tokenizer_prefix(&count, t);
        assert_int_equal(count, says != 2); /* SentencePiece: BOS where nothing is said */
        if (count) assert_int_equal(prefix[0], 1);
        ar_tokenizer_close(t);
        ar__gguf_deinit(&g);
    }
}

static char *folder;

/* A folder, the GGUF file made of it and the folder made of that encode alike. */
static void check_round_trip(const char *post, int32_t expected, bool appends) {
    char *path = malloc(4096), *gguf = malloc(4096), *back = malloc(4096), *json = malloc(1 << 16);
    gguf_shape shape = gguf_small;
    shape.vocab = 12;
    snprintf(path, 4096, "%s/from", folder);
    snprintf(gguf, 4096, "%s/m.gguf", folder);
    snprintf(back, 4096, "%s/back", folder);
    assert_ok(ar_dir_create(path));
    gguf_write_folder(path, &shape);
    snprintf(json, 1 << 16,
             "{\"added_tokens\":[" ADDED "]," LEGACY "%s\"model\":{\"type\":\"BPE\"," UNK "\"vocab\":{" VOCAB
             "},\"merges\":[" MERGES "]}}",
             post);
    put_text(in_folder(path, "tokenizer.json"), json);
    put_text(in_folder(path, "tokenizer_config.json"),
             "{\"bos_token\":\"<s>\",\"eos_token\":\"</s>\",\"add_bos_token\":true}");
    assert_ok(convert(path, gguf, "gguf", "f32"));
    assert_ok(convert(gguf, back, "hf", "f32"));
    const char *all[] = {path, gguf, back};
    for (int i = 0; i < 3; i++) {
        ar_open_model *m;
        int32_t count;
        assert_ok(ar_model_open(&m, all[i]));
        const int32_t *prefix = ar_tokenizer_prefix(&count, m->tokenizer);
        assert_int_equal(count, expected);
        if (count) assert_int_equal(prefix[0], 10);
        assert_int_equal(ar_tokenizer_appends(m->tokenizer), appends);
        assert_int_equal(ar_tokenizer_bos(m->tokenizer), 10);
        ar_model_close(m);
    }
    free(path);
    free(gguf);
    free(back);
    free(json);
}

static void converting_keeps_what_stands_before_a_text(void **state) {
    (void)state;
    check_round_trip(POST("null"), 0, false);
    check_round_trip(POST(TEMPLATE(SPECIAL("<s>") "," TEXT)), 1, false);
    check_round_trip(POST(TEMPLATE(SPECIAL("<s>") "," TEXT "," SPECIAL("</s>"))), 1, true);
}

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

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {T(post_processors_decide), T(wrong_post_processors_are_refused),
                                       T(gguf_says_or_llama_cpps_rule_does),
                                       T(converting_keeps_what_stands_before_a_text)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
