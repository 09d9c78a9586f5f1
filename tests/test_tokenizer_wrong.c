/* host/text on bad tokenizer files and bad texts, and on tokenizers that other files store. */
#include "small_tokenizers.h"

/* ---- bad input ---- */

static void repaired_text_is_utf8_without_nul(void **state) {
    (void)state;
    const struct {
        const char *text;
        size_t bytes;
        const char *expected;
    } cases[] = {{"a\xc3\xa9", 3, "a\xc3\xa9"},
                 {"a\xc3", 2, "a\xef\xbf\xbd"},
                 {"\xa9z", 2, "\xef\xbf\xbdz"},
                 {"\0", 1, "\xef\xbf\xbd"},
                 {"\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
                 {"", 0, ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *out = NULL;
        assert_ok(ar__utf8_repair(&out, cases[i].text, cases[i].bytes));
        assert_string_equal(out, cases[i].expected);
        free(out);
    }
}

static void invalid_utf8_is_refused_with_its_offset(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *offset;
    } rows[] = {
        {"a\x80", "byte 1:"},         {"\xff", "byte 0:"},          {"ab\xc3", "byte 2:"},
        {"\xc0\x80", "byte 0:"},      {"\xed\xa0\x80", "byte 0:"},  {"\xf4\x90\x80\x80", "byte 0:"},
        {"\xe0\x80\x80x", "byte 0:"}, {"é\xf0\x9f\x98", "byte 2:"},
    };
    ar_tokenizer *t;
    assert_ok(parse_with(&t, UNK, VOCAB, MERGES, "", LEGACY));
    int32_t *ids = NULL;
    int64_t count;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_error(ar_tokenizer_encode(t, &ids, &count, rows[i].text, strlen(rows[i].text), false),
                     AR_ERR_FORMAT, rows[i].offset);
    assert_null(ids);
    ar_tokenizer_close(t);
}

static void wrong_files_are_refused_by_name(void **state) {
    (void)state;
    static const struct {
        const char *json, *part;
    } rows[] = {
        {"[]", "top level"},
        {"{}", "model"},
        {"{\"model\":7}", "model"},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[]}}", "Unigram"},
        {"{\"model\":{\"type\":\"WordPiece\",\"vocab\":{}}}", "WordPiece"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":[],\"merges\":[]}}", "model.vocab"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}}", "no token"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}}}", "model.merges"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":{}}}", "model.merges"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":\"0\"},\"merges\":[]}}", "\"a\""},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}", "-1"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0.5},\"merges\":[]}}", "0.5"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":1e300},\"merges\":[]}}", "id of token"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":4194304},\"merges\":[]}}", "4194304"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}}", "already"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1},\"merges\":[\"a b\"]}}", "\"ab\""},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1},\"merges\":[\"a c\"]}}", "\"c\""},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a\"]}}", "merge 0"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a a a\"]}}", "merge 0"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[[\"a\"]]}}", "merge 0"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[7]}}", "merge 0"},
        {"{\"model\":{\"type\":\"BPE\",\"unk_token\":\"u\",\"vocab\":{\"a\":0},\"merges\":[]}}", "unk_token"},
        {"{\"model\":{\"type\":\"BPE\",\"dropout\":0.1,\"vocab\":{\"a\":0},\"merges\":[]}}", "dropout"},
        {"{\"model\":{\"type\":\"BPE\",\"end_of_word_suffix\":\"</w>\",\"vocab\":{\"a\":0},\"merges\":[]}}",
         "</w>"},
        {"{\"model\":{\"type\":\"BPE\",\"fuse_unk\":1,\"vocab\":{\"a\":0},\"merges\":[]}}", "fuse_unk"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ar_tokenizer *t;
        assert_error(ar_tokenizer_parse(&t, rows[i].json, strlen(rows[i].json), "test"), AR_ERR_FORMAT,
                     rows[i].part);
        assert_null(t);
    }
}

