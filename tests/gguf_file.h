/* GGUF files made in memory, right and wrong, and a whole small model in one. */
#ifndef AR_TEST_GGUF_FILE_H
#define AR_TEST_GGUF_FILE_H
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

static inline void raw(bytes *b, const void *src, size_t n) {
    assert_true(b->used + n <= sizeof b->data);
    memcpy(b->data + b->used, src, n);
    b->used += n;
}

static inline void number(bytes *b, uint64_t value, int n) {
    for (int i = 0; i < n; i++, value >>= 8) raw(b, &(uint8_t){(uint8_t)value}, 1);
}

static inline void text(bytes *b, const char *s) {
    number(b, strlen(s), 8);
    raw(b, s, strlen(s));
}

static inline void real(bytes *b, float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    number(b, bits, 4);
}

static inline void header(bytes *b, uint32_t version, uint64_t tensors, uint64_t values) {
    b->used = 0;
    raw(b, "GGUF", 4);
    number(b, version, 4);
    number(b, tensors, 8);
    number(b, values, 8);
}

static inline void key(bytes *b, const char *name, int kind) {
    text(b, name);
    number(b, (uint64_t)kind, 4);
}

static inline void key_u32(bytes *b, const char *name, uint32_t value) {
    key(b, name, AR__GGUF_U32);
    number(b, value, 4);
}

static inline void key_text(bytes *b, const char *name, const char *value) {
    key(b, name, AR__GGUF_STRING);
    text(b, value);
}

static inline void key_f32(bytes *b, const char *name, float value) {
    key(b, name, AR__GGUF_F32);
    real(b, value);
}

static inline void info(bytes *b, const char *name, int dim_count, const int64_t *innermost_first, int type,
                        uint64_t offset) {
    text(b, name);
    number(b, (uint64_t)dim_count, 4);
    for (int d = 0; d < dim_count; d++) number(b, (uint64_t)innermost_first[d], 8);
    number(b, (uint64_t)type, 4);
    number(b, offset, 8);
}

static inline void pad(bytes *b, size_t alignment) {
    while (b->used % alignment) number(b, 0, 1);
}

/* Parses an exact copy, so that a sanitizer sees one byte too far. */
static inline ar_status parse_bytes(const bytes *b) {
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

static inline bool is(const char *a, const char *b) { return a && strcmp(a, b) == 0; }

static inline void put_one_key(bytes *b, const change *c, const char *name, int kind, uint32_t value,
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

static inline int put_key(bytes *b, const change *c, const char *name, int kind, uint32_t value,
                          const char *string) {
    if (is(c->drop, name)) return 0;
    put_one_key(b, c, name, kind, value, string);
    if (!is(c->twice, name)) return 1;
    put_one_key(b, c, name, kind, value, string);
    return 2;
}

static inline int put_tokenizer(bytes *b, const change *c) {
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

static inline float element(int tensor, int64_t i) { return (float)(tensor * 1000 + i) / 8.0f; }

typedef struct placed {
    bytes *b;
    const change *c;
    uint64_t offset;
    int count;
    int64_t elements[16];
    int types[16];
} placed;

static inline void put_info(placed *p, const char *name, int64_t inner, int64_t outer) {
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

static inline void put_data(const placed *p) {
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

static inline uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

static inline void model(bytes *b, const change *c) {
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

static inline ar_status open_bytes(opened *o, const bytes *b) {
    o->copy = malloc(b->used ? b->used : 1);
    memcpy(o->copy, b->data, b->used);
    ar_status status = ar__gguf_open_bytes(&o->weights, &o->config, &o->tokenizer, o->copy, b->used, "f");
    if (status == AR_OK) return AR_OK;
    assert_null(o->tokenizer);
    assert_null(o->weights.impl);
    free(o->copy);
    return status;
}

static inline void close_opened(opened *o) {
    ar_weights_close(&o->weights);
    ar_tokenizer_close(o->tokenizer);
    free(o->copy);
}

static inline ar_status open_changed(const change *c) {
    static bytes b;
    opened o;
    model(&b, c);
    ar_status status = open_bytes(&o, &b);
    if (status == AR_OK) close_opened(&o);
    return status;
}
#endif
