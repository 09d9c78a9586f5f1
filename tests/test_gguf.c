/* host/fmt_gguf.c, _blocks, _names, _meta and _weights: files made here byte by byte, right and wrong.
 * Includes host's internal header, to parse from memory. */
#include "temp_files.h"
#include "ar_error.h"
#include "fmt_gguf.h"
#include "tokenizer.h"
#include <math.h>

/* ---- a file in memory ---- */

typedef struct bytes {
    uint8_t data[1 << 16];
    size_t used;
} bytes;

static void raw(bytes *b, const void *src, size_t n) {
    assert_true(b->used + n <= sizeof b->data);
    memcpy(b->data + b->used, src, n);
    b->used += n;
}

static void number(bytes *b, uint64_t value, int n) {
    for (int i = 0; i < n; i++, value >>= 8) raw(b, &(uint8_t){(uint8_t)value}, 1);
}

static void text(bytes *b, const char *s) {
    number(b, strlen(s), 8);
    raw(b, s, strlen(s));
}

static void real(bytes *b, float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    number(b, bits, 4);
}

static void header(bytes *b, uint32_t version, uint64_t tensors, uint64_t values) {
    b->used = 0;
    raw(b, "GGUF", 4);
    number(b, version, 4);
    number(b, tensors, 8);
    number(b, values, 8);
}

static void key(bytes *b, const char *name, int kind) {
    text(b, name);
    number(b, (uint64_t)kind, 4);
}

static void key_u32(bytes *b, const char *name, uint32_t value) {
    key(b, name, AR__GGUF_U32);
    number(b, value, 4);
}

static void key_text(bytes *b, const char *name, const char *value) {
    key(b, name, AR__GGUF_STRING);
    text(b, value);
}

static void key_f32(bytes *b, const char *name, float value) {
    key(b, name, AR__GGUF_F32);
    real(b, value);
}

static void info(bytes *b, const char *name, int dim_count, const int64_t *innermost_first, int type,
                 uint64_t offset) {
    text(b, name);
    number(b, (uint64_t)dim_count, 4);
    for (int d = 0; d < dim_count; d++) number(b, (uint64_t)innermost_first[d], 8);
    number(b, (uint64_t)type, 4);
    number(b, offset, 8);
}

static void pad(bytes *b, size_t alignment) {
    while (b->used % alignment) number(b, 0, 1);
}

/* Parses an exact copy, so that a sanitizer sees one byte too far. */
static ar_status parse_bytes(const bytes *b) {
    ar__gguf g;
    uint8_t *copy = malloc(b->used ? b->used : 1);
    memcpy(copy, b->data, b->used);
    ar_status status = ar__gguf_parse(&g, copy, b->used, "f");
    if (status == AR_OK)
        ar__gguf_deinit(&g);
    else
        assert_null(g.values);
    free(copy);
    return status;
}

/* ---- a whole model: hidden 8, 2 heads of 4, 1 block, 4 tokens ---- */

typedef struct change {
    const char *drop, *twice; /* a key or a tensor left out, or written twice */
    const char *key;          /* this key gets another value: */
    int kind;                 /*   of this kind */
    uint32_t value;
    const char *text;
    const char *tensor; /* this tensor gets another */
    int type;           /*   type (if not 0) */
    int64_t dims[2];    /*   shape (if not 0), innermost first */
    int64_t shift;      /*   offset, by so much */
    void (*more_keys)(bytes *b);
    int more_key_count;
    const float *rope_factors; /* (2) */
    int tokens;                /* 0 = 4 */
    bool tied, no_tokenizer;
} change;

static bool is(const char *a, const char *b) { return a && strcmp(a, b) == 0; }

static void put_one_key(bytes *b, const change *c, const char *name, int kind, uint32_t value,
                        const char *string) {
    if (is(c->key, name)) {
        kind = c->kind;
        value = c->value;
        string = c->text;
    }
    key(b, name, kind);
    if (kind == AR__GGUF_STRING)
        text(b, string);
    else
        number(b, value, kind == AR__GGUF_BOOL || kind == AR__GGUF_U8 ? 1 : 4);
}

static int put_key(bytes *b, const change *c, const char *name, int kind, uint32_t value,
                   const char *string) {
    if (is(c->drop, name)) return 0;
    put_one_key(b, c, name, kind, value, string);
    if (!is(c->twice, name)) return 1;
    put_one_key(b, c, name, kind, value, string);
    return 2;
}

static int put_tokenizer(bytes *b, const change *c) {
    static const char *const tokens[] = {"<unk>", "a", "b", "ab", "[PAD4]", "[PAD5]"};
    static const int types[] = {2, 1, 1, 1, 5, 5};
    int count = c->tokens ? c->tokens : 4;
    put_key(b, c, "tokenizer.ggml.model", AR__GGUF_STRING, 0, "llama");
    key(b, "tokenizer.ggml.tokens", AR__GGUF_ARRAY);
    number(b, AR__GGUF_STRING, 4);
    number(b, (uint64_t)count, 8);
    for (int i = 0; i < count; i++) text(b, tokens[i]);
    key(b, "tokenizer.ggml.scores", AR__GGUF_ARRAY);
    number(b, AR__GGUF_F32, 4);
    number(b, (uint64_t)count, 8);
    for (int i = 0; i < count; i++) real(b, (float)-i);
    key(b, "tokenizer.ggml.token_type", AR__GGUF_ARRAY);
    number(b, AR__GGUF_I32, 4);
    number(b, (uint64_t)count, 8);
    for (int i = 0; i < count; i++) number(b, (uint64_t)types[i], 4);
    return 4;
}

