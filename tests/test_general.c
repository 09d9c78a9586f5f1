/* What a model says of itself goes with it: general.* between GGUF files, the licence and languages of a
 * folder's card, name and licence by way of a folder, the padding id. Includes host's internal headers. */
#include "gguf_file.h"
#include "each_folder.h"
#include "formats.h"
#include "model_card.h"
#include <cjson/cJSON.h>

/* ---- a card ---- */

static void check_card(const char *text, const char *key, const char *expected) {
    ar_notes values = {0};
    char found[256] = "";
    put_text(in_folder(folder, "README.md"), text);
    assert_ok(ar__card_read(&values, folder, key));
    for (int32_t i = 0; i < values.count; i++) {
        if (i) strcat(found, "|");
        strcat(found, values.lines[i]);
    }
    if (strcmp(found, expected) != 0)
        fail_msg("%s of \"%s\": found \"%s\", expected \"%s\"", key, text, found, expected);
    ar_notes_deinit(&values);
}

static void cards_are_read(void **state) {
    (void)state;
    static const char card[] =
        "---\nlicense: apache-2.0 # a comment\nlanguage:\n- en\n  - \"de\"\n\n- 'fr'\ntags: "
        "[a, \"b c\" , d]\nlicense_link: https://x.y/z#part\nempty:\nlong: |\n  text\nlast: "
        "1\r\n---\nlicense: not this\n";
    check_card(card, "license", "apache-2.0");
    check_card(card, "language", "en|de|fr");
    check_card(card, "tags", "a|b c|d");
    check_card(card, "license_link", "https://x.y/z#part");
    check_card(card, "empty", "");
    check_card(card, "long", "");
    check_card(card, "last", "1");
    check_card(card, "licens", "");
    check_card("# A title\n---\nlicense: mit\n---\n", "license", "");
    check_card("---\nlicense: mit", "license", "mit");
    check_card("---", "license", "");
    check_card("", "license", "");
    check_card("---\ntags:\n---\n- a\n", "tags", "");
    check_card("---\ntags: [a, b\n---\n", "tags", "");
}

/* As many as a card may have: time that grows with their square would be hours. */
static void cards_of_many_tags_are_read(void **state) {
    (void)state;
    enum { COUNT = 1000000 };
    ar_notes values = {0};
    char *card = malloc(2 * COUNT + 64), *end = card;
    end += sprintf(end, "---\ntags: [");
    for (int i = 0; i < COUNT; i++) *end++ = 'a', *end++ = ',';
    strcpy(end, "]\n---\n");
    put_text(in_folder(folder, "README.md"), card);
    assert_ok(ar__card_read(&values, folder, "tags"));
    assert_int_equal(values.count, COUNT);
    ar_notes_deinit(&values);
    free(card);
}

/* ---- GGUF files ---- */

static void more(bytes *b) {
    static const char *const tags[] = {"one", "", "three"};
    key_text(b, "general.name", "Tiny");
    key_text(b, "general.license", "mit");
    key_u32(b, "general.base_model.count", 1);
    key_f32(b, "general.sampling.temp", 0.5f);
    key(b, "general.tags", AR__GGUF_ARRAY);
    number(b, AR__GGUF_STRING, 4);
    number(b, 3, 8);
    for (int i = 0; i < 3; i++) text(b, tags[i]);
    key(b, "general.numbers", AR__GGUF_ARRAY);
    number(b, AR__GGUF_U16, 4);
    number(b, 2, 8);
    number(b, 0x01020304, 4);
    key_u32(b, "general.quantization_version", 9);
    key_text(b, "general.type", "other");
    key_u32(b, "tokenizer.ggml.padding_token_id", 3);
    key_text(b, "someone.else", "x");
}

static ar_status no_linear(void *ctx, ar_qlinear **q, int32_t block, int32_t i) {
    (void)ctx, (void)block, (void)i;
    *q = NULL;
    return AR_OK;
}

/* The model at `from` as a float file or folder. */
static void convert(const char *from, const char *format, const char *to) {
    ar_open_model *m;
    ar_output_plan plan = {.scheme = {.bits = 16, .group = -1},
                           .embedding = AR_QT_COUNT,
                           .head = AR_QT_COUNT,
                           .formats = {format},
                           .format_count = 1,
                           .type = "f32"};
    char source[4352], target[4352];
    snprintf(source, sizeof source, "%s", in_folder(folder, from));
    snprintf(target, sizeof target, "%s", in_folder(folder, to));
    assert_ok(ar_model_open(&m, source));
    const ar_write_source src = {.model = m, .plan = &plan, .linear = no_linear};
    assert_ok(ar_format_find(format)->write(target, &src));
    ar_model_close(m);
}

static void check_text(const ar__gguf *g, const char *name, const char *expected) {
    const char *found;
    size_t count;
    assert_ok(ar__gguf_text(&found, &count, g, name));
    if (!expected != !found || (expected && !ar__gguf_text_is(found, count, expected)))
        fail_msg("%s: found %.*s", name, found ? (int)count : 4, found ? found : "none");
}

