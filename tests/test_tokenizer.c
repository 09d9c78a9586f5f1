/* host/text/tokenizer*.c on tokenizers small enough to check by eye, and on bad ones. Real ones:
 * test_tokenizer_data.c. */
#include "small_tokenizers.h"

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
