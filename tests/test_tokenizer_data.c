/* Tokenizers against independent results: Hugging Face's tokenizers library on small ones of our own
 * (tests/golden/make_tokenizers.py, make_vocabularies.py), llama.cpp's vectors and published counts on real
 * ones (shared data). Includes host's internal header, to write a tokenizer. */
#include "temp_files.h"
#include "tokenizer.h"
#include <cjson/cJSON.h>

static void check(const ar_tokenizer *t, const char *text, size_t bytes, bool special,
                  const int32_t *expected, int64_t count, const char *what) {
    int32_t *ids;
    int64_t found;
    assert_ok(ar_tokenizer_encode(t, &ids, &found, text, bytes, special));
    int64_t same = 0;
    while (same < found && same < count && ids[same] == expected[same]) same++;
    if (same < found || same < count)
        fail_msg("%s: found %d ids, expected %d, equal up to %d, of:\n%s", what, (int)found, (int)count,
                 (int)same, text);
    free(ids);
}

/* ---- golden: our own small tokenizers ---- */

static void check_golden(const char *name) {
    char path[256], what[300];
    ar_tokenizer *t;
    ar_json *cases;
    snprintf(path, sizeof path, "tests/golden/tokenizers/%s.json", name);
    assert_ok(ar_tokenizer_open(&t, path));
    snprintf(path, sizeof path, "tests/golden/tokenizers/%s.cases.json", name);
    assert_ok(ar_json_open(&cases, path, 1 << 20));
    int count = cJSON_GetArraySize(cases);
    assert_true(count > 40);
    for (int i = 0; i < count; i++) {
        const ar_json *one = cJSON_GetArrayItem(cases, i), *ids = ar_json_get(one, "ids");
        const char *text = ar_json_get(one, "text")->valuestring;
        int32_t expected[1024];
        int expected_count = cJSON_GetArraySize(ids);
        for (int j = 0; j < expected_count; j++) expected[j] = cJSON_GetArrayItem(ids, j)->valueint;
        snprintf(what, sizeof what, "%s case %d", name, i);
        check(t, text, strlen(text), cJSON_IsTrue(ar_json_get(one, "special")), expected, expected_count,
              what);
    }
    ar_json_close(cases);
    ar_tokenizer_close(t);
}

static void golden_tokenizers_agree(void **state) {
    (void)state;
    static const char *const names[] = {"llama3", "qwen2",     "gpt2",    "smollm",
                                        "legacy", "metaspace", "nobytes", "halfbytes"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) check_golden(names[i]);
}

/* ---- the arrays that GGUF keeps ---- */

typedef struct gguf_arrays {
    ar_tokenizer_data d;
    const char **tokens;
    size_t *bytes;
    float *scores;
    int32_t *types;
    char **merges;
} gguf_arrays;

static void take_arrays(gguf_arrays *a, const ar_tokenizer *t) {
    int32_t count = ar_tokenizer_vocab(t);
    int64_t merge_count = ar_tokenizer_merge_count(t);
    bool spm = ar_tokenizer_get_kind(t) == AR_TOK_SPM;
    *a = (gguf_arrays){.tokens = calloc((size_t)count, sizeof *a->tokens),
                       .bytes = calloc((size_t)count, sizeof *a->bytes),
                       .scores = calloc((size_t)count, sizeof *a->scores),
                       .types = calloc((size_t)count, sizeof *a->types),
                       .merges = calloc((size_t)merge_count, sizeof *a->merges)};
    for (int32_t i = 0; i < count; i++) {
        a->tokens[i] = ar_tokenizer_token(t, i, &a->bytes[i]);
        a->scores[i] = ar_tokenizer_score(t, i);
        a->types[i] = (int32_t)ar_tokenizer_token_type(t, i);
    }
    for (int64_t i = 0; i < merge_count; i++) {
        const char *left, *right;
        assert_ok(ar_tokenizer_merge(t, &left, &right, i));
        size_t room = strlen(left) + strlen(right) + 2;
        a->merges[i] = malloc(room);
        snprintf(a->merges[i], room, "%s %s", left, right);
    }
    a->d = (ar_tokenizer_data){.kind = ar_tokenizer_get_kind(t),
                               .pre = ar_tokenizer_pre(t),
                               .count = count,
                               .tokens = a->tokens,
                               .token_bytes = a->bytes,
                               .scores = spm ? a->scores : NULL,
                               .types = a->types,
                               .merges = spm ? NULL : (const char *const *)a->merges,
                               .merge_count = spm ? 0 : merge_count,
                               .add_prefix_space = ar_tokenizer_adds_prefix_space(t),
                               .bos = -1,
                               .eos = -1,
                               .unk = ar_tokenizer_unk(t)};
}

