/* host/gguf/fmt_gguf.c, _blocks, _names, _meta and _weights: files made here byte by byte, right and wrong.
 * Includes host's internal header, to parse from memory. */
#include "gguf_file.h"

/* ---- right files ---- */

static void a_model_reads_under_its_hugging_face_names(void **state) {
    (void)state;
    static bytes b;
    opened o;
    float row[8];
    model(&b, &(change){0});
    assert_ok(open_bytes(&o, &b));
    const ar_weights *w = &o.weights;
    assert_int_equal(w->vtable->count(w->impl), 12);
    assert_int_equal(o.config.hidden, 8);
    assert_int_equal(o.config.vocab, 4);
    assert_int_equal(o.config.head_dim, 4);
    assert_int_equal(o.config.kv_heads, 1);
    assert_int_equal(o.config.bos, 1); /* llama.cpp's for files that do not say */
    assert_false(o.config.tied);
    assert_string_equal(o.config.rope_scaling.kind, "");
    /* q, head 1, of 4 rows: HF rows 4 5 6 7 are the file's 4 6 5 7 */
    const int64_t stored[] = {0, 2, 1, 3, 4, 6, 5, 7};
    int64_t q = ar_weights_find(w, "model.layers.0.self_attn.q_proj.weight");
    for (int64_t r = 0; r < 8; r++) {
        assert_ok(w->vtable->read(w->impl, row, q, r, 1));
        for (int64_t i = 0; i < 8; i++) assert_true(row[i] == element(1, stored[r] * 8 + i));
    }
    int64_t down = ar_weights_find(w, "model.layers.0.mlp.down_proj.weight");
    assert_int_equal(w->vtable->at(w->impl, down)->dims[0], 8);
    assert_int_equal(w->vtable->at(w->impl, down)->dims[1], 12);
    assert_ok(w->vtable->read(w->impl, NULL, down, 0, 0));
    assert_error(w->vtable->read(w->impl, row, down, 8, 1), AR_ERR_ARG, "expected them in");
    assert_error(w->vtable->read(w->impl, row, 12, 0, 0), AR_ERR_ARG, "index");
    ar_qlinear codes;
    assert_error(w->vtable->read_codes(w->impl, &codes, down), AR_ERR_UNSUPPORTED, "F32");
    assert_null(w->vtable->at(w->impl, 12));
    close_opened(&o);
}

static void version_2_and_other_alignments_read(void **state) {
    (void)state;
    static bytes b;
    model(&b, &(change){0});
    b.data[4] = 2;
    assert_ok(parse_bytes(&b));
    header(&b, 3, 2, 1);
    key_u32(&b, "general.alignment", 8);
    info(&b, "x", 1, (int64_t[]){3}, 0, 0);
    info(&b, "y", 1, (int64_t[]){1}, 0, 16);
    pad(&b, 8);
    for (int i = 0; i < 24; i++) number(&b, 0, 1);
    assert_ok(parse_bytes(&b));
    b.used -= 4; /* the last padding */
    assert_ok(parse_bytes(&b));
    b.used--;
    assert_error(parse_bytes(&b), AR_ERR_FORMAT, "for its tensors");
}

static void f16_and_bf16_read(void **state) {
    (void)state;
    static bytes b;
    const int types[] = {1, 30};
    for (int k = 0; k < 2; k++) {
        opened o;
        float rows[96];
        model(&b, &(change){.tensor = "blk.0.ffn_up.weight", .type = types[k]});
        assert_ok(open_bytes(&o, &b));
        int64_t i = ar_weights_find(&o.weights, "model.layers.0.mlp.up_proj.weight");
        assert_string_equal(o.weights.vtable->at(o.weights.impl, i)->type, k ? "BF16" : "F16");
        assert_ok(o.weights.vtable->read(o.weights.impl, rows, i, 0, 12));
        for (int j = 0; j < 96; j++) {
            float x = element(8, j),
                  y = k ? ar_bf16_to_f32(ar_f32_to_bf16(x)) : ar_f16_to_f32(ar_f32_to_f16(x));
            assert_true(rows[j] == y);
        }
        close_opened(&o);
    }
}

static void a_missing_output_means_tied(void **state) {
    (void)state;
    static bytes b;
    opened o;
    model(&b, &(change){.tied = true, .no_tokenizer = true});
    assert_ok(open_bytes(&o, &b));
    assert_true(o.config.tied);
    assert_null(o.tokenizer);
    assert_int_equal(o.config.bos, -1);
    close_opened(&o);
}

