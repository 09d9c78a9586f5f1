/* A random Llama folder for tests: 2 layers of hidden 16, written with the library's own writer; any tensor
 * may be left out, reshaped, retyped, or one more added. */
#ifndef AR_TINY_MODEL_H
#define AR_TINY_MODEL_H
#include "temp_files.h"

#define TINY_CONFIG                                                                                          \
    "\"model_type\":\"llama\",\"hidden_size\":16,\"intermediate_size\":24,\"num_hidden_layers\":2,"          \
    "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"vocab_size\":10,\"max_position_embeddings\":32,"  \
    "\"bos_token_id\":1,\"eos_token_id\":2"

typedef struct tiny_change {
    const char *config;              /* JSON members behind TINY_CONFIG's: the last of a key counts */
    const char *missing, *misshapen; /* names of tensors */
    const char *retyped, *dtype;     /* this one gets this type (4 bytes an element, or 2) */
    const char *extra;               /* (3) f32 of this name */
    bool biased, tied, head_only;    /* all linears with biases; no lm_head; lm_head and no embedding */
} tiny_change;

typedef struct tiny_tensor {
    char name[96];
    int32_t dim_count;
    int64_t dims[2];
} tiny_tensor;

static inline int tiny_add(tiny_tensor *list, int count, const tiny_change *c, const char *name, int64_t rows,
                           int64_t width) {
    if (c->missing && strcmp(c->missing, name) == 0) return count;
    tiny_tensor *t = &list[count];
    snprintf(t->name, sizeof t->name, "%s", name);
    t->dim_count = rows ? 2 : 1;
    t->dims[0] = rows ? rows : width;
    t->dims[1] = width;
    if (c->misshapen && strcmp(c->misshapen, name) == 0) t->dims[0]++;
    return count + 1;
}

static inline int tiny_list(tiny_tensor *list, const tiny_change *c) {
    static const struct {
        const char *name;
        int64_t O, I;
    } linears[] = {{"self_attn.q_proj", 16, 16}, {"self_attn.k_proj", 8, 16}, {"self_attn.v_proj", 8, 16},
                   {"self_attn.o_proj", 16, 16}, {"mlp.gate_proj", 24, 16},   {"mlp.up_proj", 24, 16},
                   {"mlp.down_proj", 16, 24}};
    char name[96];
    int n = 0;
    if (!c->head_only) n = tiny_add(list, n, c, "model.embed_tokens.weight", 10, 16);
    if (!c->tied) n = tiny_add(list, n, c, "lm_head.weight", 10, 16);
    n = tiny_add(list, n, c, "model.norm.weight", 0, 16);
    for (int layer = 0; layer < 2; layer++) {
        for (int i = 0; i < 7; i++) {
            snprintf(name, sizeof name, "model.layers.%d.%s.weight", layer, linears[i].name);
            n = tiny_add(list, n, c, name, linears[i].O, linears[i].I);
            snprintf(name, sizeof name, "model.layers.%d.%s.bias", layer, linears[i].name);
            if (c->biased) n = tiny_add(list, n, c, name, 0, linears[i].O);
        }
        snprintf(name, sizeof name, "model.layers.%d.input_layernorm.weight", layer);
        n = tiny_add(list, n, c, name, 0, 16);
        snprintf(name, sizeof name, "model.layers.%d.post_attention_layernorm.weight", layer);
        n = tiny_add(list, n, c, name, 0, 16);
    }
    if (c->extra) n = tiny_add(list, n, c, c->extra, 0, 3);
    return n;
}

/* Element j of tensor i, the same in every test. */
static inline float tiny_value(int i, int64_t j) { return (float)((i * 31 + j * 7) % 41 - 20) / 64.0f; }

static inline void tiny_write(const char *folder, const tiny_change *c) {
    tiny_tensor list[64];
    int count = tiny_list(list, c);
    char text[2048];
    snprintf(text, sizeof text, "{" TINY_CONFIG "%s%s}", c->config ? "," : "", c->config ? c->config : "");
    put_text(in_folder(folder, "config.json"), text);
    ar_st_writer *w;
    assert_ok(ar_st_writer_create(&w));
    for (int i = 0; i < count; i++) {
        bool retyped = c->retyped && strcmp(c->retyped, list[i].name) == 0;
        assert_ok(ar_st_writer_declare(w, list[i].name, retyped ? c->dtype : "F32", list[i].dim_count,
                                       list[i].dims));
    }
    assert_ok(ar_st_writer_begin(w, in_folder(folder, "model.safetensors")));
    for (int i = 0; i < count; i++) {
        bool half =
            c->retyped && strcmp(c->retyped, list[i].name) == 0 && c->dtype[strlen(c->dtype) - 1] == '6';
        int64_t elements = list[i].dims[0] * (list[i].dim_count > 1 ? list[i].dims[1] : 1);
        for (int64_t j = 0; j < elements; j++) {
            float value = tiny_value(i, j);
            uint16_t bits = half && c->dtype[0] == 'B' ? ar_f32_to_bf16(value) : ar_f32_to_f16(value);
            assert_ok(half ? ar_st_writer_data(w, &bits, 2) : ar_st_writer_data(w, &value, 4));
        }
    }
    assert_ok(ar_st_writer_finish(&w));
}
#endif
