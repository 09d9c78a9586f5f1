/* Random Llamas; see random_model.h. */
#include "random_model.h"
#include "ar_error.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct random_weights {
    ar_weight *list;
    char (*names)[96];
    int64_t count;
    uint64_t seed;
    ar_qtype type;   /* of matrices */
    uint8_t *blocks; /* that all matrices share the beginning of; NULL of F32 */
} random_weights;

static int64_t count_of(const void *impl) { return ((const random_weights *)impl)->count; }

static const ar_weight *weight_at(const void *impl, int64_t i) {
    return &((const random_weights *)impl)->list[i];
}

static ar_status read_rows(const void *impl, float *dst, int64_t i, int64_t row, int64_t rows) {
    const random_weights *w = impl;
    const ar_weight *t = &w->list[i];
    int64_t width = t->dims[t->dim_count - 1];
    double scale = sqrt(3.0 / (double)width);
    for (int64_t k = 0; k < rows * width; k++)
        dst[k] =
            t->dim_count == 1
                ? 1.0f
                : (float)(scale *
                          (2.0 * ar_random_unit(w->seed, (uint64_t)i, (uint64_t)(row * width + k)) - 1.0));
    return AR_OK;
}

static void close_weights(void *impl) {
    random_weights *w = impl;
    free(w->list);
    free(w->names);
    free(w->blocks);
    free(w);
}

static ar_status read_blocks(const void *impl, ar_qtype *type, const uint8_t **blocks, uint64_t *row_stride,
                             int64_t i) {
    const random_weights *w = impl;
    if (!w->blocks || w->list[i].dim_count != 2)
        return ar__fail(AR_ERR_UNSUPPORTED, "%s: no blocks", w->list[i].name);
    *type = w->type;
    *blocks = w->blocks;
    *row_stride = (uint64_t)ar_qtype_row_bytes(w->type, w->list[i].dims[1]);
    return AR_OK;
}

static const ar_weights_vtable vtable = {close_weights, count_of,    weight_at, read_rows,
                                         NULL,          read_blocks, NULL};

static void add(random_weights *w, int64_t rows, int64_t width, int32_t layer, const char *name) {
    ar_weight *t = &w->list[w->count];
    if (layer < 0)
        snprintf(w->names[w->count], sizeof *w->names, "%s", name);
    else
        snprintf(w->names[w->count], sizeof *w->names, "model.layers.%d.%s.weight", (int)layer, name);
    *t = (ar_weight){.name = w->names[w->count],
                     .dim_count = rows ? 2 : 1,
                     .dims = {rows ? rows : width, width},
                     .type = "F32",
                     .file_bytes = (uint64_t)(rows ? rows : 1) * (uint64_t)width * 4};
    w->count++;
}

static void add_layer(random_weights *w, const ar_config *c, int32_t l) {
    int64_t q = (int64_t)c->heads * c->head_dim, kv = (int64_t)c->kv_heads * c->head_dim;
    const struct {
        const char *name;
        int64_t rows, width;
    } list[] = {{"input_layernorm", 0, c->hidden},
                {"post_attention_layernorm", 0, c->hidden},
                {"self_attn.q_proj", q, c->hidden},
                {"self_attn.k_proj", kv, c->hidden},
                {"self_attn.v_proj", kv, c->hidden},
                {"self_attn.o_proj", c->hidden, q},
                {"mlp.gate_proj", c->intermediate, c->hidden},
                {"mlp.up_proj", c->intermediate, c->hidden},
                {"mlp.down_proj", c->hidden, c->intermediate}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        add(w, list[i].rows, list[i].width, l, list[i].name);
}

static ar_status make_weights(ar_open_model *m, uint64_t seed) {
    const ar_config *c = &m->config;
    random_weights *w = ar__alloc(1, sizeof *w);
    if (!w) return AR_ERR_MEMORY;
    size_t count = (size_t)c->layers * 9 + 3;
    m->weights = (ar_weights){.vtable = &vtable, .impl = w};
    w->seed = seed;
    w->list = ar__alloc(count, sizeof *w->list);
    w->names = ar__alloc(count, sizeof *w->names);
    if (!w->list || !w->names) return AR_ERR_MEMORY;
    add(w, c->vocab, c->hidden, -1, "model.embed_tokens.weight");
    if (!c->tied) add(w, c->vocab, c->hidden, -1, "lm_head.weight");
    add(w, 0, c->hidden, -1, "model.norm.weight");
    for (int32_t l = 0; l < c->layers; l++) add_layer(w, c, l);
    return AR_OK;
}

/* Any finite numbers: 2f at most in every byte keeps fp16 scales far from their end. */
static ar_status make_blocks(random_weights *w, ar_qtype type) {
    int64_t most = 0;
    for (int64_t i = 0; i < w->count; i++) {
        ar_weight *t = &w->list[i];
        int64_t bytes = t->dim_count == 2 ? ar_qtype_row_bytes(type, t->dims[1]) : 0;
        if (bytes < 0)
            return ar__fail(AR_ERR_SHAPE, "%s: rows of %lld are no whole blocks of %s", t->name,
                            (long long)t->dims[1], ar_qtype_name(type));
        if (t->dim_count == 2) t->type = ar_qtype_name(type), t->file_bytes = (uint64_t)(bytes * t->dims[0]);
        if (t->dim_count == 2 && bytes * t->dims[0] > most) most = bytes * t->dims[0];
    }
    w->type = type;
    w->blocks = ar__alloc((size_t)most, 1);
    if (!w->blocks) return AR_ERR_MEMORY;
    uint32_t random = (uint32_t)w->seed;
    for (int64_t i = 0; i < most; i++) {
        random = random * 1664525u + 1013904223u;
        w->blocks[i] = (uint8_t)(random >> 24 & 0x2f);
    }
    return AR_OK;
}

ar_status ar_random_model_open(ar_open_model **out, const ar_config *config, uint64_t seed) {
    return ar_random_model_open_as(out, config, AR_QT_F32, seed);
}

ar_status ar_random_model_open_as(ar_open_model **out, const ar_config *config, ar_qtype type,
                                  uint64_t seed) {
    *out = NULL;
    ar_open_model *m = ar__alloc(1, sizeof *m);
    if (!m) return AR_ERR_MEMORY;
    m->config = *config;
    m->path = strdup("random model");
    ar_status status = m->path ? make_weights(m, seed) : ar__fail(AR_ERR_MEMORY, "no memory for a model");
    if (status == AR_OK && type != AR_QT_F32) status = make_blocks(m->weights.impl, type);
    if (status == AR_OK) status = ar_family_bind(m);
    if (status != AR_OK)
        ar_random_model_close(m);
    else
        *out = m;
    return status;
}

bool ar_random_model_is(const ar_open_model *m) { return m->weights.vtable == &vtable; }

void ar_random_model_close(ar_open_model *m) {
    if (!m) return;
    ar_family_unbind(m);
    if (m->weights.impl) close_weights(m->weights.impl);
    free(m->path);
    free(m);
}