static void padding_tokens_are_left_out(void **state) {
    (void)state;
    static bytes b;
    opened o;
    model(&b, &(change){.tokens = 6});
    assert_ok(open_bytes(&o, &b));
    assert_int_equal(o.config.vocab, 6);
    assert_int_equal(ar_tokenizer_vocab(o.tokenizer), 4);
    assert_int_equal(ar_tokenizer_unk(o.tokenizer), 0);
    close_opened(&o);
}

static void per_layer_keys(bytes *b) {
    key(b, "llama.attention.head_count_kv", AR__GGUF_ARRAY);
    number(b, AR__GGUF_I32, 4);
    number(b, 1, 8);
    number(b, 2, 4);
    key_text(b, "llama.rope.scaling.type", "linear");
    key_f32(b, "llama.rope.scaling.factor", 4);
    key_f32(b, "llama.rope.freq_base", 5e5f);
}

static void per_layer_counts_and_linear_scaling_read(void **state) {
    (void)state;
    static bytes b;
    opened o;
    model(&b, &(change){
                  .drop = "llama.attention.head_count_kv", .more_keys = per_layer_keys, .more_key_count = 4});
    assert_ok(open_bytes(&o, &b));
    assert_int_equal(o.config.kv_heads, 2);
    assert_string_equal(o.config.rope_scaling.kind, "linear");
    assert_true(o.config.rope_scaling.factor == 4.0f && o.config.rope_theta == 5e5f);
    close_opened(&o);
}

/* ---- blocks, against values worked out by hand ---- */

static void blocks_decode_as_published(void **state) {
    (void)state;
    uint8_t q4[20] = {0x00, 0xb8, 0xf0, 0x1e},
            q8[34] = {0x00, 0x38, 0x80, 0x7f, 0xff}; /* d = -0.5; d = 0.5 */
    float x[32];
    ar__gguf_decode(x, ar__gguf_type_of(2), q4, 32);
    assert_true(x[0] == 4.0f);                   /* -0.5 (0 - 8) */
    assert_true(x[16] == -3.5f);                 /* -0.5 (15 - 8) */
    assert_true(x[1] == -3.0f && x[17] == 3.5f); /* 14, 1 */
    ar__gguf_decode(x, ar__gguf_type_of(8), q8, 32);
    assert_true(x[0] == -64.0f && x[1] == 63.5f && x[2] == -0.5f && x[31] == 0.0f);
    const uint8_t q41[20] = {0x00, 0x38, 0x00, 0xbc, 0x21, 0xf0}; /* d = 0.5, m = -1 */
    ar__gguf_decode(x, ar__gguf_type_of(3), q41, 32);
    assert_true(x[0] == -0.5f && x[16] == 0.0f && x[1] == -1.0f && x[17] == 6.5f && x[31] == -1.0f);
    ar_qlinear q;
    ar_scheme scheme;
    assert_true(ar__gguf_scheme(&scheme, AR_QT_Q4_1));
    assert_ok(ar_qlinear_init(&q, &scheme, 1, 32));
    ar__gguf_decode_codes(&q, 0, ar__gguf_type_of(3), q41);
    assert_int_equal(q.zeros[0], 2); /* rnd(1 / 0.5) */
    assert_int_equal(q.mins[0], 0xbc00);
    assert_int_equal(q.codes[17], 15);
    ar_qlinear_deinit(&q);
}

static void rows_permute_both_ways(void **state) {
    (void)state;
    const int64_t file[] = {0, 2, 4, 6, 1, 3, 5, 7}; /* of HF rows 0.. of a head of 8 */
    for (int64_t r = 0; r < 24; r++) {
        assert_int_equal(ar__gguf_row_in_file(r, 8), r / 8 * 8 + file[r % 8]);
        assert_int_equal(ar__gguf_row_in_hf(ar__gguf_row_in_file(r, 8), 8), r);
    }
}