static void wrong_stages_and_added_tokens_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *stages, *added, *part;
    } rows[] = {
        {"\"normalizer\":{\"type\":\"Lowercase\"},", "", "Lowercase"},
        {"\"normalizer\":{\"type\":\"Sequence\"},", "", "normalizers"},
        {"\"normalizer\":7,", "", "normalizer"},
        {"\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\" +\"},\"content\":\"\"},", "", " +"},
        {"\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},\"content\":\"\"},", "",
         "pattern"},
        {"\"pre_tokenizer\":{\"type\":\"Whitespace\"},", "", "Whitespace"},
        {"\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\"},", "", "\"_\""},
        {"\"pre_tokenizer\":{\"type\":\"Metaspace\",\"prepend_scheme\":\"often\"},", "", "often"},
        {"\"pre_tokenizer\":{\"type\":\"Metaspace\",\"add_prefix_space\":false,\"prepend_scheme\":\"always\"}"
         ",",
         "", "never"},
        {SPLIT_THEN_BYTES("("), "", "pattern"},
        {SPLIT_THEN_BYTES("a\\\\X"), "", "at 1: found \"\\X\", expected an escape"},
        {"\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\"},\"behavior\":\"Glued\"},", "",
         "Glued"},
        {"\"decoder\":{\"type\":\"WordPiece\"},", "", "WordPiece"},
        {"\"decoder\":{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0},", "", "Fuse"},
        {"", "7", "element"},
        {"", "{\"id\":0}", "content"},
        {"", "{\"content\":\"x\"}", "id"},
        {"", "{\"id\":-1,\"content\":\"x\"}", "id"},
        {"", "{\"id\":1e9,\"content\":\"x\"}", "id"},
        {"", "{\"id\":1,\"content\":\"x\"}", "already"},
        {"", "{\"id\":2,\"content\":\"a\"}", "id 2"},
        {"", "{\"id\":10,\"content\":\"x\",\"special\":\"yes\"}", "special"},
        {"", "{\"id\":10,\"content\":\"x\"},{\"id\":10,\"content\":\"x\"}", "both"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ar_tokenizer *t;
        assert_error(parse_with(&t, UNK, VOCAB, MERGES, rows[i].added, rows[i].stages), AR_ERR_FORMAT,
                     rows[i].part);
        assert_null(t);
    }
}

static const char whole[] =
    "{\"added_tokens\":[{\"id\":3,\"content\":\"<s>\",\"special\":true}],\"normalizer\":{\"type\":"
    "\"Sequence\",\"normalizers\":"
    "[{\"type\":\"NFC\"},{\"type\":\"Replace\",\"pattern\":{\"String\":\"é\"},\"content\":\"e\"}]},\"pre_"
    "tokenizer\":{\"type\":"
    "\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\s+|\\\\w\"},"
    "\"behavior\":\"MergedWithNext\"},"
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}]},\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{"
    "\"type\":\"BPE\","
    "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"],\"ignore_merges\":true}}";

static void every_truncation_is_refused(void **state) {
    (void)state;
    ar_tokenizer *t;
    for (size_t bytes = 0; bytes < sizeof whole - 1; bytes++) {
        char *prefix = malloc(bytes + !bytes);
        memcpy(prefix, whole, bytes);
        assert_int_equal(ar_tokenizer_parse(&t, prefix, bytes, "test"), AR_ERR_FORMAT);
        assert_null(t);
        free(prefix);
    }
    assert_ok(ar_tokenizer_parse(&t, whole, sizeof whole - 1, "test"));
    ar_tokenizer_close(t);
    assert_error(ar_tokenizer_open(&t, "tests/no-such-tokenizer.json"), AR_ERR_IO, "no-such");
}

static void deep_nesting_is_refused(void **state) {
    (void)state;
    char *json = malloc(600001);
    size_t n = 0;
    for (int i = 0; i < 100000; i++) n += (size_t)sprintf(json + n, "%s", "{\"a\":");
    ar_tokenizer *t;
    assert_error(ar_tokenizer_parse(&t, json, n, "test"), AR_ERR_FORMAT, "deep");
    free(json);
}

/* Everything that allocates, with the n-th allocation failing, n = 1, 2, … until it succeeds. */
static void failed_allocations_come_back_as_such(void **state) {
    (void)state;
    const char *text = "ab <s>e\xcc\x81 ab\xe2\x84\xab";
    bool done = false;
    int32_t n = 1;
    for (; !done && n < 1000; n++) {
        ar_tokenizer *t = NULL;
        int32_t *ids = NULL;
        int64_t count = 0;
        char *back = NULL;
        size_t bytes;
        ar__alloc_fail_at(n);
        ar_status status = ar_tokenizer_parse(&t, whole, sizeof whole - 1, "test");
        if (status == AR_OK) status = ar_tokenizer_encode(t, &ids, &count, text, strlen(text), true);
        if (status == AR_OK) status = ar_tokenizer_decode(t, &back, &bytes, ids, count, true, false);
        done = status == AR_OK;
        if (!done) assert_int_equal(status, AR_ERR_MEMORY);
        ar__alloc_fail_at(0);
        free(back);
        free(ids);
        ar_tokenizer_close(t);
    }
    assert_true(done && n > 15);
}