static void free_arrays(gguf_arrays *a, int64_t merge_count) {
    for (int64_t i = 0; i < merge_count; i++) free(a->merges[i]);
    free(a->merges);
    free(a->tokens);
    free(a->bytes);
    free(a->scores);
    free(a->types);
}

/* ---- golden: vocabularies of the published kinds ---- */

static const char *const vocabularies[] = {"gpt2", "llama3", "qwen2", "llama2", "metaspace"};
#define VOCABULARIES 5
#define EXPRESSIBLE  4 /* in GGUF's arrays: they have no mark for the first word alone */

static ar_json *vocabulary(ar_tokenizer **t, const char *name) {
    char path[256];
    ar_json *cases;
    snprintf(path, sizeof path, "tests/golden/vocabularies/%s.json", name);
    assert_ok(ar_tokenizer_open(t, path));
    snprintf(path, sizeof path, "tests/golden/vocabularies/%s.cases.json", name);
    assert_ok(ar_json_open(&cases, path, 1 << 20));
    assert_true(cJSON_GetArraySize(ar_json_get(cases, "lines")) > 80);
    return cases;
}

static void check_decoded(const ar_tokenizer *t, const int32_t *ids, int count, const ar_json *line,
                          bool plain, const char *what) {
    char *text;
    size_t bytes;
    const char *expected = ar_json_get(line, plain ? "plain" : "decoded")->valuestring;
    assert_ok(ar_tokenizer_decode(t, &text, &bytes, ids, count, true, plain));
    if (bytes != strlen(expected) || strcmp(text, expected) != 0)
        fail_msg("%s: found \"%s\", expected \"%s\"", what, text, expected);
    free(text);
}

static void check_lines(const ar_tokenizer *t, const ar_json *cases, const char *name) {
    int number = 0;
    for (const ar_json *line = ar_json_get(cases, "lines")->child; line; line = line->next) {
        const ar_json *list = ar_json_get(line, "ids");
        const char *text = ar_json_get(line, "text")->valuestring;
        int32_t ids[1024];
        int count = 0;
        char what[300];
        snprintf(what, sizeof what, "%s line %d", name, number++);
        for (const ar_json *id = list->child; id; id = id->next) ids[count++] = id->valueint;
        check(t, text, strlen(text), cJSON_IsTrue(ar_json_get(line, "special")), ids, count, what);
        check_decoded(t, ids, count, line, false, what);
        check_decoded(t, ids, count, line, true, what);
    }
}

static void check_whole(const ar_tokenizer *t, const ar_json *whole, const char *name) {
    char *text, found[32];
    size_t bytes;
    int32_t *ids;
    int64_t count, unk = 0;
    uint64_t hash = 0xcbf29ce484222325u;
    assert_ok(ar_file_read_text(&text, &bytes, "LICENSE", 1 << 20));
    assert_ok(ar_tokenizer_encode(t, &ids, &count, text, bytes, false));
    for (int64_t i = 0; i < count; i++) {
        unk += ids[i] == ar_tokenizer_unk(t);
        for (int b = 0; b < 4; b++) hash = (hash ^ (uint64_t)(ids[i] >> 8 * b & 255)) * 0x100000001b3u;
    }
    snprintf(found, sizeof found, "%016llx", (unsigned long long)hash);
    assert_int_equal(count, ar_json_get(whole, "count")->valueint);
    assert_int_equal(unk, ar_json_get(whole, "unk")->valueint);
    if (strcmp(found, ar_json_get(whole, "fnv")->valuestring) != 0)
        fail_msg("%s: other ids: %s", name, found);
    free(ids);
    free(text);
}

