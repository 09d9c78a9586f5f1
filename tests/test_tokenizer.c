/* host/tokenizer*.c on tokenizers small enough to check by eye, and on bad ones. Real ones:
 * test_tokenizer_data.c. */
#include "temp_files.h"
#include "ar_error.h"
#include "tokenizer.h"
#include <math.h>

/* ---- small tokenizers ---- */

/* A SentencePiece-style tokenizer.json with these pieces: MODEL_FLAGS, VOCAB, MERGES, ADDED, STAGES. */
static ar_status parse_with(ar_tokenizer **t, const char *flags, const char *vocab, const char *merges,
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

static void check_ids(const ar_tokenizer *t, const char *text, bool special, const int32_t *expected,
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

static void check_text(const ar_tokenizer *t, const char *expected, const int32_t *ids, size_t count,
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

static void merges_go_by_rank_then_leftmost(void **state) {
    (void)state;
    ar_tokenizer *t;
    assert_ok(parse_with(&t, UNK, VOCAB, MERGES, "", ""));
    CHECK_IDS(t, "abc", false, 1, 6);         /* "b c" has the lowest rank */
    CHECK_IDS(t, "aaa", false, 7, 1);         /* the leftmost pair */
    CHECK_IDS(t, "aaab", false, 7, 5);        /* "a b" before "a a" */
    CHECK_IDS(t, "ba ab", false, 2, 1, 0, 5); /* no normalizer: a space is a character like any other */
    ar_tokenizer_close(t);
}

static void unknown_characters_fuse_or_not(void **state) {
    (void)state;
    ar_tokenizer *t;
    assert_ok(parse_with(&t, UNK, VOCAB, MERGES, "", LEGACY));
    CHECK_IDS(t, "aéxb", false, 8, 0, 2);
    ar_tokenizer_close(t);
    assert_ok(parse_with(&t, "\"unk_token\":\"<unk>\",", VOCAB, MERGES, "", LEGACY));
    CHECK_IDS(t, "aéxb", false, 8, 0, 0, 2);
    ar_tokenizer_close(t);
    assert_ok(parse_with(&t, "", VOCAB, MERGES, "", LEGACY)); /* no unk: dropped */
    CHECK_IDS(t, "aéxb", false, 4, 5);
    assert_int_equal(ar_tokenizer_unk(t), -1);
    ar_tokenizer_close(t);
    /* é is C3 A9: bytes when both have a token, unk when one has not */
    assert_ok(parse_with(&t, UNK, VOCAB ",\"<0xC3>\":10,\"<0xA9>\":11", MERGES, "", LEGACY));
    CHECK_IDS(t, "éa", false, 4, 10, 11, 1);
    CHECK_IDS(t, "èa", false, 4, 0, 1);
    assert_int_equal(ar_tokenizer_token_type(t, 10), AR_TOKEN_BYTE);
    assert_int_equal(ar_tokenizer_token_type(t, 0), AR_TOKEN_UNKNOWN);
    ar_tokenizer_close(t);
}

#define META(more) "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"▁\"" more "},"

static void metaspace_prepends_as_told(void **state) {
    (void)state;
    static const struct {
        const char *stages;
        bool at_start, after_token;
    } rows[] = {
        {META(""), true, true},
        {META(",\"prepend_scheme\":\"always\",\"split\":false"), true, true},
        {META(",\"add_prefix_space\":true,\"prepend_scheme\":\"first\""), true, false},
        {META(",\"prepend_scheme\":\"never\""), false, false},
        {META(",\"add_prefix_space\":false"), false, false},
        {LEGACY, true, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ar_tokenizer *t;
        assert_ok(parse_with(&t, UNK, VOCAB, MERGES, "{\"id\":10,\"content\":\"<x>\",\"special\":true}",
                             rows[i].stages));
        assert_int_equal(ar_tokenizer_adds_prefix_space(t), rows[i].at_start);
        int32_t first = rows[i].at_start ? 8 : 1, second = rows[i].after_token ? 8 : 1;
        CHECK_IDS(t, "a<x>a", true, first, 10, second);
        CHECK_IDS(t, "", true);
        ar_tokenizer_close(t);
    }
}

static void metaspace_splits_words(void **state) {
    (void)state;
    ar_tokenizer *t;
    const char *merges = "\"a ▁\"", *vocab = "\"<unk>\":0,\"a\":1,\"▁\":2,\"a▁\":3";
    assert_ok(parse_with(&t, UNK, vocab, merges, "", META("")));
    CHECK_IDS(t, "a  a", false, 2, 1, 2, 2, 1);
    ar_tokenizer_close(t);
    assert_ok(parse_with(&t, UNK, vocab, merges, "", META(",\"split\":false")));
    CHECK_IDS(t, "a  a", false, 2, 3, 2, 1);
    ar_tokenizer_close(t);
}

static void added_tokens_obey_their_flags(void **state) {
    (void)state;
    ar_tokenizer *t;
    const char *added = "{\"id\":10,\"content\":\"<s>\",\"special\":true},"
                        "{\"id\":11,\"content\":\"[L]\",\"lstrip\":true,\"normalized\":false},"
                        "{\"id\":12,\"content\":\"[R]\",\"rstrip\":true,\"normalized\":false},"
                        "{\"id\":13,\"content\":\"[W]\",\"single_word\":true,\"normalized\":false},"
                        "{\"id\":14,\"content\":\"[R]c\",\"special\":false,\"normalized\":false},"
                        "{\"id\":16,\"content\":\"cc\",\"normalized\":true}";
    assert_ok(parse_with(&t, UNK, VOCAB, MERGES, added, LEGACY));
    assert_int_equal(ar_tokenizer_vocab(t), 17);
    CHECK_IDS(t, "<s>", true, 10);
    CHECK_IDS(t, "<s>", false, 4, 0);                    /* written out, it is text */
    CHECK_IDS(t, "b \t[L] b", false, 4, 2, 11, 4, 4, 2); /* white space before goes */
    CHECK_IDS(t, "b [R] \nb", false, 4, 2, 4, 12, 4, 2);
    CHECK_IDS(t, "[R]cb", false, 14, 4, 2);          /* the longest */
    CHECK_IDS(t, "[W] b[W]", false, 13, 4, 4, 2, 0); /* the second is part of a word */
    CHECK_IDS(t, "cc", false, 16);                   /* looked for as "▁cc" */
    CHECK_IDS(t, "bcc", false, 4, 6, 3);
    assert_int_equal(ar_tokenizer_token_type(t, 10), AR_TOKEN_CONTROL);
    assert_int_equal(ar_tokenizer_token_type(t, 11), AR_TOKEN_USER);
    assert_int_equal(ar_tokenizer_token_type(t, 15), AR_TOKEN_UNUSED); /* a hole */
    assert_null(ar_tokenizer_token(t, 15, NULL));
    ar_tokenizer_close(t);
}

static void decoding_gives_bytes_back(void **state) {
    (void)state;
    ar_tokenizer *t;
    const char *stages = LEGACY "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\","
                                "\"pattern\":{\"String\":\"▁\"},"
                                "\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},"
                                "{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]},";
    assert_ok(parse_with(&t, UNK, VOCAB ",\"<0xC3>\":10,\"<0xA9>\":11", MERGES,
                         "{\"id\":12,\"content\":\"<s>\",\"special\":true}", stages));
    CHECK_TEXT(t, "a a", true, false, 8, 8);
    CHECK_TEXT(t, " a a", false, false, 8, 8);
    CHECK_TEXT(t, "a\xc3\xa9", true, false, 8, 10, 11);
    CHECK_TEXT(t, "\xc3", true, false, 10); /* half a character: the other half may be the next token */
    CHECK_TEXT(t, "<s> a", true, false, 12, 8);
    CHECK_TEXT(t, "a", true, true, 12, 8);
    CHECK_TEXT(t, "a", true, true, 8,
               4000); /* no such token: nothing, as models may have more rows than tokens */
    CHECK_TEXT(t, " ", true, false, 4, 4);
    const int32_t negative = -1;
    char *text;
    size_t bytes;
    assert_error(ar_tokenizer_decode(t, &text, &bytes, &negative, 1, true, false), AR_ERR_ARG, "-1");
    assert_ok(ar_tokenizer_decode(t, &text, &bytes, NULL, 0, true, false));
    assert_string_equal(text, "");
    free(text);
    ar_tokenizer_close(t);
}

static void accessors_show_what_writers_need(void **state) {
    (void)state;
    ar_tokenizer *t;
    assert_ok(parse_with(&t, UNK, VOCAB, MERGES, "", LEGACY));
    const char *left, *right;
    size_t bytes;
    assert_int_equal(ar_tokenizer_get_kind(t), AR_TOK_SPM);
    assert_int_equal(ar_tokenizer_merge_count(t), 5);
    assert_ok(ar_tokenizer_merge(t, &left, &right, 3));
    assert_string_equal(left, "▁");
    assert_string_equal(right, "a");
    assert_error(ar_tokenizer_merge(t, &left, &right, 5), AR_ERR_ARG, "5");
    assert_string_equal(ar_tokenizer_token(t, 8, &bytes), "▁a");
    assert_int_equal(bytes, 4);
    assert_null(ar_tokenizer_token(t, -1, NULL));
    assert_string_equal(ar_tokenizer_pre(t), "default");
    assert_true(ar_tokenizer_score(t, 6) > ar_tokenizer_score(t, 5)); /* "b c" merges before "a b" */
    assert_true(ar_tokenizer_score(t, 9) > ar_tokenizer_score(t, 1)); /* no merge makes "a" */
    assert_int_equal(ar_tokenizer_bos(t), -1);
    ar_tokenizer_set_special(t, 1, 99, 2);
    assert_int_equal(ar_tokenizer_bos(t), 1);
    assert_int_equal(ar_tokenizer_eos(t), -1); /* no such id */
    assert_int_equal(ar_tokenizer_unk(t), 0);  /* the model's own stays */
    ar_tokenizer_close(t);
}

/* ---- byte level ---- */

/* The byte-level alphabet as OpenAI's encoder.py builds it: printing bytes stand for themselves, the n-th
 * other byte is 256 + n. */
static int byte_letter(char *out, int byte) {
    int c = byte, n = 0;
    for (int b = 0; b <= byte; b++) {
        bool prints = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        if (b == byte && !prints) c = 256 + n;
        n += !prints;
    }
    if (c < 128) return sprintf(out, c == '"' || c == '\\' ? "\\%c" : "%c", c);
    return sprintf(out, "%c%c", 0xc0 | c >> 6, 0x80 | (c & 63));
}

/* All letters as tokens 0..255, then `vocab`. */
static ar_status parse_bytes(ar_tokenizer **t, const char *vocab, const char *merges, const char *added,
                             const char *stages) {
    char letters[8192];
    int n = 0;
    for (int b = 0; b < 256; b++) {
        char letter[8];
        byte_letter(letter, b);
        n += sprintf(letters + n, "%s\"%s\":%d", b ? "," : "", letter, b);
    }
    snprintf(letters + n, sizeof letters - (size_t)n, "%s", vocab);
    return parse_with(t, "", letters, merges, added, stages);
}

#define BYTES(more) "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false" more "},"
#define SPLIT_THEN_BYTES(pattern)                                                                            \
    "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{"          \
    "\"Regex\":\"" pattern "\"},\"behavior\":\"Isolated\",\"invert\":false},"                                \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]},"
#define LLAMA3(digits)                                                                                       \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|" digits                           \
    "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"

static void byte_level_words_do_not_merge_across(void **state) {
    (void)state;
    ar_tokenizer *t;
    const char *vocab = ",\"Ġa\":256,\"aa\":257,\"12\":258,\"3a\":259,\"ĠĠ\":260",
               *merges = "\"3 a\",\"1 2\",\"Ġ a\",\"a a\",\"Ġ Ġ\"";
    assert_ok(parse_bytes(&t, vocab, merges, "", BYTES("")));
    assert_int_equal(ar_tokenizer_get_kind(t), AR_TOK_BYTE_BPE);
    assert_string_equal(ar_tokenizer_pre(t), "gpt-2");
    CHECK_IDS(t, "a aa123a", false, 'a', 256, 'a', 258, '3', 'a');
    CHECK_IDS(t, "a   a", false, 'a', 260, 256);                 /* the last space goes with the word */
    CHECK_IDS(t, "a\xe1\xa0\x8e", false, 'a', 0xe1, 0xa0, 0x8e); /* U+180E */
    ar_tokenizer_close(t);
    assert_ok(parse_bytes(&t, vocab, merges, "", BYTES(",\"use_regex\":false")));
    assert_string_equal(ar_tokenizer_pre(t), "default");
    CHECK_IDS(t, "123a", false, 258, 259);
    ar_tokenizer_close(t);
    assert_ok(parse_bytes(&t, vocab, merges, "", "\"pre_tokenizer\":{\"type\":\"ByteLevel\"},"));
    assert_true(ar_tokenizer_adds_prefix_space(t));
    CHECK_IDS(t, "a", false, 256);
    ar_tokenizer_close(t);
}

static void presplits_are_recognised(void **state) {
    (void)state;
    static const struct {
        const char *stages, *name;
    } rows[] = {
        {SPLIT_THEN_BYTES(LLAMA3("\\\\p{N}{1,3}")), "llama-bpe"},
        {SPLIT_THEN_BYTES(LLAMA3("\\\\p{N}")), "qwen2"},
        {SPLIT_THEN_BYTES("'s|'t|'re|'ve|'m|'ll|'d| ?\\\\p{L}+| ?\\\\p{N}+| "
                          "?[^\\\\s\\\\p{L}\\\\p{N}]+|\\\\s+(?!\\\\S)|\\\\s+"),
         "gpt-2"},
        {SPLIT_THEN_BYTES("\\\\w+"), "default"},
        {"\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_"
         "digits\":true},"
         "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}]},",
         "smollm"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ar_tokenizer *t;
        assert_ok(parse_bytes(&t, ",\"12\":256,\"34\":257", "\"1 2\",\"3 4\"", "", rows[i].stages));
        assert_string_equal(ar_tokenizer_pre(t), rows[i].name);
        if (i == 0) CHECK_IDS(t, "1234", false, 256, '3', '4');    /* digits by three */
        if (i == 1 || i == 4) CHECK_IDS(t, "12", false, '1', '2'); /* one by one */
        if (i == 2 || i == 3) CHECK_IDS(t, "1234", false, 256, 257);
        ar_tokenizer_close(t);
    }
}

static void whole_words_may_ignore_merges(void **state) {
    (void)state;
    ar_tokenizer *t;
    char json[16384];
    char letters[8192];
    int n = 0;
    for (int b = 0; b < 256; b++) {
        char letter[8];
        byte_letter(letter, b);
        n += sprintf(letters + n, "\"%s\":%d,", letter, b);
    }
    for (int ignore = 0; ignore < 2; ignore++) {
        snprintf(
            json, sizeof json,
            "{" SPLIT_THEN_BYTES(LLAMA3("\\\\p{N}{1,3}")) "\"model\":{\"type\":\"BPE\",\"ignore_merges\":%s,"
                                                          "\"vocab\":{%s\"Ġxyz\":256},\"merges\":[]}}",
            ignore ? "true" : "false", letters);
        assert_ok(ar_tokenizer_parse(&t, json, strlen(json), "test"));
        if (ignore)
            CHECK_IDS(t, "a xyz", false, 'a', 256);
        else
            CHECK_IDS(t, "a xyz", false, 'a', ' ', 'x', 'y', 'z');
        ar_tokenizer_close(t);
    }
}

static void nfc_composes(void **state) {
    (void)state;
    ar_tokenizer *t;
    assert_ok(parse_bytes(&t, "", "", "", "\"normalizer\":{\"type\":\"NFC\"}," BYTES("")));
    CHECK_IDS(t, "e\xcc\x81", false, 0xc3, 0xa9);                            /* e + acute */
    CHECK_IDS(t, "\xe2\x84\xab", false, 0xc3, 0x85);                         /* Angstrom sign */
    CHECK_IDS(t, "\xe1\x84\x80\xe1\x85\xa1", false, 0xea, 0xb0, 0x80);       /* Hangul */
    CHECK_IDS(t, "\xe0\xa5\x98", false, 0xe0, 0xa4, 0x95, 0xe0, 0xa4, 0xbc); /* excluded from composition */
    CHECK_IDS(t, "q\xcc\x87\xcc\xa3", false, 'q', 0xcc, 0xa3, 0xcc, 0x87);   /* marks in canonical order */
    CHECK_IDS(t, "\xef\xac\x81", false, 0xef, 0xac, 0x81);                   /* a ligature is not canonical */
    ar_tokenizer_close(t);
}

/* ---- properties ---- */

static uint32_t random_state = 12345;
static uint32_t random_below(uint32_t n) {
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % n;
}

static size_t random_utf8(char *out, int chars) {
    size_t n = 0;
    for (int i = 0; i < chars; i++) {
        static const uint32_t limits[] = {0x80, 0x80, 0x800, 0x10000, 0x110000};
        uint32_t c = random_below(limits[random_below(5)]);
        if (c >= 0xd800 && c < 0xe000) c = ' ';
        if (c < 0x80)
            out[n++] = (char)c;
        else if (c < 0x800)
            n += (size_t)sprintf(out + n, "%c%c", 0xc0 | c >> 6, 0x80 | (c & 63));
        else if (c < 0x10000)
            n += (size_t)sprintf(out + n, "%c%c%c", 0xe0 | c >> 12, 0x80 | (c >> 6 & 63), 0x80 | (c & 63));
        else
            n += (size_t)sprintf(out + n, "%c%c%c%c", 0xf0 | c >> 18, 0x80 | (c >> 12 & 63),
                                 0x80 | (c >> 6 & 63), 0x80 | (c & 63));
    }
    return n;
}

static void check_round_trip(const ar_tokenizer *t, const char *text, size_t bytes) {
    int32_t *ids;
    int64_t count;
    char *back;
    size_t back_bytes;
    assert_ok(ar_tokenizer_encode(t, &ids, &count, text, bytes, false));
    assert_ok(ar_tokenizer_decode(t, &back, &back_bytes, ids, count, true, false));
    assert_int_equal(back_bytes, bytes);
    assert_memory_equal(back, text, bytes);
    free(ids);
    free(back);
}

static void random_text_comes_back(void **state) {
    (void)state;
    ar_tokenizer *spm, *gpt, *llama;
    char vocab[8192], text[512];
    int n = sprintf(vocab, "%s", VOCAB);
    for (int b = 0; b < 256; b++) n += sprintf(vocab + n, ",\"<0x%02X>\":%d", b, 10 + b);
    assert_ok(parse_with(&spm, UNK, vocab, MERGES, "", LEGACY));
    assert_ok(parse_bytes(&gpt, ",\"aa\":256,\"Ġa\":257", "\"a a\",\"Ġ a\"", "", BYTES("")));
    assert_ok(parse_bytes(&llama, ",\"aa\":256,\"Ġa\":257", "\"a a\",\"Ġ a\"", "",
                          SPLIT_THEN_BYTES(LLAMA3("\\\\p{N}{1,3}"))));
    for (int i = 0; i < 2000; i++) {
        size_t bytes = random_utf8(text, (int)random_below(100));
        check_round_trip(gpt, text, bytes);
        check_round_trip(llama, text, bytes);
        bool has_mark = false; /* U+2581 itself comes back as a space */
        for (size_t at = 0; at + 3 <= bytes; at++)
            has_mark = has_mark || memcmp(text + at, "\xe2\x96\x81", 3) == 0;
        if (!has_mark) check_round_trip(spm, text, bytes);
    }
    ar_tokenizer_close(spm);
    ar_tokenizer_close(gpt);
    ar_tokenizer_close(llama);
}

/* Byte-pair encoding as it is defined: scan for the lowest rank, merge the leftmost place, start over. */
static size_t plain_bpe(int32_t *ids, size_t count, const int32_t (*merges)[3], int32_t merge_count) {
    for (;;) {
        int32_t best = merge_count;
        size_t at = 0;
        for (size_t i = 0; i + 1 < count; i++)
            for (int32_t m = 0; m < best; m++)
                if (merges[m][0] == ids[i] && merges[m][1] == ids[i + 1]) best = m, at = i;
        if (best == merge_count) return count;
        ids[at] = merges[best][2];
        memmove(ids + at + 1, ids + at + 2, (count - at - 2) * sizeof *ids);
        count--;
    }
}

/* Random merges over two letters, each token made by one merge. */
static void merging_equals_its_definition(void **state) {
    (void)state;
    for (int round = 0; round < 40; round++) {
        char texts[40][64] = {"a", "b"}, vocab[4096], list[4096];
        int32_t merges[40][3], tokens = 2, merge_count = 0;
        while (tokens < 30) {
            int32_t l = (int32_t)random_below((uint32_t)tokens), r = (int32_t)random_below((uint32_t)tokens);
            char joined[128];
            sprintf(joined, "%s%s", texts[l], texts[r]);
            bool known = strlen(joined) > 12;
            for (int i = 0; i < tokens; i++) known = known || strcmp(texts[i], joined) == 0;
            if (known) continue;
            strcpy(texts[tokens], joined);
            memcpy(merges[merge_count++], ((int32_t[]){l, r, tokens}), sizeof merges[0]);
            tokens++;
        }
        for (int i = 0, n = 0; i < tokens; i++)
            n += sprintf(vocab + n, "%s\"%s\":%d", i ? "," : "", texts[i], i);
        for (int i = 0, n = 0; i < merge_count; i++)
            n += sprintf(list + n, "%s\"%s %s\"", i ? "," : "", texts[merges[i][0]], texts[merges[i][1]]);
        ar_tokenizer *t;
        assert_ok(parse_with(&t, "", vocab, list, "", ""));
        for (int i = 0; i < 50; i++) {
            char text[256] = "";
            int32_t expected[256];
            size_t length = random_below(200);
            for (size_t j = 0; j < length; j++) text[j] = "ab"[expected[j] = (int32_t)random_below(2)];
            length = plain_bpe(expected, length, (const int32_t(*)[3])merges, merge_count);
            check_ids(t, text, false, expected, length);
        }
        ar_tokenizer_close(t);
    }
}

static void one_long_word_is_quick(void **state) {
    (void)state;
    ar_tokenizer *t;
    const size_t bytes = 1 << 20; /* hours, if merging were quadratic */
    char *text = malloc(bytes);
    for (size_t i = 0; i < bytes; i++) text[i] = "abca"[random_below(4)];
    assert_ok(parse_with(&t, UNK, VOCAB, MERGES, "", LEGACY));
    int32_t *ids;
    int64_t count;
    assert_ok(ar_tokenizer_encode(t, &ids, &count, text, bytes, false));
    assert_true(count > 400000 && count < 900000);
    free(ids);
    free(text);
    ar_tokenizer_close(t);
}

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
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"a\":1},\"merges\":[]}}", "ids 0 and 1"},
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
        {SPLIT_THEN_BYTES("[a&&b]"), "", "intersection"},
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
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_go_by_rank_then_leftmost),
        cmocka_unit_test(unknown_characters_fuse_or_not),
        cmocka_unit_test(metaspace_prepends_as_told),
        cmocka_unit_test(metaspace_splits_words),
        cmocka_unit_test(added_tokens_obey_their_flags),
        cmocka_unit_test(decoding_gives_bytes_back),
        cmocka_unit_test(accessors_show_what_writers_need),
        cmocka_unit_test(byte_level_words_do_not_merge_across),
        cmocka_unit_test(presplits_are_recognised),
        cmocka_unit_test(whole_words_may_ignore_merges),
        cmocka_unit_test(nfc_composes),
        cmocka_unit_test(random_text_comes_back),
        cmocka_unit_test(merging_equals_its_definition),
        cmocka_unit_test(one_long_word_is_quick),
        cmocka_unit_test(repaired_text_is_utf8_without_nul),
        cmocka_unit_test(invalid_utf8_is_refused_with_its_offset),
        cmocka_unit_test(wrong_files_are_refused_by_name),
        cmocka_unit_test(wrong_stages_and_added_tokens_are_refused),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(failed_allocations_come_back_as_such),
        cmocka_unit_test(built_from_scores),
        cmocka_unit_test(bad_stored_data_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
