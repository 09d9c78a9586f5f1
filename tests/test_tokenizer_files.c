/* host/text/tokenizer_files.c, _spm.c and _gpt2.c: folders without tokenizer.json. SentencePiece's own ids
 * for its model, those of the same vocabulary's tokenizer.json (tests/golden/make_vocabularies.py), settings
 * that stand beside, and what is not read. Includes host's internal headers. */
#include "temp_files.h"
#include "notes.h"
#include "tokenizer_files.h"
#include <cjson/cJSON.h>

static const char *golden(const char *name) {
    static char path[2][256];
    static int turn;
    char *p = path[turn++ % 2];
    snprintf(p, sizeof path[0], "tests/golden/vocabularies/%s", name);
    return p;
}

static void copy_golden(const char *folder, const char *from, const char *to) {
    ar_file f;
    assert_ok(ar_file_open(&f, golden(from)));
    put_file(in_folder(folder, to), f.data, (size_t)f.bytes);
    ar_file_close(&f);
}

static ar_status open_folder(ar_tokenizer **t, ar_notes *notes, const char *folder, const char *class) {
    char *path;
    ar_status status = ar__tokenizer_open_folder(t, &path, notes, folder, class);
    free(path);
    return status;
}

/* Every line of a file of cases; without `special` none where added tokens are looked for. */
static void check_cases(const ar_tokenizer *t, const char *name, bool special) {
    ar_json *root;
    int lines = 0;
    assert_ok(ar_json_open(&root, golden(name), 1 << 20));
    for (const ar_json *line = ar_json_get(root, "lines")->child; line; line = line->next) {
        const char *text = ar_json_get(line, "text")->valuestring;
        bool is_special = cJSON_IsTrue(ar_json_get(line, "special"));
        int32_t *ids;
        int64_t count, i = 0;
        if (is_special && !special) continue;
        assert_ok(ar_tokenizer_encode(t, &ids, &count, text, strlen(text), is_special));
        for (const ar_json *id = ar_json_get(line, "ids")->child; id; id = id->next, i++)
            if (i >= count || ids[i] != id->valueint)
                fail_msg("%s: \"%s\": id %d is %d, expected %d", name, text, (int)i, i < count ? ids[i] : -1,
                         id->valueint);
        if (i != count) fail_msg("%s: \"%s\": found %d ids, expected %d", name, text, (int)count, (int)i);
        free(ids);
        lines++;
    }
    assert_true(lines > 40);
    ar_json_close(root);
}

static void check_prefix(const ar_tokenizer *t, int32_t expected) {
    int32_t count;
    const int32_t *prefix = ar_tokenizer_prefix(&count, t);
    assert_int_equal(count, expected >= 0);
    if (expected >= 0) assert_int_equal(prefix[0], expected);
}

/* ---- tokenizer.model ---- */

#define DECODER                                                                                              \
    "{\"added_tokens_decoder\":{\"0\":{\"content\":\"<unk>\",\"special\":true},\"1\":{\"content\":\"<s>\","  \
    "\"special\":true},\"2\":{\"content\":\"</s>\",\"special\":true}}}"