static void golden_vocabularies_agree(void **state) {
    (void)state;
    for (size_t i = 0; i < VOCABULARIES; i++) {
        ar_tokenizer *t;
        ar_json *cases = vocabulary(&t, vocabularies[i]);
        check_lines(t, cases, vocabularies[i]);
        check_whole(t, ar_json_get(cases, "whole"), vocabularies[i]);
        ar_json_close(cases);
        ar_tokenizer_close(t);
    }
}

static void golden_vocabularies_agree_from_arrays(void **state) {
    (void)state;
    for (size_t i = 0; i < EXPRESSIBLE; i++) {
        ar_tokenizer *t, *built, *again;
        ar_json *cases = vocabulary(&t, vocabularies[i]);
        gguf_arrays a;
        take_arrays(&a, t);
        assert_ok(ar_tokenizer_build(&built, &a.d));
        check_lines(built, cases, vocabularies[i]);
        check_whole(built, ar_json_get(cases, "whole"), vocabularies[i]);
        char *json; /* and as a tokenizer.json */
        assert_ok(ar__tokenizer_write(&json, built));
        assert_ok(ar_tokenizer_parse(&again, json, strlen(json), vocabularies[i]));
        check_lines(again, cases, vocabularies[i]);
        free(json);
        free_arrays(&a, ar_tokenizer_merge_count(t));
        ar_json_close(cases);
        ar_tokenizer_close(again);
        ar_tokenizer_close(built);
        ar_tokenizer_close(t);
    }
}

/* ---- llama.cpp's vectors: texts separated by a line, a line of ids each ---- */

static void check_vectors(const ar_tokenizer *t, const char *name) {
    static const char mark[] = "\n__ggml_vocab_test__\n";
    char path[256], *texts, *lines;
    size_t bytes;
    snprintf(path, sizeof path, "tokenizers/gguf-vocab/%s.gguf.inp", name);
    assert_ok(ar_file_read_text(&texts, &bytes, shared_data(path), 1 << 20));
    snprintf(path, sizeof path, "tokenizers/gguf-vocab/%s.gguf.out", name);
    assert_ok(ar_file_read_text(&lines, &bytes, shared_data(path), 1 << 20));
    int count = 0;
    for (char *text = texts, *line = lines; text; count++) {
        char *end = strstr(text, mark), *line_end = strchr(line, '\n');
        if (end) *end = 0;
        if (line_end) *line_end = 0;
        int32_t expected[1024];
        int64_t expected_count = 0;
        for (char *p = line, *next;
             (void)(expected[expected_count] = (int32_t)strtol(p, &next, 10)), next != p; p = next)
            expected_count++;
        check(t, text, strlen(text), false, expected, expected_count, name);
        text = end ? end + sizeof mark - 1 : NULL;
        line = line_end ? line_end + 1 : line + strlen(line);
    }
    assert_int_equal(count, 47);
    free(texts);
    free(lines);
}

static void real_vocabularies_match_llama_cpp(void **state) {
    (void)state;
    static const char *const rows[][2] = {{"tokenizers/llama2/tokenizer.json", "ggml-vocab-llama-spm"},
                                          {"tokenizers/gpt2/tokenizer.json", "ggml-vocab-gpt-2"}};
    for (size_t i = 0; i < 2; i++) {
        ar_tokenizer *t;
        const char *path = shared_data(rows[i][0]);
        if (!path) skip();
        assert_ok(ar_tokenizer_open(&t, path));
        check_vectors(t, rows[i][1]);
        ar_tokenizer_close(t);
    }
}

/* ---- the same vocabularies as GGUF stores them ---- */

typedef struct gguf {
    const uint8_t *p, *end;
} gguf;
static uint64_t get(gguf *g, size_t bytes) {
    uint64_t v = 0;
    assert_true((size_t)(g->end - g->p) >= bytes);
    memcpy(&v, g->p, bytes);
    g->p += bytes;
    return v;
}

static char *get_string(gguf *g) {
    size_t bytes = get(g, 8);
    assert_true((size_t)(g->end - g->p) >= bytes);
    char *s = malloc(bytes + 1);
    memcpy(s, g->p, bytes);
    s[bytes] = 0;
    g->p += bytes;
    return s;
}

static const size_t scalar_bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