static float element(int tensor, int64_t i) { return (float)(tensor * 1000 + i) / 8.0f; }

typedef struct placed {
    bytes *b;
    const change *c;
    uint64_t offset;
    int count;
    int64_t elements[16];
    int types[16];
} placed;

static void put_info(placed *p, const char *name, int64_t inner, int64_t outer) {
    const change *c = p->c;
    if (is(c->drop, name)) return;
    bool changed = is(c->tensor, name);
    int64_t dims[2] = {changed && c->dims[0] ? c->dims[0] : inner,
                       changed && c->dims[0] ? c->dims[1] : outer};
    int type = changed ? c->type : 0;
    for (int times = is(c->twice, name) ? 2 : 1; times > 0; times--) {
        info(p->b, name, dims[1] ? 2 : 1, dims, type, p->offset + (uint64_t)(changed ? c->shift : 0));
        p->elements[p->count] = dims[0] * (dims[1] ? dims[1] : 1);
        p->types[p->count] = type;
        p->offset += (uint64_t)(p->elements[p->count] * (type == 0 ? 4 : 2) + 31) / 32 * 32;
        p->count++;
    }
}

static void put_data(const placed *p) {
    for (int t = 0; t < p->count; t++) {
        for (int64_t i = 0; i < p->elements[t]; i++)
            if (p->types[t] == 0)
                real(p->b, element(t, i));
            else
                number(p->b, p->types[t] == 30 ? ar_f32_to_bf16(element(t, i)) : ar_f32_to_f16(element(t, i)),
                       2);
        pad(p->b, 32);
    }
}

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

static void model(bytes *b, const change *c) {
    header(b, 3, 0, 0);
    int n = 0;
    n += put_key(b, c, "general.architecture", AR__GGUF_STRING, 0, "llama");
    n += put_key(b, c, "llama.context_length", AR__GGUF_U32, 16, NULL);
    n += put_key(b, c, "llama.embedding_length", AR__GGUF_U32, 8, NULL);
    n += put_key(b, c, "llama.block_count", AR__GGUF_U32, 1, NULL);
    n += put_key(b, c, "llama.feed_forward_length", AR__GGUF_U32, 12, NULL);
    n += put_key(b, c, "llama.attention.head_count", AR__GGUF_U32, 2, NULL);
    n += put_key(b, c, "llama.attention.head_count_kv", AR__GGUF_U32, 1, NULL);
    n += put_key(b, c, "llama.attention.layer_norm_rms_epsilon", AR__GGUF_F32, bits_of(1e-5f), NULL);
    if (!c->no_tokenizer) n += put_tokenizer(b, c);
    if (c->more_keys) c->more_keys(b);
    n += c->more_key_count;
    placed p = {.b = b, .c = c};
    int vocab = c->tokens ? c->tokens : 4;
    put_info(&p, "token_embd.weight", 8, vocab);
    put_info(&p, "blk.0.attn_q.weight", 8, 8);
    put_info(&p, "blk.0.attn_k.weight", 8, 4);
    put_info(&p, "blk.0.attn_v.weight", 8, 4);
    put_info(&p, "blk.0.attn_output.weight", 8, 8);
    put_info(&p, "blk.0.attn_norm.weight", 8, 0);
    put_info(&p, "blk.0.ffn_norm.weight", 8, 0);
    put_info(&p, "blk.0.ffn_gate.weight", 8, 12);
    put_info(&p, "blk.0.ffn_up.weight", 8, 12);
    put_info(&p, "blk.0.ffn_down.weight", 12, 8);
    put_info(&p, "output_norm.weight", 8, 0);
    if (!c->tied) put_info(&p, "output.weight", 8, vocab);
    if (c->rope_factors) put_info(&p, "rope_freqs.weight", 2, 0);
    size_t counts = 8, used = b->used;
    b->used = counts;
    number(b, (uint64_t)p.count, 8);
    number(b, (uint64_t)n, 8);
    b->used = used;
    pad(b, 32);
    put_data(&p);
    if (c->rope_factors) memcpy(b->data + b->used - 32, c->rope_factors, 8);
}

typedef struct opened {
    ar_weights weights;
    ar_config config;
    ar_tokenizer *tokenizer;
    uint8_t *copy;
} opened;

static ar_status open_bytes(opened *o, const bytes *b) {
    o->copy = malloc(b->used ? b->used : 1);
    memcpy(o->copy, b->data, b->used);
    ar_status status = ar__gguf_open_bytes(&o->weights, &o->config, &o->tokenizer, o->copy, b->used, "f");
    if (status == AR_OK) return AR_OK;
    assert_null(o->tokenizer);
    assert_null(o->weights.impl);
    free(o->copy);
    return status;
}

static void close_opened(opened *o) {
    ar_weights_close(&o->weights);
    ar_tokenizer_close(o->tokenizer);
    free(o->copy);
}

static ar_status open_changed(const change *c) {
    static bytes b;
    opened o;
    model(&b, c);
    ar_status status = open_bytes(&o, &b);
    if (status == AR_OK) close_opened(&o);
    return status;
}

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
                                       cmocka_unit_test(every_truncated_prefix_is_refused),
                                       cmocka_unit_test(wrong_headers_are_refused),
                                       cmocka_unit_test(wrong_values_are_refused),
                                       cmocka_unit_test(wrong_tensors_are_refused),
                                       cmocka_unit_test(wrong_models_are_refused),
                                       cmocka_unit_test(what_would_be_misread_is_refused),
                                       cmocka_unit_test(opening_survives_every_failed_allocation),
                                       cmocka_unit_test(llama_cpp_vocabularies_encode_as_published)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
