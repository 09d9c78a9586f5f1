/* For tests of GGUF writing: a random Llama folder whose linears blocks of 32 divide, opened, and a source of
 * quantized linears made by rounding to nearest, or of extreme codes and scales. */
#ifndef AR_GGUF_SOURCE_H
#define AR_GGUF_SOURCE_H
#include "temp_files.h"
#include "ar_error.h"
#include "fmt_gguf.h"
#include "hf_folder.h"

typedef struct gguf_shape {
    int hidden, intermediate, layers, heads, kv_heads, head_dim, vocab;
    bool tied, biased;
    const char *config;    /* more JSON members */
    const char *tokenizer; /* a tokenizer.json to use, or NULL */
} gguf_shape;
static const gguf_shape gguf_small = {64, 96, 2, 4, 2, 16, 300, false, false, NULL, NULL};

typedef struct gguf_source {
    ar_open_model model;
    ar_output_plan plan;
    ar_write_source write;
    bool extreme; /* all scales negative, the lowest code in every group, random codes */
} gguf_source;

static inline float gguf_value(uint64_t tensor, uint64_t i) {
    uint64_t h = (tensor * 0x9e3779b97f4a7c15u + i + 1) * 0xbf58476d1ce4e5b9u;
    h = (h ^ h >> 29) * 0x94d049bb133111ebu;
    return (float)((double)(h >> 40) / (1 << 24) - 0.5) * 0.25f;
}

typedef struct gguf_tensors {
    char names[128][160];
    int64_t dims[128][2];
    int count;
} gguf_tensors;

static inline void gguf_add(gguf_tensors *t, const char *name, int64_t rows, int64_t width) {
    snprintf(t->names[t->count], sizeof t->names[0], "%s", name);
    t->dims[t->count][0] = rows;
    t->dims[t->count++][1] = width;
}

static inline void gguf_list(gguf_tensors *t, const gguf_shape *s) {
    const int q = s->heads * s->head_dim, kv = s->kv_heads * s->head_dim;
    const struct {
        const char *name;
        int O, I;
    } linears[] = {{"self_attn.q_proj", q, s->hidden},
                   {"self_attn.k_proj", kv, s->hidden},
                   {"self_attn.v_proj", kv, s->hidden},
                   {"self_attn.o_proj", s->hidden, q},
                   {"mlp.gate_proj", s->intermediate, s->hidden},
                   {"mlp.up_proj", s->intermediate, s->hidden},
                   {"mlp.down_proj", s->hidden, s->intermediate}};
    char name[160];
    t->count = 0;
    gguf_add(t, "model.embed_tokens.weight", s->vocab, s->hidden);
    if (!s->tied) gguf_add(t, "lm_head.weight", s->vocab, s->hidden);
    gguf_add(t, "model.norm.weight", 0, s->hidden);
    for (int layer = 0; layer < s->layers; layer++) {
        for (int i = 0; i < 7; i++) {
            snprintf(name, sizeof name, "model.layers.%d.%s.weight", layer, linears[i].name);
            gguf_add(t, name, linears[i].O, linears[i].I);
            snprintf(name, sizeof name, "model.layers.%d.%s.bias", layer, linears[i].name);
            if (s->biased) gguf_add(t, name, 0, linears[i].O);
        }
        snprintf(name, sizeof name, "model.layers.%d.input_layernorm.weight", layer);
        gguf_add(t, name, 0, s->hidden);
        snprintf(name, sizeof name, "model.layers.%d.post_attention_layernorm.weight", layer);
        gguf_add(t, name, 0, s->hidden);
    }
}

static inline void gguf_write_folder(const char *folder, const gguf_shape *s) {
    static gguf_tensors t;
    char text[2048];
    snprintf(
        text, sizeof text,
        "{%s%s\"model_type\":\"llama\",\"hidden_size\":%d,\"intermediate_size\":%d,\"num_hidden_layers\":%d,"
        "\"num_attention_heads\":%d,\"num_key_value_heads\":%d,\"head_dim\":%d,\"vocab_size\":%d,"
        "\"max_position_embeddings\":64,\"rms_norm_eps\":1e-5,\"tie_word_embeddings\":%s,\"bos_token_id\":1,"
        "\"eos_token_id\":2}",
        s->config ? s->config : "", s->config ? "," : "", s->hidden, s->intermediate, s->layers, s->heads,
        s->kv_heads, s->head_dim, s->vocab, s->tied ? "true" : "false");
    put_text(in_folder(folder, "config.json"), text);
    gguf_list(&t, s);
    ar_st_writer *w;
    assert_ok(ar_st_writer_create(&w));
    for (int i = 0; i < t.count; i++)
        assert_ok(ar_st_writer_declare(w, t.names[i], "F32", t.dims[i][0] ? 2 : 1,
                                       t.dims[i] + (t.dims[i][0] ? 0 : 1)));
    assert_ok(ar_st_writer_begin(w, in_folder(folder, "model.safetensors")));
    for (int i = 0; i < t.count; i++) {
        int64_t elements = t.dims[i][1] * (t.dims[i][0] ? t.dims[i][0] : 1);
        for (int64_t j = 0; j < elements; j++) {
            float value = gguf_value((uint64_t)i, (uint64_t)j);
            assert_ok(ar_st_writer_data(w, &value, 4));
        }
    }
    assert_ok(ar_st_writer_finish(&w));
}