/* Reads the metadata, keeping the tokenizer's arrays; d->pre and the arrays are malloc'ed. */
static void read_gguf(ar_tokenizer_data *d, const ar_file *f) {
    gguf g = {f->data + 16, f->data + f->bytes};
    *d = (ar_tokenizer_data){.bos = -1, .eos = -1, .unk = -1, .pre = NULL};
    bool prefix = true, prefix_said = false;
    for (uint64_t n = get(&g, 8); n > 0; n--) {
        char *key = get_string(&g);
        uint32_t type = (uint32_t)get(&g, 4);
        if (type == 9) {
            uint32_t of = (uint32_t)get(&g, 4);
            uint64_t count = get(&g, 8);
            char **strings = of == 8 ? calloc(count, sizeof *strings) : NULL;
            const uint8_t *data = g.p;
            for (uint64_t i = 0; strings && i < count; i++) strings[i] = get_string(&g);
            if (!strings) g.p += count * scalar_bytes[of];
            if (strcmp(key, "tokenizer.ggml.tokens") == 0)
                d->tokens = (const char *const *)strings, d->count = (int32_t)count;
            else if (strcmp(key, "tokenizer.ggml.merges") == 0)
                d->merges = (const char *const *)strings, d->merge_count = (int64_t)count;
            else if (strings)
                fail_msg("%s", key);
            void *copy =
                strings ? NULL : memcpy(malloc(count * scalar_bytes[of]), data, count * scalar_bytes[of]);
            if (strcmp(key, "tokenizer.ggml.scores") == 0)
                d->scores = copy;
            else if (strcmp(key, "tokenizer.ggml.token_type") == 0)
                d->types = copy;
            else
                free(copy);
        } else if (type == 8) {
            char *value = get_string(&g);
            if (strcmp(key, "tokenizer.ggml.model") == 0)
                d->kind = strcmp(value, "llama") == 0 ? AR_TOK_SPM : AR_TOK_BYTE_BPE;
            if (strcmp(key, "tokenizer.ggml.pre") == 0)
                d->pre = value;
            else
                free(value);
        } else {
            uint64_t value = get(&g, scalar_bytes[type]);
            if (strcmp(key, "tokenizer.ggml.add_space_prefix") == 0) prefix = value != 0, prefix_said = true;
            if (strcmp(key, "tokenizer.ggml.bos_token_id") == 0) d->bos = (int32_t)value;
            if (strcmp(key, "tokenizer.ggml.unknown_token_id") == 0) d->unk = (int32_t)value;
        }
        free(key);
    }
    d->add_prefix_space = prefix_said ? prefix : d->kind == AR_TOK_SPM;
    size_t *lengths = calloc((size_t)d->count, sizeof *lengths);
    for (int32_t i = 0; i < d->count; i++) lengths[i] = strlen(d->tokens[i]);
    d->token_bytes = lengths;
}

static void free_data(ar_tokenizer_data *d) {
    for (int32_t i = 0; i < d->count; i++) free((char *)(uintptr_t)d->tokens[i]);
    for (int64_t i = 0; i < d->merge_count; i++) free((char *)(uintptr_t)d->merges[i]);
    const void *arrays[] = {d->tokens, d->token_bytes, d->scores, d->types, d->merges, d->pre};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) free((void *)(uintptr_t)arrays[i]);
}

static void gguf_vocabularies_match_llama_cpp(void **state) {
    (void)state;
    static const char *const names[] = {"ggml-vocab-llama-spm", "ggml-vocab-phi-3", "ggml-vocab-gpt-2",
                                        "ggml-vocab-deepseek-coder"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[256];
        ar_file f;
        ar_tokenizer_data d;
        ar_tokenizer *t;
        snprintf(path, sizeof path, "tokenizers/gguf-vocab/%s.gguf", names[i]);
        if (!shared_data(path)) skip();
        assert_ok(ar_file_open(&f, shared_data(path)));
        read_gguf(&d, &f);
        assert_ok(ar_tokenizer_build(&t, &d));
        check_vectors(t, names[i]);
        ar_tokenizer_close(t);
        free_data(&d);
        ar_file_close(&f);
    }
}

/* ---- published figures of the two story models ---- */

