/* Tokenizers small enough to check by eye. */
#ifndef AR_TEST_SMALL_TOKENIZERS_H
#define AR_TEST_SMALL_TOKENIZERS_H
#include "temp_files.h"
#include "ar_error.h"
#include "tokenizer.h"
#include <math.h>

/* ---- small tokenizers ---- */

/* A SentencePiece-style tokenizer.json with these pieces: MODEL_FLAGS, VOCAB, MERGES, ADDED, STAGES. */
static inline ar_status parse_with(ar_tokenizer **t, const char *flags, const char *vocab, const char *merges,
                                   const char *added, const char *stages) {
    char *json = malloc(1 << 16);
    int n =
        snprintf(json, 1 << 16,
                 "{\"added_tokens\":[%s],%s\"model\":{\"type\":\"BPE\",%s\"vocab\":{%s},\"merges\":[%s]}}",
                 added, stages, flags, vocab, merges);
    ar_status status = ar_tokenizer_parse(t, json, (size_t)n, "test");
    free(json);
    return status;
}

#define LEGACY                                                                                               \
    "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"▁\"},"     \
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"▁\"}]},"
#define UNK    "\"unk_token\":\"<unk>\",\"fuse_unk\":true,\"byte_fallback\":true,"
#define VOCAB  "\"<unk>\":0,\"a\":1,\"b\":2,\"c\":3,\"▁\":4,\"ab\":5,\"bc\":6,\"aa\":7,\"▁a\":8,\"abc\":9"
#define MERGES "\"b c\",\"a b\",[\"a\",\"a\"],\"▁ a\",\"ab c\""

static inline void check_ids(const ar_tokenizer *t, const char *text, bool special, const int32_t *expected,
                             size_t count) {
    int32_t *ids;
    int64_t found;
    assert_ok(ar_tokenizer_encode(t, &ids, &found, text, strlen(text), special));
    if ((size_t)found != count || memcmp(ids, expected, count * sizeof *ids) != 0) {
        for (int64_t i = 0; i < found; i++) print_message("%d ", ids[i]);
        fail_msg("\"%s\": found %d ids, expected %d", text, (int)found, (int)count);
    }
    free(ids);
}
#define CHECK_IDS(t, text, special, ...)                                                                     \
    do {                                                                                                     \
        const int32_t expected_[] = {__VA_ARGS__};                                                           \
        check_ids(t, text, special, expected_, sizeof expected_ / sizeof *expected_);                        \
    } while (0)

static inline void check_text(const ar_tokenizer *t, const char *expected, const int32_t *ids, size_t count,
                              bool first, bool skip) {
    char *text;
    size_t bytes;
    assert_ok(ar_tokenizer_decode(t, &text, &bytes, ids, (int64_t)count, first, skip));
    assert_string_equal(text, expected);
    assert_int_equal(bytes, strlen(expected));
    free(text);
}
#define CHECK_TEXT(t, expected, first, skip, ...)                                                            \
    do {                                                                                                     \
        const int32_t ids_[] = {__VA_ARGS__};                                                                \
        check_text(t, expected, ids_, sizeof ids_ / sizeof *ids_, first, skip);                              \
    } while (0)

#define SPLIT_THEN_BYTES(pattern)                                                                            \
    "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{"          \
    "\"Regex\":\"" pattern "\"},\"behavior\":\"Isolated\",\"invert\":false},"                                \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]},"
#endif
