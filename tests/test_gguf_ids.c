/* host/gguf/fmt_gguf_ids.c: a tokenizer that GGUF cannot say is remarked with the cause; others are not, and
 * are the same when they are read back. On the small vocabularies of tests/golden and changes of them. */
#include "gguf_source.h"
#include "each_folder.h"
#include <cjson/cJSON.h>

#define WIDE 1100 /* rows, more than any of them has tokens */

/* The vocabulary's tokenizer.json in the folder, one part of its text replaced. */
static void put_tokenizer(const char *name, const char *from, const char *to) {
    char path[256], *text;
    size_t bytes;
    snprintf(path, sizeof path, "tests/golden/vocabularies/%s.json", name);
    assert_ok(ar_file_read_text(&text, &bytes, path, 1 << 20));
    char *at = from ? strstr(text, from) : text;
    if (!at) fail_msg("%s does not hold %s", name, from);
    char *made = malloc(bytes + 4096);
    if (from)
        snprintf(made, bytes + 4096, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    else
        memcpy(made, text, bytes + 1);
    put_text(in_folder(folder, "tokenizer.json"), made);
    free(made);
    free(text);
}

static void open_source(gguf_source *s) {
    gguf_shape shape = gguf_small;
    shape.vocab = WIDE;
    gguf_write_folder(folder, &shape);
    gguf_open_source(s, folder, in_folder(folder, "tokenizer.json"),
                     (ar_output_request){.type = "q4_0", .sym = -1});
}

static void what_gguf_can_say_is_not_remarked(void **state) {
    (void)state;
    static const char *const names[] = {"gpt2", "llama3", "qwen2", "llama2"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        gguf_source s;
        ar_notes notes = {0};
        ar_tokenizer *read = NULL;
        ar_weights w;
        ar_config c;
        put_tokenizer(names[i], NULL, NULL);
        open_source(&s);
        assert_ok(ar__format_gguf.remarks(&notes, &s.model, &s.plan));
        if (notes.count > 0) fail_msg("%s: %s", names[i], notes.lines[0]);
        assert_ok(ar__format_gguf.write(in_folder(folder, "x.gguf"), &s.write));
        assert_ok(ar__format_gguf.verify(in_folder(folder, "x.gguf"), &s.write));
        assert_ok(ar_weights_open_gguf(&w, &c, &read, in_folder(folder, "x.gguf")));
        assert_ok(ar__gguf_verify_tokenizer("x.gguf", read, &s.write));
        assert_error(ar__gguf_verify_tokenizer("x.gguf", NULL, &s.write), AR_ERR_CHECK,
                     "x.gguf: the tokenizer");
        ar_tokenizer_close(read);
        ar_weights_close(&w);
        gguf_close_source(&s);
    }
}

#define ADDED(id, flag) "\"added_tokens\":[{\"id\":" id ",\"content\":\"<more>\",\"special\":false," flag "},"
#define METASPACE       "\"prepend_scheme\":\"first\",\"split\":false"

static void what_gguf_cannot_say_is_remarked(void **state) {
    (void)state;
    static const struct {
        const char *name, *from, *to, *cause;
    } rows[] = {
        {"metaspace", NULL, NULL, "Metaspace's prefix, of the first word alone"},
        {"metaspace", METASPACE, "\"prepend_scheme\":\"always\",\"split\":false", "of every stretch of text"},
        {"metaspace", METASPACE, "\"prepend_scheme\":\"always\",\"split\":true", "of every stretch of text"},
        {"qwen2", "{\"type\":\"NFC\"}", "null", "no NFC normalization"},
        {"gpt2", "\"normalizer\":null", "\"normalizer\":{\"type\":\"NFC\"}", ": NFC normalization"},
        {"llama2", "\"normalizers\":[", "\"normalizers\":[{\"type\":\"NFC\"},", ": NFC normalization"},
        {"llama3", "\"ignore_merges\":true", "\"ignore_merges\":false", "no whole words as tokens"},
        {"gpt2", "\"ignore_merges\":false", "\"ignore_merges\":true", NULL}, /* no token but by merges */
        {"llama2", "\"byte_fallback\":true", "\"byte_fallback\":false", "no byte fallback"},
        {"llama2", "\"fuse_unk\":true", "\"fuse_unk\":false", NULL}, /* bytes are never unknown */
        {"gpt2", "\"added_tokens\":[", ADDED("900", "\"rstrip\":true,\"normalized\":false"),
         "(lstrip, rstrip)"},
        {"qwen2", "\"added_tokens\":[", ADDED("900", "\"lstrip\":true,\"normalized\":false"),
         "(lstrip, rstrip)"},
        {"gpt2", "\"added_tokens\":[", ADDED("900", "\"single_word\":true"), "single words"},
        {"llama2", "\"added_tokens\":[", ADDED("900", "\"normalized\":true"), "looked for normalized"},
        {"gpt2", "\"added_tokens\":[", ADDED("900", "\"normalized\":false"), NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        gguf_source s;
        ar_notes notes = {0};
        put_tokenizer(rows[i].name, rows[i].from, rows[i].to);
        open_source(&s);
        assert_ok(ar__format_gguf.remarks(&notes, &s.model, &s.plan));
        if (notes.count != (rows[i].cause ? 1 : 0))
            fail_msg("%s with %s: %d remarks: %s", rows[i].name, rows[i].to ? rows[i].to : "nothing changed",
                     (int)notes.count, notes.count ? notes.lines[0] : "");
        if (rows[i].cause && !strstr(notes.lines[0], rows[i].cause))
            fail_msg("\"%s\" does not hold \"%s\"", notes.lines[0], rows[i].cause);
        if (rows[i].cause) { /* the file is what was said */
            assert_ok(ar__format_gguf.write(in_folder(folder, "x.gguf"), &s.write));
            assert_ok(ar__format_gguf.verify(in_folder(folder, "x.gguf"), &s.write));
        }
        ar_notes_deinit(&notes);
        gguf_close_source(&s);
    }
}

/* A file without a tokenizer is said to be one; where the model has one that is not read, none is written. */
static void a_missing_tokenizer_is_said(void **state) {
    (void)state;
    gguf_source s;
    ar_notes notes = {0};
    gguf_write_folder(folder, &gguf_small);
    gguf_open_source(&s, folder, NULL, (ar_output_request){.type = "q4_0", .sym = -1});
    assert_ok(ar__format_gguf.remarks(&notes, &s.model, &s.plan));
    assert_int_equal(notes.count, 1);
    assert_non_null(strstr(notes.lines[0], "has no tokenizer"));
    ar_notes_deinit(&notes);
    assert_ok(ar__format_gguf.accepts(&s.model, &s.plan));
    s.model.lacks_tokenizer = true;
    assert_error(ar__format_gguf.accepts(&s.model, &s.plan), AR_ERR_UNSUPPORTED, "not read here");
    gguf_close_source(&s);
}

static void remarks_survive_every_failed_allocation(void **state) {
    (void)state;
    gguf_source s;
    put_tokenizer("metaspace", NULL, NULL);
    open_source(&s);
    ar_status status = AR_ERR_MEMORY;
    int32_t n = 0;
    while (status == AR_ERR_MEMORY && n < 1000000) {
        ar_notes notes = {0};
        ar__alloc_fail_at(n += n < 60 ? 1 : 997);
        status = ar__format_gguf.remarks(&notes, &s.model, &s.plan);
        ar__alloc_fail_at(0);
        ar_notes_deinit(&notes);
    }
    assert_int_equal(status, AR_OK);
    assert_true(n > 500);
    gguf_close_source(&s);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {T(what_gguf_can_say_is_not_remarked),
                                       T(what_gguf_cannot_say_is_remarked), T(a_missing_tokenizer_is_said),
                                       T(remarks_survive_every_failed_allocation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
