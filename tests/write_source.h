/* For tests of format writers: a random Llama-shaped folder of 2 layers, and made-up quantized linears for it
 * (any codes, scales of either sign), as an ar_write_source. Needs no device and no model family. */
#ifndef AR_WRITE_SOURCE_H
#define AR_WRITE_SOURCE_H
#include "temp_files.h"
#include "hf_folder.h"

typedef struct source_shape {
    int64_t hidden, kv, inter;
    bool biased;
    const char *dtype;
    const char *config;
} source_shape;

typedef struct test_source {
    ar_open_model model;
    ar_block blocks[2];
    ar_output_plan plan;
    ar_write_source src;
    bool negative; /* every scale is negative: only in symmetric schemes */
} test_source;

static inline uint32_t source_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static inline void source_list_linears(ar_block *b, const source_shape *s) {
    const struct {
        const char *name;
        int64_t O, I;
    } list[] = {{"self_attn.q_proj", s->hidden, s->hidden}, {"self_attn.k_proj", s->kv, s->hidden},
                {"self_attn.v_proj", s->kv, s->hidden},     {"self_attn.o_proj", s->hidden, s->hidden},
                {"mlp.gate_proj", s->inter, s->hidden},     {"mlp.up_proj", s->inter, s->hidden},
                {"mlp.down_proj", s->hidden, s->inter}};
    b->linear_count = 7;
    for (int i = 0; i < 7; i++) b->linears[i] = (ar_linear){list[i].name, list[i].O, list[i].I, s->biased};
}

/* Declares (begun false) or writes one tensor; values are small multiples of 1/64, exact in every float type.
 */
static inline void source_tensor(ar_st_writer *w, bool begun, const char *dtype, const char *name,
                                 int64_t rows, int64_t width) {
    int64_t dims[] = {rows ? rows : width, width};
    if (!begun) {
        assert_ok(ar_st_writer_declare(w, name, dtype, rows ? 2 : 1, dims));
        return;
    }
    uint32_t state = 1;
    for (const char *c = name; *c; c++) state = state * 31u + (uint8_t)*c;
    for (int64_t i = 0; i < (rows ? rows : 1) * width; i++) {
        float value = (float)((int)(source_random(&state) % 129) - 64) / 64.0f;
        uint16_t half = strcmp(dtype, "BF16") == 0 ? ar_f32_to_bf16(value) : ar_f32_to_f16(value);
        bool wide = strcmp(dtype, "F32") == 0;
        assert_ok(ar_st_writer_data(w, wide ? (void *)&value : (void *)&half, wide ? 4 : 2));
    }
}

static inline void source_tensors(ar_st_writer *w, bool begun, const ar_block *blocks,
                                  const source_shape *s) {
    char name[200];
    source_tensor(w, begun, s->dtype, "model.embed_tokens.weight", 10, s->hidden);
    source_tensor(w, begun, s->dtype, "model.norm.weight", 0, s->hidden);
    for (int b = 0; b < 2; b++)
        for (int i = 0; i < 7; i++) {
            const ar_linear *lin = &blocks[b].linears[i];
            snprintf(name, sizeof name, "model.layers.%d.%s.weight", b, lin->name);
            source_tensor(w, begun, s->dtype, name, lin->O, lin->I);
            snprintf(name, sizeof name, "model.layers.%d.%s.bias", b, lin->name);
            if (s->biased) source_tensor(w, begun, s->dtype, name, 0, lin->O);
        }
}

/* Made up from (block, i) alone: always the same. Every code appears, 0 (the code -2^(bits-1)) first. */
static ar_status source_linear(void *ctx, ar_qlinear **q, int32_t block, int32_t i) {
    const test_source *t = ctx;
    const ar_linear *lin = &t->blocks[block].linears[i];
    const ar_scheme *s = &t->plan.scheme;
    uint32_t state = (uint32_t)(block * 100 + i + 7);
    assert_true(!t->negative || s->zero == AR_ZERO_SYM);
    ar_qlinear *made = calloc(1, sizeof *made);
    assert_ok(ar_qlinear_init(made, s, lin->O, lin->I));
    for (int64_t k = 0; k < lin->O * lin->I; k++)
        made->codes[k] = (uint8_t)(k ? source_random(&state) & ((1u << s->bits) - 1) : 0);
    for (int64_t k = 0; k < lin->O * made->groups; k++) {
        float scale = (float)(source_random(&state) % 1000 + 1) / 4096.0f;
        bool minus = s->zero == AR_ZERO_SYM && (t->negative || source_random(&state) % 2);
        uint32_t zeros = (1u << s->bits) - (uint32_t)s->zero_min;
        made->scales[k] = ar_f32_to_f16(minus ? -scale : scale);
        made->zeros[k] =
            (uint8_t)(s->zero == AR_ZERO_SYM ? 1u << (s->bits - 1)
                                             : (uint32_t)s->zero_min + source_random(&state) % zeros);
        if (made->mins) made->mins[k] = ar_f32_to_f16(-0.5f * scale);
    }
    *q = made;
    return AR_OK;
}

/* Writes the float model at folder and opens it. Ends with source_close. */
static inline void source_open(test_source *t, const char *folder, const source_shape *s,
                               const ar_output_request *request) {
    *t = (test_source){0};
    assert_ok(ar_output_plan_make(&t->plan, request));
    assert_ok(ar_dir_create(folder));
    put_text(in_folder(folder, "config.json"),
             s->config ? s->config : "{\"model_type\":\"llama\",\"torch_dtype\":\"float32\"}");
    put_text(in_folder(folder, "tokenizer.json"), "{}");
    for (int b = 0; b < 2; b++) {
        t->blocks[b].index = b;
        t->blocks[b].name = b ? "model.layers.1" : "model.layers.0";
        source_list_linears(&t->blocks[b], s);
    }
    ar_st_writer *w;
    assert_ok(ar_st_writer_create(&w));
    source_tensors(w, false, t->blocks, s);
    assert_ok(ar_st_writer_begin(w, in_folder(folder, "model.safetensors")));
    source_tensors(w, true, t->blocks, s);
    assert_ok(ar_st_writer_finish(&w));
    strcpy(t->model.config.family, "llama");
    assert_ok(ar_path_join(&t->model.path, "", folder));
    assert_ok(ar_weights_open_safetensors(&t->model.weights, folder));
    t->model.model = (ar_model){.block_count = 2, .hidden = s->hidden, .vocab = 10, .blocks = t->blocks};
    t->src = (ar_write_source){
        .model = &t->model,
        .plan = &t->plan,
        .linear = source_linear,
        .ctx = t,
    };
}

static inline void source_close(test_source *t) {
    ar_weights_close(&t->model.weights);
    free(t->model.path);
}
#endif