static void check_figures(const char *tokenizer, const char *text_name, int64_t tokens, int64_t unk,
                          const int32_t *first) {
    ar_tokenizer *t;
    char *text;
    size_t bytes;
    int32_t *ids;
    int64_t count, found_unk = 0;
    assert_ok(ar_tokenizer_open(&t, shared_data(tokenizer)));
    assert_ok(ar_file_read_text(&text, &bytes, shared_data(text_name), 1 << 24));
    assert_ok(ar_tokenizer_encode(t, &ids, &count, text, bytes, false));
    for (int64_t i = 0; i < count; i++) found_unk += ids[i] == ar_tokenizer_unk(t);
    assert_int_equal(count, tokens);
    assert_int_equal(found_unk, unk);
    if (first) assert_memory_equal(ids, first, 8 * sizeof *first);
    free(ids);
    free(text);
    ar_tokenizer_close(t);
}

static void token_counts_are_the_published_ones(void **state) {
    (void)state;
    static const char a[] = "stories260K-hf/tokenizer.json", b[] = "tinystories-656K-hf/tokenizer.json";
    static const char story[] = "text/tinystories/tinystories_v1_sample.txt",
                      wiki[] = "text/wikitext-2/test.txt";
    static const int32_t first_a[] = {385, 328, 432, 261, 376, 298, 315, 421},
                         first_b[] = {80, 429, 598, 303, 489, 1148, 177, 1051};
    if (!shared_data(a) || !shared_data(wiki)) skip();
    check_figures(a, story, 100707, 0, first_a);
    check_figures(b, story, 50124, 173, first_b);
    check_figures(a, wiki, 792799, 0, NULL);
    check_figures(b, wiki, 559718, 14032, NULL);
    check_figures("tokenizers/gpt2/tokenizer.json", wiki, 295877, 0, NULL);
}

static void greedy_text_is_the_published_one(void **state) {
    (void)state;
    static const int32_t a[] = {1,   403, 407, 261, 378, 432, 383, 286, 261, 376, 298, 315, 421, 395,
                                317, 426, 338, 401, 396, 267, 337, 410, 408, 419, 292, 411, 322, 265,
                                282, 295, 433, 426, 385, 328, 432, 358, 394, 261, 370, 432};
    static const int32_t b[] = {1,   147, 201,  282,  215, 286,  598, 1662, 356,  499, 826, 1363, 1145, 1652,
                                615, 242, 1482, 951,  628, 499,  826, 872,  921,  318, 385, 628,  499,  826,
                                617, 242, 198,  1047, 425, 1939, 122, 1924, 1171, 94,  303, 328,  229};
    if (!shared_data("stories260K-hf/tokenizer.json")) skip();
    ar_tokenizer *t;
    char *text;
    size_t bytes;
    assert_ok(ar_tokenizer_open(&t, shared_data("stories260K-hf/tokenizer.json")));
    assert_ok(ar_tokenizer_decode(t, &text, &bytes, a, sizeof a / sizeof *a, true, true));
    assert_string_equal(text, "Once upon a time, there was a little girl named Lily. She loved to play "
                              "outside in the park. One day, she saw a big,");
    free(text);
    ar_tokenizer_close(t);
    assert_ok(ar_tokenizer_open(&t, shared_data("tinystories-656K-hf/tokenizer.json")));
    assert_ok(ar_tokenizer_decode(t, &text, &bytes, b, sizeof b / sizeof *b, true, true));
    assert_string_equal(
        text,
        "Once upon a time, there was a little girl named Lily. She had a toy car that she loved very much. "
        "One day, she went to the park to play with her toy car in the park. Lily was very happy with her "
        "toy car because she "
        "had no one to play with.\nWhile playing, Lily saw a little ");
    free(text);
    ar_tokenizer_close(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_tokenizers_agree),
        cmocka_unit_test(golden_vocabularies_agree),
        cmocka_unit_test(golden_vocabularies_agree_from_arrays),
        cmocka_unit_test(real_vocabularies_match_llama_cpp),
        cmocka_unit_test(gguf_vocabularies_match_llama_cpp),
        cmocka_unit_test(token_counts_are_the_published_ones),
        cmocka_unit_test(greedy_text_is_the_published_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