static void models_encode_as_sentencepiece(void **state) {
    (void)state;
    static const struct {
        const char *config, *cases;
        int32_t bos;
        bool special;
    } rows[] = {{NULL, "spm.cases.json", 1, false},
                {"{}", "llama2.cases.json", 1, true},
                {"{\"legacy\":true,\"add_bos_token\":false}", "llama2.cases.json", -1, true},
                {"{\"legacy\":false,\"bos_token\":\"</s>\"}", "metaspace.cases.json", 2, true},
                {DECODER, "llama2.cases.json", 1, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *folder = temp_folder();
        ar_tokenizer *t;
        ar_notes notes = {0};
        copy_golden(folder, "spm.model", "tokenizer.model");
        if (rows[i].config) put_text(in_folder(folder, "tokenizer_config.json"), rows[i].config);
        assert_ok(open_folder(&t, &notes, folder, "LlamaTokenizer"));
        assert_non_null(t);
        check_cases(t, rows[i].cases, rows[i].special);
        check_prefix(t, rows[i].bos);
        assert_int_equal(notes.count, 0);
        ar_tokenizer_close(t);
        temp_remove(folder);
    }
}

static void check_ids(const ar_tokenizer *t, const char *text, const int32_t *want, int64_t want_count) {
    int32_t *ids;
    int64_t count;
    assert_ok(ar_tokenizer_encode(t, &ids, &count, text, strlen(text), true));
    for (int64_t i = 0; i < count && i < want_count; i++)
        if (ids[i] != want[i]) fail_msg("\"%s\": id %d is %d", text, (int)i, ids[i]);
    assert_int_equal(count, want_count);
    free(ids);
}

static ar_status open_with(ar_tokenizer **t, const char *folder, const char *config, const char *added) {
    ar_notes notes = {0};
    put_text(in_folder(folder, "tokenizer_config.json"), config);
    put_text(in_folder(folder, "added_tokens.json"), added);
    return open_folder(t, &notes, folder, "LlamaTokenizer");
}

/* By id, with flags and a hole before them; by text; as parts. Added tokens beyond the pieces. */
static void added_tokens_stand_beside(void **state) {
    (void)state;
    char *folder = temp_folder(), text[512];
    ar_tokenizer *t;
    copy_golden(folder, "spm.model", "tokenizer.model");
    assert_ok(open_with(&t, folder, "{}", "{}"));
    int32_t pieces = ar_tokenizer_vocab(t);
    ar_tokenizer_close(t);
    snprintf(text, sizeof text,
             "{\"added_tokens_decoder\":{\"%d\":{\"content\":\"<|im_start|>\",\"special\":true},\"%d\":{"
             "\"content\":\"<tool>\",\"rstrip\":true,\"special\":false}}}",
             (int)pieces + 2, (int)pieces);
    assert_ok(open_with(&t, folder, text, "{\"ignored\":3}"));
    assert_int_equal(ar_tokenizer_vocab(t), pieces + 3);
    assert_int_equal(ar_tokenizer_token_type(t, pieces), AR_TOKEN_USER);
    assert_int_equal(ar_tokenizer_token_type(t, pieces + 1), AR_TOKEN_UNUSED);
    assert_int_equal(ar_tokenizer_token_type(t, pieces + 2), AR_TOKEN_CONTROL);
    check_ids(t, "<tool>  <|im_start|><tool>", (const int32_t[]){pieces, pieces + 2, pieces}, 3);
    ar_tokenizer_close(t);
    snprintf(text, sizeof text, "{\"<tool>\":%d,\"<pad>\":%d}", (int)pieces, (int)pieces + 1);
    assert_ok(open_with(&t, folder, "{\"pad_token\":\"<pad>\"}", text));
    assert_int_equal(ar_tokenizer_token_type(t, pieces), AR_TOKEN_USER);
    assert_int_equal(ar_tokenizer_token_type(t, pieces + 1), AR_TOKEN_CONTROL);
    ar_tokenizer_close(t);
    assert_error(open_with(&t, folder, "{}", "{\"<s>\":2}"), AR_ERR_FORMAT,
                 "id 2: found \"</s>\" and \"<s>\"");
    assert_error(open_with(&t, folder, "{}", "{\"<x>\":1e9}"), AR_ERR_FORMAT, "added_tokens.json");
    assert_error(open_with(&t, folder, "{}", "[7]"), AR_ERR_FORMAT, "added_tokens.json");
    assert_error(open_with(&t, folder, "{\"added_tokens_decoder\":{\"x\":{\"content\":\"y\"}}}", "{}"),
                 AR_ERR_FORMAT, "added_tokens_decoder");
    temp_remove(folder);
}

/* Each as special as any, however many there are. */
static void many_added_tokens_are_read(void **state) {
    (void)state;
    enum { COUNT = 40000 };
    char *folder = temp_folder(), *config = malloc(COUNT * 80 + 64), *end = config;
    ar_tokenizer *t;
    copy_golden(folder, "spm.model", "tokenizer.model");
    assert_ok(open_with(&t, folder, "{}", "{}"));
    int32_t pieces = ar_tokenizer_vocab(t);
    ar_tokenizer_close(t);
    end += sprintf(end, "{\"added_tokens_decoder\":{");
    for (int i = 0; i < COUNT; i++)
        end +=
            sprintf(end, "%s\"%d\":{\"content\":\"<%d>\",\"rstrip\":true}", i ? "," : "", (int)pieces + i, i);
    end += sprintf(end, "},\"additional_special_tokens\":[");
    for (int i = 0; i < COUNT; i++) end += sprintf(end, "%s\"<%d>\"", i ? "," : "", i);
    strcpy(end, "]}");
    assert_ok(open_with(&t, folder, config, "{}"));
    assert_int_equal(ar_tokenizer_vocab(t), pieces + COUNT);
    assert_int_equal(ar_tokenizer_token_type(t, pieces + COUNT - 1), AR_TOKEN_CONTROL);
    check_ids(t, "<7>  <39999>", (const int32_t[]){pieces + 7, pieces + 39999}, 2);
    ar_tokenizer_close(t);
    free(config);
    temp_remove(folder);
}

/* ---- what a model may say ---- */

typedef struct pb {
    uint8_t data[256];
    size_t used;
} pb;

static void put_bytes(pb *m, int field, const void *data, size_t bytes) {
    m->data[m->used++] = (uint8_t)(field << 3 | 2);
    m->data[m->used++] = (uint8_t)bytes;
    if (bytes) memcpy(m->data + m->used, data, bytes);
    m->used += bytes;
}

static void put_number(pb *m, int field, uint8_t value) {
    if (field > 15) m->data[m->used++] = (uint8_t)((field << 3 & 127) | 128);
    m->data[m->used++] = (uint8_t)(field > 15 ? field >> 4 : field << 3);
    m->data[m->used++] = value;
}

static ar_status read_made(const pb *trainer, const pb *normalizer, ar_tokenizer_data *d) {
    pb m = {.used = 0}, piece = {.used = 0};
    ar__token_list l = {0};
    bool fallback;
    char name[] = "x.model";
    put_bytes(&piece, 1, "a", 1);
    put_bytes(&m, 1, piece.data, piece.used);
    put_bytes(&m, 2, trainer->data, trainer->used);
    if (normalizer) put_bytes(&m, 3, normalizer->data, normalizer->used);
    ar_file f = {m.data, m.used, name};
    ar_status status = ar__spm_read(&l, d, &fallback, &f);
    ar__token_list_deinit(&l);
    return status;
}

static void other_models_are_named(void **state) {
    (void)state;
    static const struct {
        int field;
        uint8_t value;
        bool of_normalizer;
        const char *part;
    } rows[] = {{3, 1, false, "a Unigram model"},       {3, 3, false, "a word model"},
                {3, 4, false, "a character model"},     {3, 9, false, "another model"},
                {24, 1, false, "at the ends of words"}, {4, 1, true, "extra spaces go"},
                {5, 0, true, "spaces as they are"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pb trainer = {.used = 0}, normalizer = {.used = 0};
        ar_tokenizer_data d = {0};
        put_number(&trainer, 3, 2);
        put_number(rows[i].of_normalizer ? &normalizer : &trainer, rows[i].field, rows[i].value);
        assert_error(read_made(&trainer, &normalizer, &d), AR_ERR_UNSUPPORTED, rows[i].part);
    }
    pb trainer = {.used = 0}, normalizer = {.used = 0};
    ar_tokenizer_data d = {0};
    assert_error(read_made(&trainer, NULL, &d), AR_ERR_UNSUPPORTED,
                 "a Unigram model"); /* where it is not said */
    put_number(&trainer, 3, 2);
    assert_ok(read_made(&trainer, NULL, &d));
    assert_true(d.add_prefix_space);
    put_number(&normalizer, 3, 0);
    assert_ok(read_made(&trainer, &normalizer, &d));
    assert_false(d.add_prefix_space);
    put_bytes(&normalizer, 1, "nmt_nfkc", 8);
    put_bytes(&normalizer, 2, "rules", 5);
    assert_error(read_made(&trainer, &normalizer, &d), AR_ERR_UNSUPPORTED, "a normalization (nmt_nfkc)");
}

static ar_status read_copy(const uint8_t *data, uint64_t bytes) {
    ar__token_list l = {0};
    ar_tokenizer_data d = {0};
    bool fallback;
    char name[] = "x.model";
    uint8_t *copy = malloc(bytes ? (size_t)bytes : 1); /* exact, so that a sanitizer sees one byte too far */
    memcpy(copy, data, (size_t)bytes);
    ar_file f = {copy, bytes, name};
    ar_status status = ar__spm_read(&l, &d, &fallback, &f);
    ar__token_list_deinit(&l);
    free(copy);
    return status;
}

/* Cut anywhere it is refused, but behind the trainer's part; no changed bit leads astray. */
static void damaged_models_are_refused(void **state) {
    (void)state;
    ar_file whole;
    int accepted = 0;
    assert_ok(ar_file_open(&whole, golden("spm.model")));
    for (uint64_t n = 0; n < whole.bytes; n += n + 300 < whole.bytes ? 61 : 1) {
        ar_status status = read_copy(whole.data, n);
        accepted += status == AR_OK;
        assert_true(status == AR_OK || status == AR_ERR_FORMAT);
    }
    assert_int_equal(accepted, 1);
    uint8_t *changed = malloc((size_t)whole.bytes);
    memcpy(changed, whole.data, (size_t)whole.bytes);
    for (uint64_t i = 0; i < whole.bytes; i += 7) {
        changed[i] ^= (uint8_t)(1 << i % 8);
        ar_status status = read_copy(changed, whole.bytes);
        assert_true(status == AR_OK || status == AR_ERR_FORMAT || status == AR_ERR_UNSUPPORTED);
        changed[i] ^= (uint8_t)(1 << i % 8);
    }
    free(changed);
    ar_file_close(&whole);
}

/* ---- vocab.json and merges.txt ---- */

static void put_gpt2(const char *folder, const char *name) {
    char path[64], *text;
    ar_json *root;
    snprintf(path, sizeof path, "%s.json", name);
    assert_ok(ar_json_open(&root, golden(path), 1 << 20));
    const ar_json *model = ar_json_get(root, "model");
    text = cJSON_Print(ar_json_get(model, "vocab"));
    put_text(in_folder(folder, "vocab.json"), text);
    free(text);
    FILE *f = fopen(in_folder(folder, "merges.txt"), "wb");
    assert_non_null(f);
    fprintf(f, "#version: 0.2\n");
    for (const ar_json *m = ar_json_get(model, "merges")->child; m; m = m->next)
        fprintf(f, "%s %s\r\n", m->child->valuestring, m->child->next->valuestring);
    fclose(f);
    ar_json_close(root);
}

#define MARKS                                                                                                \
    "\"816\":{\"content\":\"<|begin|>\",\"special\":true},\"817\":{\"content\":\"<|end|>\",\"special\":"     \
    "true}"
#define GPT2_ADDED  "\"added_tokens_decoder\":{" MARKS "}"
#define QWEN2_ADDED "\"added_tokens_decoder\":{" MARKS ",\"818\":{\"content\":\"<tool>\",\"special\":false}}"

static void vocab_and_merges_are_read(void **state) {
    (void)state;
    static const struct {
        const char *name, *config, *class;
        int32_t bos;
        int notes;
    } rows[] = {
        {"gpt2", "{" GPT2_ADDED "}", "GPT2Tokenizer", -1, 0},
        {"gpt2", "{\"tokenizer_class\":\"GPT2TokenizerFast\"," GPT2_ADDED "}", "Qwen2Tokenizer", -1, 0},
        {"gpt2", "{\"add_bos_token\":true,\"bos_token\":{\"content\":\"<|begin|>\"}," GPT2_ADDED "}",
         "GPT2Tokenizer", 816, 0},
        {"gpt2", "{\"tokenizer_class\":\"LlamaTokenizer\"," GPT2_ADDED "}", "GPT2Tokenizer", -1, 1},
        {"qwen2", "{\"tokenizer_class\":\"Qwen2Tokenizer\"," QWEN2_ADDED "}", "GPT2Tokenizer", -1, 0},
        {"qwen2", "{" QWEN2_ADDED "}", "Qwen2Tokenizer", -1, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *folder = temp_folder(), cases[64];
        ar_tokenizer *t;
        ar_notes notes = {0};
        put_gpt2(folder, rows[i].name);
        put_text(in_folder(folder, "tokenizer_config.json"), rows[i].config);
        assert_ok(open_folder(&t, &notes, folder, rows[i].class));
        assert_non_null(t);
        snprintf(cases, sizeof cases, "%s.cases.json", rows[i].name);
        check_cases(t, cases, true);
        check_prefix(t, rows[i].bos);
        assert_int_equal(notes.count, rows[i].notes);
        ar_notes_deinit(&notes);
        ar_tokenizer_close(t);
        temp_remove(folder);
    }
}

static void bad_vocab_and_merges_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *vocab, *merges, *part;
    } rows[] = {{"[]", "", "expected tokens with their ids"},
                {"{}", "", "expected tokens with their ids"},
                {"{\"a\":-1}", "", "id of token \"a\": found -1"},
                {"{\"a\":0,\"b\":0}", "", "id 0: found \"a\" and \"b\""},
                {"{\"a\":0,\"b\":1}", "a b\n", "\"ab\""},
                {"{\"a\":0,\"b\":1,\"ab\":2}", "a  b\n", "merge 0"},
                {"{\"a\":0,\"b\":1,\"ab\":2}", "ab\n", "merge 0"},
                {"{\"a\":0", "", "vocab.json"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *folder = temp_folder();
        ar_tokenizer *t;
        ar_notes notes = {0};
        put_text(in_folder(folder, "vocab.json"), rows[i].vocab);
        put_text(in_folder(folder, "merges.txt"), rows[i].merges);
        assert_error(open_folder(&t, &notes, folder, "GPT2Tokenizer"), AR_ERR_FORMAT, rows[i].part);
        assert_null(t);
        temp_remove(folder);
    }
}

/* ---- which file ---- */

static void other_forms_are_remarked(void **state) {
    (void)state;
    static const char *const files[] = {"spiece.model", "vocab.txt", "vocab.json", "tokenizer.tiktoken",
                                        "tekken.json"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *folder = temp_folder(), *path;
        ar_tokenizer *t;
        ar_notes notes = {0};
        put_text(in_folder(folder, files[i]), "x");
        assert_ok(ar__tokenizer_open_folder(&t, &path, &notes, folder, "LlamaTokenizer"));
        assert_null(t);
        assert_non_null(path);
        assert_int_equal(notes.count, 1);
        assert_non_null(strstr(notes.lines[0], files[i]));
        ar_notes_deinit(&notes);
        free(path);
        temp_remove(folder);
    }
    char *folder = temp_folder(), *path;
    ar_tokenizer *t;
    ar_notes notes = {0};
    assert_ok(ar__tokenizer_open_folder(&t, &path, &notes, folder, "LlamaTokenizer"));
    assert_null(t);
    assert_null(path);
    assert_int_equal(notes.count, 0);
    copy_golden(folder, "spm.model", "tokenizer.model");
    copy_golden(folder, "gpt2.json", "tokenizer.json"); /* which comes first */
    assert_ok(open_folder(&t, &notes, folder, "LlamaTokenizer"));
    assert_int_equal(ar_tokenizer_get_kind(t), AR_TOK_BYTE_BPE);
    ar_tokenizer_close(t);
    temp_remove(folder);
}

static void opening_survives_every_failed_allocation(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        char *folder = temp_folder();
        ar_status status = AR_ERR_MEMORY;
        int32_t n = 0;
        if (kind == 0) copy_golden(folder, "spm.model", "tokenizer.model");
        if (kind == 1) put_gpt2(folder, "gpt2");
        put_text(in_folder(folder, "tokenizer_config.json"),
                 kind == 0 ? "{\"legacy\":false}" : "{" GPT2_ADDED "}");
        while (status == AR_ERR_MEMORY && n < 100000) {
            ar_tokenizer *t = NULL;
            ar_notes notes = {0};
            ar__alloc_fail_at(++n);
            status = open_folder(&t, &notes, folder, "GPT2Tokenizer");
            ar__alloc_fail_at(0);
            ar_tokenizer_close(t);
            ar_notes_deinit(&notes);
        }
        assert_int_equal(status, AR_OK);
        assert_true(n > 20);
        temp_remove(folder);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(models_encode_as_sentencepiece),
                                       cmocka_unit_test(added_tokens_stand_beside),
                                       cmocka_unit_test(many_added_tokens_are_read),
                                       cmocka_unit_test(other_models_are_named),
                                       cmocka_unit_test(damaged_models_are_refused),
                                       cmocka_unit_test(vocab_and_merges_are_read),
                                       cmocka_unit_test(bad_vocab_and_merges_are_refused),
                                       cmocka_unit_test(other_forms_are_remarked),
                                       cmocka_unit_test(opening_survives_every_failed_allocation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