/* ---- tokenizers stored elsewhere ---- */

static const char *const stored[] = {"<unk>", "<s>", "a",   "b",      "c",      "\xe2\x96\x81",
                                     "ab",    "bc",  "abc", "<0xC3>", "<0xA9>", "hey"};
static const float stored_scores[] = {0, 0, -10, -11, -12, -13, -2, -1, -3, 0, 0, -1000};
static const int32_t stored_types[] = {2, 3, 1, 1, 1, 1, 1, 1, 1, 6, 6, 4};
#define STORED_COUNT ((int32_t)(sizeof stored / sizeof *stored))

static void built_from_scores(void **state) {
    (void)state;
    size_t bytes[STORED_COUNT];
    for (int i = 0; i < STORED_COUNT; i++) bytes[i] = strlen(stored[i]);
    ar_tokenizer_data d = {.kind = AR_TOK_SPM,
                           .pre = "default",
                           .count = STORED_COUNT,
                           .tokens = stored,
                           .token_bytes = bytes,
                           .scores = stored_scores,
                           .types = stored_types,
                           .add_prefix_space = true,
                           .bos = 1,
                           .eos = -1,
                           .unk = -1};
    ar_tokenizer *t;
    assert_ok(ar_tokenizer_build(&t, &d));
    CHECK_IDS(t, "ab", false, 5, 6);
    CHECK_IDS(t, "abc", false, 5, 8); /* "bc" first, which then joins "a" */
    CHECK_IDS(t, "é<s>zz", false, 5, 9, 10, 0);
    CHECK_IDS(t, "<s>ab", true, 1, 5, 6);
    CHECK_IDS(t, "hey", false, 11); /* user-defined: always */
    CHECK_TEXT(t, "ab\xc3\xa9", true, true, 1, 5, 6, 9, 10);
    assert_int_equal(ar_tokenizer_unk(t), 0); /* by its type */
    assert_int_equal(ar_tokenizer_bos(t), 1);
    assert_int_equal(ar_tokenizer_merge_count(t), 0); /* none were stored */
    assert_true(ar_tokenizer_score(t, 7) == -1.0f);
    ar_tokenizer_close(t);
    static const char *const merges[] = {"a b", "ab c"};
    d.merges = merges;
    d.merge_count = 2;
    assert_ok(ar_tokenizer_build(&t, &d)); /* merges win over scores */
    CHECK_IDS(t, "abcbc", false, 5, 8, 3, 4);
    assert_int_equal(ar_tokenizer_merge_count(t), 2);
    ar_tokenizer_close(t);
    bool done = false;
    for (int32_t n = 1; !done && n < 100; n++) {
        ar__alloc_fail_at(n);
        ar_status status = ar_tokenizer_build(&t, &d);
        ar__alloc_fail_at(0);
        done = status == AR_OK;
        if (!done) assert_int_equal(status, AR_ERR_MEMORY);
    }
    ar_tokenizer_close(t);
}

