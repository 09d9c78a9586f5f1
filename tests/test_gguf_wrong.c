/* The reader of GGUF on what is no GGUF file, or none of a model that is known: refused by name. */
#include "gguf_file.h"

/* ---- wrong containers ---- */

static void every_truncated_prefix_is_refused(void **state) {
    (void)state;
    static bytes b;
    model(&b, &(change){0});
    size_t whole = b.used;
    for (b.used = 0; b.used < whole; b.used++) {
        opened o;
        assert_int_equal(open_bytes(&o, &b), AR_ERR_FORMAT);
    }
}

/* A file that ends where its last tensor does is whole; a byte less, or less before it, is not. */
static void last_tensor_needs_no_padding(void **state) {
    (void)state;
    static bytes b;
    static const uint32_t alignments[] = {1, 8, 32, 64, 4096};
    for (size_t i = 0; i < sizeof alignments / sizeof *alignments; i++) {
        const size_t alignment = alignments[i], second = (12 + alignment - 1) / alignment * alignment;
        header(&b, 3, 2, 1);
        key_u32(&b, "general.alignment", alignments[i]);
        info(&b, "a", 1, (const int64_t[]){3}, 0, 0);
        info(&b, "b", 1, (const int64_t[]){5}, 0, second);
        pad(&b, alignment);
        size_t whole = b.used + second + 20;
        while (b.used < whole + 2 * alignment) number(&b, 7, 1);
        for (; b.used >= whole; b.used--) assert_ok(parse_bytes(&b));
        for (; b.used + 40 > whole; b.used--) assert_int_equal(parse_bytes(&b), AR_ERR_FORMAT);
    }
}

static void wrong_headers_are_refused(void **state) {
    (void)state;
    static bytes b;
    const struct {
        uint32_t version;
        uint64_t tensors, values;
        const char *part;
    } cases[] = {{1, 0, 0, "version 1"},
                 {4, 0, 0, "version 4"},
                 {0, 0, 0, "version 0"},
                 {3u << 24, 0, 0, "big-endian"},
                 {3, UINT64_MAX, 0, "tensors"},
                 {3, 0, UINT64_MAX, "keys"},
                 {3, 1, 0, "tensors"},
                 {3, 0, 1, "keys"},
                 {3, 1ull << 62, 1ull << 62, "keys"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        header(&b, cases[i].version, cases[i].tensors, cases[i].values);
        assert_error(parse_bytes(&b), AR_ERR_FORMAT, cases[i].part);
    }
    header(&b, 3, 0, 0);
    assert_ok(parse_bytes(&b));
    b.data[0] = 'g';
    assert_error(parse_bytes(&b), AR_ERR_FORMAT, "GGUF");
}

static void wrong_values_are_refused(void **state) {
    (void)state;
    static bytes b;
    header(&b, 3, 0, 1);
    key(&b, "x", 13);
    number(&b, 0, 8);
    assert_error(parse_bytes(&b), AR_ERR_FORMAT, "value type 13");
    header(&b, 3, 0, 1);
    key_u32(&b, "", 0);
    assert_error(parse_bytes(&b), AR_ERR_FORMAT, "empty key");
    header(&b, 3, 0, 1);
    key(&b, "x", AR__GGUF_ARRAY);
    number(&b, AR__GGUF_ARRAY, 4);
    number(&b, 0, 8);
    assert_error(parse_bytes(&b), AR_ERR_FORMAT, "array of arrays");
    const int kinds[] = {AR__GGUF_U8, AR__GGUF_STRING, AR__GGUF_F64};
    const uint64_t counts[] = {9, 1ull << 61, UINT64_MAX};
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < 3; i++) {
            header(&b, 3, 0, 1);
            key(&b, "x", AR__GGUF_ARRAY);
            number(&b, (uint64_t)kinds[k], 4);
            number(&b, counts[i], 8);
            number(&b, 0, 8);
            assert_error(parse_bytes(&b), AR_ERR_FORMAT, "elements");
        }
    }
    header(&b, 3, 0, 1);
    key(&b, "x", AR__GGUF_STRING);
    number(&b, UINT64_MAX, 8);
    assert_error(parse_bytes(&b), AR_ERR_FORMAT, "length");
    header(&b, 3, 0, 2);
    key_u32(&b, "x", 0);
    key_u32(&b, "x", 1);
    assert_error(parse_bytes(&b), AR_ERR_FORMAT, "found twice");
    const uint32_t alignments[] = {0, 3, 1u << 21};
    for (int i = 0; i < 3; i++) {
        header(&b, 3, 0, 1);
        key_u32(&b, "general.alignment", alignments[i]);
        assert_error(parse_bytes(&b), AR_ERR_FORMAT, "general.alignment");
    }
}