static void general_values_go_from_file_to_file(void **state) {
    (void)state;
    static bytes b;
    ar_file file;
    ar__gguf g;
    int64_t value;
    model(&b, &(change){.more_keys = more, .more_key_count = 10});
    put_file(in_folder(folder, "a.gguf"), b.data, b.used);
    convert("a.gguf", "gguf", "b.gguf");
    assert_ok(ar_file_open(&file, in_folder(folder, "b.gguf")));
    assert_ok(ar__gguf_parse(&g, file.data, file.bytes, "b.gguf"));
    check_text(&g, "general.name", "Tiny");
    check_text(&g, "general.license", "mit");
    check_text(&g, "general.type", "model"); /* the file's own */
    check_text(&g, "someone.else", NULL);
    assert_null(ar__gguf_find(&g, "general.quantization_version"));
    assert_ok(ar__gguf_int(&value, &g, "general.base_model.count", -1, 0, 9));
    assert_int_equal(value, 1);
    assert_ok(ar__gguf_int(&value, &g, "tokenizer.ggml.padding_token_id", -1, 0, 9));
    assert_int_equal(value, 3);
    const ar__gguf_value *tags = ar__gguf_find(&g, "general.tags"),
                         *numbers = ar__gguf_find(&g, "general.numbers");
    assert_non_null(tags);
    assert_int_equal(tags->count, 3);
    assert_non_null(numbers);
    assert_memory_equal(numbers->data, ((const uint8_t[]){4, 3, 2, 1}), 4);
    ar__gguf_deinit(&g);
    ar_file_close(&file);
}

static void name_licence_and_padding_survive_a_folder(void **state) {
    (void)state;
    static bytes b;
    ar_file file;
    ar__gguf g;
    int64_t value;
    char *config;
    model(&b, &(change){.more_keys = more, .more_key_count = 10});
    put_file(in_folder(folder, "a.gguf"), b.data, b.used);
    convert("a.gguf", "hf", "h");
    assert_ok(ar_file_read_text(&config, NULL, in_folder(folder, "h/config.json"), 1 << 20));
    assert_non_null(strstr(config, "\"license\":"));
    free(config);
    assert_ok(ar_file_read_text(&config, NULL, in_folder(folder, "h/tokenizer_config.json"), 1 << 20));
    assert_non_null(strstr(config, "\"pad_token\":"));
    free(config);
    convert("h", "gguf", "c.gguf");
    assert_ok(ar_file_open(&file, in_folder(folder, "c.gguf")));
    assert_ok(ar__gguf_parse(&g, file.data, file.bytes, "c.gguf"));
    check_text(&g, "general.name", "Tiny");
    check_text(&g, "general.license", "mit");
    assert_ok(ar__gguf_int(&value, &g, "tokenizer.ggml.padding_token_id", -1, 0, 9));
    assert_int_equal(value, 3);
    ar__gguf_deinit(&g);
    ar_file_close(&file);
}

static void a_folders_card_and_licence_go_on(void **state) {
    (void)state;
    static bytes b;
    ar_file file;
    ar__gguf g;
    char *text_file;
    model(&b, &(change){.more_key_count = 0});
    put_file(in_folder(folder, "a.gguf"), b.data, b.used);
    convert("a.gguf", "hf", "h");
    put_text(in_folder(folder, "h/README.md"), "---\nlicense: other\nlicense_name: own\nlicense_link: "
                                               "LICENSE\nlanguage: [en, de]\ntags:\n- t\n---\n");
    put_text(in_folder(folder, "h/LICENSE"), "the terms");
    convert("h", "gguf", "d.gguf");
    assert_ok(ar_file_open(&file, in_folder(folder, "d.gguf")));
    assert_ok(ar__gguf_parse(&g, file.data, file.bytes, "d.gguf"));
    check_text(&g, "general.license", "other");
    check_text(&g, "general.license.name", "own");
    check_text(&g, "general.license.link", "LICENSE");
    assert_int_equal(ar__gguf_find(&g, "general.languages")->count, 2);
    assert_int_equal(ar__gguf_find(&g, "general.tags")->count, 1);
    ar__gguf_deinit(&g);
    ar_file_close(&file);
    convert("h", "hf", "i");
    assert_ok(ar_file_read_text(&text_file, NULL, in_folder(folder, "i/LICENSE"), 100));
    assert_string_equal(text_file, "the terms");
    free(text_file);
    assert_ok(ar_file_read_text(&text_file, NULL, in_folder(folder, "i/config.json"), 1 << 20));
    assert_non_null(strstr(text_file, "\"other\""));
    free(text_file);
}

/* Of config.json; a token of tokenizer_config.json counts before it; beyond the vocabulary there is none. */
static void padding_ids_are_read(void **state) {
    (void)state;
    static const struct {
        const char *json;
        int32_t pad;
    } rows[] = {{"3", 3}, {"null", -1}, {"-1", -1}, {"4", -1}, {"1e300", -1}, {"\"x\"", -1}};
    static bytes b;
    model(&b, &(change){.more_key_count = 0});
    put_file(in_folder(folder, "a.gguf"), b.data, b.used);
    convert("a.gguf", "hf", "h");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ar_json *root;
        ar_config c;
        assert_ok(ar_json_open(&root, in_folder(folder, "h/config.json"), 1 << 20));
        cJSON_ReplaceItemInObject(root, "pad_token_id", cJSON_Parse(rows[i].json));
        char *made = cJSON_Print(root);
        assert_ok(ar_config_parse(&c, made, strlen(made), "config.json"));
        assert_int_equal(c.pad, rows[i].pad);
        free(made);
        ar_json_close(root);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {T(cards_are_read),
                                       T(cards_of_many_tags_are_read),
                                       T(general_values_go_from_file_to_file),
                                       T(name_licence_and_padding_survive_a_folder),
                                       T(a_folders_card_and_licence_go_on),
                                       T(padding_ids_are_read)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