static void bad_stored_data_is_refused(void **state) {
    (void)state;
    size_t bytes[STORED_COUNT];
    const char *tokens[STORED_COUNT];
    float scores[STORED_COUNT];
    int32_t types[STORED_COUNT];
    static const char *const no_merge[] = {"a z"};
    for (int bad = 0; bad < 8; bad++) {
        memcpy(tokens, stored, sizeof tokens);
        memcpy(scores, stored_scores, sizeof scores);
        memcpy(types, stored_types, sizeof types);
        ar_tokenizer_data d = {.kind = AR_TOK_SPM,
                               .count = STORED_COUNT,
                               .tokens = tokens,
                               .token_bytes = bytes,
                               .scores = scores,
                               .types = types,
                               .bos = -1,
                               .eos = -1,
                               .unk = -1};
        if (bad == 0) d.count = 0;
        if (bad == 1) scores[3] = NAN;
        if (bad == 2) types[3] = 7;
        if (bad == 3) tokens[3] = "a";
        if (bad == 4) tokens[3] = "\xff";
        if (bad == 5) d.scores = NULL;
        if (bad == 6) d.merges = no_merge, d.merge_count = 1;
        if (bad == 7) d.kind = AR_TOK_BYTE_BPE, d.pre = "tekken";
        for (int i = 0; i < STORED_COUNT; i++) bytes[i] = strlen(tokens[i]);
        ar_tokenizer *t;
        assert_error(ar_tokenizer_build(&t, &d), AR_ERR_FORMAT, bad == 7 ? "tekken" : "tokenizer");
        assert_null(t);
        d.what = "x.gguf"; /* every error names the file */
        assert_error(ar_tokenizer_build(&t, &d), AR_ERR_FORMAT, "x.gguf: ");
    }
}

/* Each step writes thirty letters for one. */
static void normalizers_that_never_end_are_refused(void **state) {
    (void)state;
    char stages[4096] = "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[";
    ar_tokenizer *t;
    int32_t *ids;
    int64_t count;
    for (int i = 0; i < 16; i++)
        sprintf(stages + strlen(stages),
                "%s{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"%s\"}", i ? "," : "",
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    strcat(stages, "]},");
    assert_ok(parse_with(&t, UNK, VOCAB, MERGES, "", stages));
    assert_error(ar_tokenizer_encode(t, &ids, &count, "a cab", 5, false), AR_ERR_UNSUPPORTED,
                 "found more than 4416 bytes after normalization");
    assert_ok(ar_tokenizer_encode(t, &ids, &count, "c", 1, false));
    free(ids);
    ar_tokenizer_close(t);
}

static void long_patterns_are_refused(void **state) {
    (void)state;
    static const char part[] = "[a[:b]]",
                      head[] = "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]},"
                               "\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Isolated\","
                               "\"pattern\":{\"Regex\":\"";
    enum { PARTS = 400000 };
    size_t each = sizeof part - 1, bytes = sizeof head - 1 + PARTS * each;
    char *json = malloc(bytes + 8);
    ar_tokenizer *t;
    memcpy(json, head, sizeof head - 1);
    for (size_t i = 0; i < PARTS; i++) memcpy(json + sizeof head - 1 + i * each, part, each);
    memcpy(json + bytes, "\"}}}", 5);
    assert_error(ar_tokenizer_parse(&t, json, bytes + 4, "test"), AR_ERR_FORMAT,
                 "found a pattern of 2800000 bytes, expected at most");
    free(json);
}

/* Scores say by themselves what merges make a token: every way to cut it in two is looked up. */
static void long_stored_tokens_are_refused(void **state) {
    (void)state;
    enum { BYTES = 1 << 20 };
    char *longest = malloc(BYTES + 1);
    memset(longest, 'a', BYTES);
    longest[BYTES] = 0;
    const char *tokens[] = {"<unk>", "a", longest};
    size_t bytes[] = {5, 1, BYTES};
    const float scores[] = {0, -1, -2};
    ar_tokenizer_data d = {.kind = AR_TOK_SPM,
                           .count = 3,
                           .tokens = tokens,
                           .token_bytes = bytes,
                           .scores = scores,
                           .bos = -1,
                           .eos = -1,
                           .unk = 0};
    ar_tokenizer *t;
    assert_error(ar_tokenizer_build(&t, &d), AR_ERR_FORMAT, "token 2: found 1048576 bytes, expected at most");
    bytes[2] = 1024;
    assert_ok(ar_tokenizer_build(&t, &d));
    ar_tokenizer_close(t);
    free(longest);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repaired_text_is_utf8_without_nul),
        cmocka_unit_test(invalid_utf8_is_refused_with_its_offset),
        cmocka_unit_test(wrong_files_are_refused_by_name),
        cmocka_unit_test(wrong_stages_and_added_tokens_are_refused),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(failed_allocations_come_back_as_such),
        cmocka_unit_test(built_from_scores),
        cmocka_unit_test(bad_stored_data_is_refused),
        cmocka_unit_test(normalizers_that_never_end_are_refused),
        cmocka_unit_test(long_patterns_are_refused),
        cmocka_unit_test(long_stored_tokens_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