static void wrong_tensors_are_refused(void **state) {
    (void)state;
    static bytes b;
    const struct {
        int dim_count;
        int64_t dims[4];
        int type;
        uint64_t offset;
        const char *part;
    } cases[] = {{0, {0}, 0, 0, "0 dims"},
                 {5, {1, 1, 1, 1}, 0, 0, "5 dims"},
                 {1, {0}, 0, 0, "size of 0"},
                 {2, {4, -1}, 0, 0, "size of"},
                 {2, {1ll << 32, 1ll << 31}, 0, 0, "size of"},
                 {2, {1ll << 31, 1ll << 31}, 0, 0, "bytes"},
                 {1, {4}, 12, 0, "Q4_K"},
                 {1, {4}, 4, 0, "type 4"},
                 {1, {4}, -1, 0, "type 4294967295"},
                 {1, {33}, 2, 0, "block of 32"},
                 {1, {4}, 0, 32, "offset 32"},
                 {1, {4}, 0, 4, "offset 4"},
                 {1, {1000}, 0, 0, "inside the file"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        header(&b, 3, 1, 0);
        info(&b, "x", cases[i].dim_count > 4 ? 4 : cases[i].dim_count, cases[i].dims, cases[i].type,
             cases[i].offset);
        if (cases[i].dim_count > 4) b.data[24 + 8 + 1] = 5;
        pad(&b, 32);
        for (int k = 0; k < 128; k++) number(&b, 0, 1);
        assert_error(parse_bytes(&b), AR_ERR_FORMAT, cases[i].part);
    }
    header(&b, 3, 1, 0);
    info(&b, "a name of 64 bytes, which is one more than the format allows xyz", 1, (int64_t[]){4}, 0, 0);
    for (int k = 0; k < 128; k++) number(&b, 0, 1);
    assert_error(parse_bytes(&b), AR_ERR_FORMAT, "tensor name");
}

/* ---- wrong models ---- */

static void wrong_models_are_refused(void **state) {
    (void)state;
    const struct {
        change c;
        const char *part;
    } cases[] = {
        {{.drop = "general.architecture"}, "found nothing, expected one of llama, qwen2"},
        {{.key = "general.architecture", .kind = AR__GGUF_STRING, .text = "mamba"}, "found \"mamba\""},
        {{.key = "general.architecture", .kind = AR__GGUF_U32}, "expected string"},
        {{.drop = "llama.block_count"}, "llama.block_count: missing"},
        {{.key = "llama.block_count", .kind = AR__GGUF_U32, .value = 0}, "llama.block_count: found 0"},
        {{.key = "llama.block_count", .kind = AR__GGUF_I32, .value = 1}, "expected u32"},
        {{.key = "llama.embedding_length", .kind = AR__GGUF_U32, .value = 16}, "token_embd.weight"},
        {{.key = "llama.embedding_length", .kind = AR__GGUF_U32, .value = 1u << 31}, "embedding_length"},
        {{.key = "llama.attention.head_count_kv", .kind = AR__GGUF_U32, .value = 3}, "head_count_kv"},
        {{.key = "llama.attention.head_count", .kind = AR__GGUF_U32, .value = 3}, "head"},
        {{.key = "llama.attention.head_count", .kind = AR__GGUF_U32, .value = 0}, "head_count"},
        {{.drop = "llama.attention.layer_norm_rms_epsilon"}, "epsilon: missing"},
        {{.key = "llama.attention.layer_norm_rms_epsilon", .kind = AR__GGUF_F32, .value = 0x7fc00000},
         "epsilon: found"},
        {{.drop = "token_embd.weight"}, "token_embd.weight: missing"},
        {{.twice = "output_norm.weight"}, "found twice"},
        {{.twice = "llama.block_count"}, "found twice"},
        {{.tensor = "blk.0.attn_q.weight", .shift = 32}, "offset"},
        {{.tensor = "blk.0.attn_q.weight", .shift = -32}, "offset"},
        {{.tensor = "blk.0.attn_k.weight", .shift = 2}, "offset"},
        {{.tensor = "blk.0.attn_q.weight", .dims = {8, 6}}, "heads of 4"},
        {{.tensor = "token_embd.weight", .dims = {8, 5}}, "tokenizer.ggml.tokens: found 4"},
        {{.key = "tokenizer.ggml.model", .kind = AR__GGUF_STRING, .text = "bert"}, "found \"bert\""},
        {{.key = "tokenizer.ggml.model", .kind = AR__GGUF_STRING, .text = "gpt2"}, "merges: missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_error(open_changed(&cases[i].c), AR_ERR_FORMAT, cases[i].part);
}

static void unknown_tensor(bytes *b) { key_u32(b, "split.count", 2); }
static void split_keys(bytes *b) {
    key(b, "split.count", AR__GGUF_U16);
    number(b, 3, 2);
}
static void yarn_keys(bytes *b) { key_text(b, "llama.rope.scaling.type", "yarn"); }
static void short_scores(bytes *b) {
    key(b, "llama.feed_forward_length", AR__GGUF_ARRAY);
    number(b, AR__GGUF_I32, 4);
    number(b, 2, 8);
    number(b, 12, 4);
    number(b, 12, 4);
}
static void partial_rotary(bytes *b) { key_u32(b, "llama.rope.dimension_count", 2); }
static void long_pattern(bytes *b) {
    key_u32(b, "llama.attention.sliding_window", 4);
    key(b, "llama.attention.sliding_window_pattern", AR__GGUF_ARRAY);
    number(b, AR__GGUF_BOOL, 4);
    number(b, 2, 8);
    number(b, 0, 1);
    number(b, 1, 1);
}
static void period_pattern(bytes *b) {
    key_u32(b, "llama.attention.sliding_window", 4);
    key_u32(b, "llama.attention.sliding_window_pattern", 2);
}
static void wide_window(bytes *b) { key_u32(b, "llama.attention.sliding_window", UINT32_MAX); }
static void wrong_vocab(bytes *b) { key_u32(b, "llama.vocab_size", 5); }

static void what_would_be_misread_is_refused(void **state) {
    (void)state;
    const struct {
        void (*keys)(bytes *b);
        const char *drop, *part;
        int count; /* of keys */
    } cases[] = {{split_keys, NULL, "split.count: found one of 3 files", 1},
                 {yarn_keys, NULL, "found \"yarn\"", 1},
                 {short_scores, "llama.feed_forward_length", "one for every block", 1},
                 {partial_rotary, NULL, "dimension_count: found 2", 1},
                 {long_pattern, NULL, "sliding_window_pattern: found 2 values, expected 1", 2},
                 {period_pattern, NULL, "sliding_window_pattern: found a value of type u32", 2},
                 {wide_window, NULL, "sliding_window: found 4294967295", 1},
                 {wrong_vocab, NULL, "vocab_size: found 5", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_error(open_changed(&(change){.more_keys = cases[i].keys,
                                            .more_key_count = cases[i].count,
                                            .drop = cases[i].drop}),
                     AR_ERR_FORMAT, cases[i].part);
    assert_ok(open_changed(
        &(change){.more_keys = unknown_tensor, .more_key_count = 1})); /* split.count of another kind */
}

static void opening_survives_every_failed_allocation(void **state) {
    (void)state;
    ar_status status = AR_ERR_MEMORY;
    int32_t n = 0;
    while (status == AR_ERR_MEMORY && n < 1000) {
        ar__alloc_fail_at(++n);
        status = open_changed(&(change){0});
        ar__alloc_fail_at(0);
    }
    assert_int_equal(status, AR_OK);
    assert_true(n > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_truncated_prefix_is_refused),
                                       cmocka_unit_test(last_tensor_needs_no_padding),
                                       cmocka_unit_test(wrong_headers_are_refused),
                                       cmocka_unit_test(wrong_values_are_refused),
                                       cmocka_unit_test(wrong_tensors_are_refused),
                                       cmocka_unit_test(wrong_models_are_refused),
                                       cmocka_unit_test(what_would_be_misread_is_refused),
                                       cmocka_unit_test(opening_survives_every_failed_allocation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