static inline void make_extreme(ar_qlinear *q) {
    for (int64_t i = 0; q->scales && i < q->O * q->groups; i++) q->scales[i] |= 0x8000;
    for (int64_t i = 0; q->d && i < q->O * q->supers; i++) q->d[i] |= 0x8000;
    for (int64_t i = 0; q->sub_scales && i < q->O * q->groups; i++)
        q->sub_scales[i] = (int8_t)(q->scheme.super == AR_SUPER_Q6_K   ? i * 37
                                    : q->scheme.super == AR_SUPER_Q3_K ? i * 37 % 64 - 32
                                    : q->scheme.super == AR_SUPER_Q2_K ? i * 37 % 16
                                                                       : i * 37 % 64);
    for (int64_t i = 0; i < q->O * q->I; i++)
        q->codes[i] = (uint8_t)(i % 8 == 0 ? 0 : ((uint64_t)i * 2654435761u >> 7) % (1u << q->scheme.bits));
}

static inline ar_status gguf_linear(void *ctx, ar_qlinear **q, int32_t block, int32_t i) {
    gguf_source *s = ctx;
    const ar_block *b = &s->model.model.blocks[block];
    const ar_linear *lin = &b->linears[i];
    ar_scheme scheme;
    *q = NULL;
    if (!ar_output_plan_choose(&s->plan, &s->model.config, b, i, &scheme)) return AR_OK;
    float *values = malloc((size_t)(lin->O * lin->I) * sizeof *values);
    ar_qlinear *made = calloc(1, sizeof *made);
    ar_status status = ar_qlinear_init(made, &scheme, lin->O, lin->I);
    if (status == AR_OK) status = b->read_linear(b, values, i, 0, lin->O);
    if (status == AR_OK)
        status = scheme.super ? ar__gguf_round(made, "linear", values, 0) : ar_qlinear_rtn(made, values);
    if (status == AR_OK && s->extreme) make_extreme(made);
    free(values);
    if (status == AR_OK)
        *q = made;
    else
        ar_qlinear_free(made);
    return status;
}

/* Opens FOLDER and plans the type; request.formats is set here. */
static inline void gguf_open_source(gguf_source *s, const char *folder, const char *tokenizer,
                                    ar_output_request request) {
    memset(s, 0, sizeof *s);
    request.formats = "gguf";
    assert_ok(ar_output_plan_make(&s->plan, &request));
    s->model.path = (char *)(uintptr_t)folder;
    assert_ok(ar_config_open(&s->model.config, in_folder(folder, "config.json")));
    assert_ok(ar_weights_open_safetensors(&s->model.weights, folder));
    assert_ok(ar_family_bind(&s->model));
    if (tokenizer) {
        assert_ok(ar_tokenizer_open(&s->model.tokenizer, tokenizer));
        ar_tokenizer_set_special(s->model.tokenizer, 1, 2, 0);
    }
    s->write = (ar_write_source){.model = &s->model, .plan = &s->plan, .linear = gguf_linear, .ctx = s};
}

static inline void gguf_close_source(gguf_source *s) {
    ar_family_unbind(&s->model);
    ar_weights_close(&s->model.weights);
    ar_tokenizer_close(s->model.tokenizer);
}

static inline void assert_same_config(const ar_config *a, const ar_config *b) {
    assert_string_equal(a->family, b->family);
    assert_int_equal(a->hidden, b->hidden);
    assert_int_equal(a->intermediate, b->intermediate);
    assert_int_equal(a->vocab, b->vocab);
    assert_int_equal(a->layers, b->layers);
    assert_int_equal(a->heads, b->heads);
    assert_int_equal(a->kv_heads, b->kv_heads);
    assert_int_equal(a->head_dim, b->head_dim);
    assert_int_equal(a->max_tokens, b->max_tokens);
    assert_int_equal(a->tied, b->tied);
    assert_true(a->rms_eps == b->rms_eps && a->rope_theta == b->rope_theta);
    assert_string_equal(a->rope_scaling.kind, b->rope_scaling.kind);
    assert_true(a->rope_scaling.factor == b->rope_scaling.factor &&
                a->rope_scaling.low_freq == b->rope_scaling.low_freq);
    assert_true(a->rope_scaling.high_freq == b->rope_scaling.high_freq);
    assert_int_equal(a->rope_scaling.original_tokens, b->rope_scaling.original_tokens);
}
#endif