static void names_map_both_ways(void **state) {
    (void)state;
    char gguf[AR__GGUF_NAME], hf[AR__GGUF_HF_NAME], back[AR__GGUF_HF_NAME];
    const char *families[] = {"llama", "mistral", "qwen2", "qwen3", "phi3", "gpt2"};
    for (int f = 0; f < 6; f++) {
        const ar__gguf_arch *arch = ar__gguf_arch_of(families[f]);
        assert_non_null(arch);
        assert_ptr_equal(ar__gguf_arch_named(arch->name, strlen(arch->name)), arch);
        for (int32_t i = 0; ar__gguf_block_name(gguf, hf, arch, 4095, i); i++) {
            assert_true(ar__gguf_to_hf(back, arch, gguf, strlen(gguf)));
            assert_string_equal(back, hf);
        }
    }
    assert_null(ar__gguf_arch_of("opt"));
    const char *wrong[] = {"blk.00.attn_q.weight", "blk.4096.attn_q.weight",
                           "blk.-1.attn_q.weight", "blk.1x.attn_q.weight",
                           "blk..attn_q.weight",   "attn_q.weight",
                           "token_embd.bias",      "blk.0.attn_q.weights",
                           "blk.0.attn_q",         "",
                           "output.weight.weight", "blk.0.token_embd.weight"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(ar__gguf_to_hf(back, ar__gguf_arch_of("llama"), wrong[i], strlen(wrong[i])));
    assert_true(ar__gguf_to_hf(back, ar__gguf_arch_of("llama"), "output.weight", 13));
    assert_string_equal(back, "lm_head.weight");
}

static void llama3_factors_give_their_parameters(void **state) {
    (void)state;
    const struct {
        float theta, factor, high;
        int32_t head_dim, original;
    } cases[] = {{5e5f, 8, 4, 128, 8192}, {5e5f, 32, 4, 64, 8192},
                 {1e4f, 4, 8, 64, 2048},  {1e6f, 16, 2, 96, 32768},
                 {5e5f, 8, 4, 16, 128},   /* one blended element */ {5e8f, 8, 4, 4, 8192} /* none */};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        static bytes b;
        ar_config c = {.rope_theta = cases[k].theta, .head_dim = cases[k].head_dim};
        c.rope_scaling.factor = cases[k].factor;
        c.rope_scaling.low_freq = 1;
        c.rope_scaling.high_freq = cases[k].high;
        c.rope_scaling.original_tokens = cases[k].original;
        float factors[64];
        ar__gguf_rope_factors(factors, &c, AR__GGUF_ROPE_FREQS);
        header(&b, 3, 2, 9);
        key_text(&b, "general.architecture", "llama");
        key_u32(&b, "llama.context_length", 16);
        key_u32(&b, "llama.embedding_length", 8);
        key_u32(&b, "llama.block_count", 1);
        key_u32(&b, "llama.feed_forward_length", 8);
        key_u32(&b, "llama.attention.head_count", 1);
        key_u32(&b, "llama.attention.key_length", (uint32_t)c.head_dim);
        key_f32(&b, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
        key_f32(&b, "llama.rope.freq_base", c.rope_theta);
        info(&b, "token_embd.weight", 2, (int64_t[]){8, 1}, 0, 0);
        info(&b, "rope_freqs.weight", 1, (int64_t[]){c.head_dim / 2}, 0, 32);
        pad(&b, 32);
        for (int i = 0; i < 8; i++) real(&b, 0);
        for (int i = 0; i < c.head_dim / 2; i++) real(&b, factors[i]);
        pad(&b, 32);
        opened o;
        assert_ok(open_bytes(&o, &b));
        assert_int_equal(o.weights.vtable->count(o.weights.impl), 1); /* the factors are no weight */
        assert_string_equal(o.config.rope_scaling.kind, "llama3");
        assert_true(o.config.rope_scaling.factor == cases[k].factor &&
                    o.config.rope_scaling.low_freq == 1.0f);
        assert_true(o.config.rope_scaling.high_freq == cases[k].high);
        assert_int_equal(o.config.rope_scaling.original_tokens, cases[k].original);
        close_opened(&o);
    }
    assert_ok(open_changed(&(change){.rope_factors = (float[]){1, 1}}));
    assert_error(open_changed(&(change){.rope_factors = (float[]){2, 1}}), AR_ERR_FORMAT, "not Llama 3's");
    assert_error(open_changed(&(change){.rope_factors = (float[]){2, 2}}), AR_ERR_FORMAT, "not Llama 3's");
    assert_error(open_changed(&(change){.rope_factors = (float[]){1, NAN}}), AR_ERR_FORMAT, "not Llama 3's");
}

/* ---- llama.cpp's vocabulary files: texts separated by a line, a line of ids each ---- */

static void check_vectors(const ar_tokenizer *t, const char *name) {
    static const char mark[] = "\n__ggml_vocab_test__\n";
    char path[256], *texts, *lines;
    size_t size;
    snprintf(path, sizeof path, "tokenizers/gguf-vocab/%s.gguf.inp", name);
    assert_ok(ar_file_read_text(&texts, &size, shared_data(path), 1 << 20));
    snprintf(path, sizeof path, "tokenizers/gguf-vocab/%s.gguf.out", name);
    assert_ok(ar_file_read_text(&lines, &size, shared_data(path), 1 << 20));
    int checked = 0;
    char *line = lines;
    for (char *at = texts, *end; at; at = end ? end + sizeof mark - 1 : NULL, checked++) {
        end = strstr(at, mark);
        int32_t *ids;
        int64_t count;
        assert_ok(ar_tokenizer_encode(t, &ids, &count, at, end ? (size_t)(end - at) : strlen(at), false));
        char *next = line + strcspn(line, "\n");
        for (int64_t i = 0; i < count; i++) {
            char *after = line;
            long expected = strtol(line, &after, 10);
            if (after == line || after > next || expected != ids[i])
                fail_msg("%s text %d id %d: found %d", name, checked, (int)i, (int)ids[i]);
            line = after;
        }
        assert_int_equal(strspn(line, " "), next - line);
        line = next + (*next == '\n');
        free(ids);
    }
    assert_true(checked > 40);
    free(texts);
    free(lines);
}

static void llama_cpp_vocabularies_encode_as_published(void **state) {
    (void)state;
    static const char *const names[] = {"ggml-vocab-llama-spm", "ggml-vocab-phi-3", "ggml-vocab-gpt-2",
                                        "ggml-vocab-deepseek-coder"};
    if (!shared_data("tokenizers/gguf-vocab/ggml-vocab-gpt-2.gguf")) skip();
    for (int i = 0; i < 4; i++) {
        char path[256];
        ar_file f;
        ar__gguf g;
        ar_tokenizer *t;
        snprintf(path, sizeof path, "tokenizers/gguf-vocab/%s.gguf", names[i]);
        assert_ok(ar_file_open(&f, shared_data(path)));
        assert_ok(ar__gguf_parse(&g, f.data, f.bytes, names[i]));
        assert_ok(ar__gguf_tokenizer(&t, &g));
        check_vectors(t, names[i]);
        char *json; /* and as a tokenizer.json */
        ar_tokenizer *again;
        assert_ok(ar__tokenizer_write(&json, t));
        assert_ok(ar_tokenizer_parse(&again, json, strlen(json), names[i]));
        check_vectors(again, names[i]);
        free(json);
        ar_tokenizer_close(again);
        ar_tokenizer_close(t);
        ar__gguf_deinit(&g);
        ar_file_close(&f);
    }
}

/* ---- importance ---- */

static void sums_find_their_counts_in_any_order(void **state) {
    (void)state;
    static bytes b;
    char *folder = temp_folder();
    const char *names[] = {"blk.0.attn_q.weight.counts", "blk.0.attn_k.weight.in_sum2",
                           "blk.0.attn_k.weight.counts", "blk.0.attn_q.weight.in_sum2"};
    const int64_t sizes[] = {1, 2, 1, 2};
    const float values[][2] = {{2, 0}, {9, 12}, {3, 0}, {8, 10}};
    header(&b, 3, 4, 1);
    key_text(&b, "general.type", "imatrix");
    for (int i = 0; i < 4; i++) info(&b, names[i], 1, &sizes[i], 0, 32 * (uint64_t)i);
    for (int i = 0; i < 4; i++) {
        pad(&b, 32);
        for (int64_t k = 0; k < sizes[i]; k++) real(&b, values[i][k]);
    }
    put_file(in_folder(folder, "i.gguf"), b.data, b.used);
    ar_imatrix *m;
    float x[2];
    const ar_config config = {.family = "llama", .layers = 1};
    ar_block block = {.linear_count = 2,
                      .linears = {{"self_attn.q_proj", 2, 2, false}, {"self_attn.k_proj", 2, 2, false}}};
    assert_ok(ar_imatrix_open(&m, in_folder(folder, "i.gguf")));
    assert_ok(ar_imatrix_linear(m, x, &config, &block, 0));
    assert_true(x[0] == 4 && x[1] == 5);
    assert_ok(ar_imatrix_linear(m, x, &config, &block, 1));
    assert_true(x[0] == 3 && x[1] == 4);
    ar_imatrix_close(m);
    temp_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_model_reads_under_its_hugging_face_names),
                                       cmocka_unit_test(version_2_and_other_alignments_read),
                                       cmocka_unit_test(f16_and_bf16_read),
                                       cmocka_unit_test(a_missing_output_means_tied),
                                       cmocka_unit_test(padding_tokens_are_left_out),
                                       cmocka_unit_test(per_layer_counts_and_linear_scaling_read),
                                       cmocka_unit_test(blocks_decode_as_published),
                                       cmocka_unit_test(rows_permute_both_ways),
                                       cmocka_unit_test(names_map_both_ways),
                                       cmocka_unit_test(llama3_factors_give_their_parameters),
                                       cmocka_unit_test(sums_find_their_counts_in_any_order),
                                       cmocka_unit_test(llama_cpp_vocabularies_encode_as_published)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
