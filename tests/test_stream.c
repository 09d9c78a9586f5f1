/* host/text/stream.c: text token by token is the repaired text of all tokens, in whole characters. */
#include "temp_files.h"
#include "tokenizer.h"

static const char *const names[] = {"llama3", "qwen2",     "gpt2",    "smollm",
                                    "legacy", "metaspace", "nobytes", "halfbytes"};

static void append(char *all, size_t *used, const char *text, size_t bytes) {
    assert_ok(ar__utf8_check(text, bytes, "piece"));
    assert_int_equal(strlen(text), bytes);
    memcpy(all + *used, text, bytes + 1);
    *used += bytes;
}

static void check_stream(const ar_tokenizer *t, const int32_t *ids, int64_t count, bool first) {
    char *raw, *expected, *piece, *all = malloc(1 << 16);
    size_t bytes, used = 0;
    ar_text_stream stream = {.started = !first};
    assert_ok(ar_tokenizer_decode(t, &raw, &bytes, ids, count, first, true));
    assert_ok(ar__utf8_repair(&expected, raw, bytes));
    all[0] = 0;
    for (int64_t i = 0; i < count; i++) {
        assert_ok(ar_text_stream_push(&stream, &piece, &bytes, t, ids[i]));
        append(all, &used, piece, bytes);
        free(piece);
    }
    assert_ok(ar_text_stream_end(&stream, &piece, &bytes));
    append(all, &used, piece, bytes);
    assert_string_equal(all, expected);
    assert_false(stream.started);
    free(piece);
    free(raw);
    free(expected);
    free(all);
}

/* Random ids: on tokenizers with bytes, mostly broken characters. */
static void pieces_make_the_whole(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        char path[256];
        ar_tokenizer *t;
        snprintf(path, sizeof path, "tests/golden/tokenizers/%s.json", names[k]);
        assert_ok(ar_tokenizer_open(&t, path));
        int32_t vocab = ar_tokenizer_vocab(t);
        for (uint64_t round = 0; round < 300; round++) {
            int32_t ids[40], count = (int32_t)(ar_random_unit(round, 7, 99) * 40),
                             bytes_only = 300 < vocab && round & 1;
            for (int32_t i = 0; i < count; i++)
                ids[i] = (int32_t)(ar_random_unit(round, 7, (uint64_t)i) * (bytes_only ? 300 : vocab + 2));
            check_stream(t, ids, count, round % 3 != 0);
        }
        ar_tokenizer_close(t);
    }
}

/* A character of four bytes, one byte token each: nothing is shown before the last. */
static void characters_wait_for_their_last_byte(void **state) {
    (void)state;
    static const char text[] = "a\xf0\x9f\x98\x80z\xe2\x82";
    static const size_t shown[] = {1, 0, 0, 0, 4, 1, 0, 0};
    ar_tokenizer *t;
    ar_text_stream stream = {0};
    char *piece;
    size_t bytes;
    assert_ok(ar_tokenizer_open(&t, "tests/golden/tokenizers/gpt2.json"));
    for (size_t i = 0; i < sizeof text - 1; i++) {
        char letter[3] = {0};
        int32_t id;
        ar__byte_to_char(letter, (uint8_t)text[i]);
        id = ar__vocab_find(t, letter, strlen(letter));
        assert_true(id >= 0);
        assert_ok(ar_text_stream_push(&stream, &piece, &bytes, t, id));
        assert_int_equal(bytes, shown[i]);
        free(piece);
    }
    assert_ok(ar_text_stream_end(&stream, &piece, &bytes));
    assert_string_equal(piece, "\xef\xbf\xbd\xef\xbf\xbd");
    free(piece);
    assert_int_equal(ar_text_stream_push(&stream, &piece, &bytes, t, -1), AR_ERR_ARG);
    assert_null(piece);
    ar_tokenizer_close(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_make_the_whole),
        cmocka_unit_test(characters_wait_for_their_last_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
