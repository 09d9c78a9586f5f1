/* The Llama family: Llama 1 to 3, Mistral, TinyLlama, SmolLM. Pre-norm decoder blocks,
 *   h = x + o(attention(rope(q(n1)), rope(k(n1)), v(n1))),  n1 = rms_norm(x)
 *   y = h + down(silu(gate(n2)) * up(n2)),                  n2 = rms_norm(h)
 * with grouped queries (Touvron 2023, arXiv 2302.13971 and 2307.09288). Knows no quantization method: every
 * product and norm goes through the caller's hook. */
#include "ar_error.h"
#include "family.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { Q, K, V, O, GATE, UP, DOWN, LINEAR_COUNT };
enum { NORM_ATTENTION, NORM_MLP, NORM_COUNT };
static const char *const linear_names[LINEAR_COUNT] = {
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj"};
static const char *const norm_names[NORM_COUNT] = {"input_layernorm", "post_attention_layernorm"};

typedef struct llama llama;
typedef struct llama_block { /* indices of weights; biases -1 = none */
    const llama *model;
    int64_t linears[LINEAR_COUNT], biases[LINEAR_COUNT], norms[NORM_COUNT];
} llama_block;

struct llama {
    const ar_open_model *open;
    int64_t embedding, head, norm;
    float *inv_freq; /* (D/2) */
    llama_block *blocks;
    bool *used; /* per weight, while binding */
};

/* ---- what ar_model and ar_block ask ---- */

static ar_status read_rows(const llama *l, float *dst, int64_t i, int64_t row, int64_t rows) {
    const ar_weights *w = &l->open->weights;
    return w->vtable->read(w->impl, dst, i, row, rows);
}

static ar_status read_linear(const ar_block *b, float *dst, int32_t i, int64_t row, int64_t rows) {
    const llama_block *block = b->impl;
    return read_rows(block->model, dst, block->linears[i], row, rows);
}

static ar_status read_bias(const ar_block *b, float *dst, int32_t i) {
    const llama_block *block = b->impl;
    if (block->biases[i] < 0)
        return ar__fail(AR_ERR_ARG, "block %d: %s has no bias", (int)b->index, linear_names[i]);
    return read_rows(block->model, dst, block->biases[i], 0, 1);
}

static ar_status read_norm(const ar_block *b, float *dst, int32_t j) {
    const llama_block *block = b->impl;
    return read_rows(block->model, dst, block->norms[j], 0, 1);
}

static ar_status read_embedding(const ar_model *m, float *dst, int64_t row, int64_t rows) {
    const llama *l = m->impl;
    return read_rows(l, dst, l->embedding, row, rows);
}

static ar_status read_head(const ar_model *m, float *dst, int64_t row, int64_t rows) {
    const llama *l = m->impl;
    return read_rows(l, dst, l->head, row, rows);
}

static ar_status read_final_norm(const ar_model *m, float *dst) {
    const llama *l = m->impl;
    return read_rows(l, dst, l->norm, 0, 1);
}

static ar_status attention(ar_graph *g, ar_tensor **y, ar_tensor *n1, int32_t T, const llama *l,
                           const ar_hook *hook) {
    const ar_config *c = &l->open->config;
    const ar_attention a = {.D = c->head_dim, .freq = l->inv_freq, .pairs = c->head_dim / 2};
    ar_tensor *qkv[3];
    AR_TRY(ar_hook_linears(hook, g, qkv, (const int32_t[]){Q, K, V}, 3, n1));
    return ar_hook_attention(hook, g, y, qkv[0], qkv[1], qkv[2], &a, T);
}

static ar_status forward(const ar_block *b, ar_graph *g, ar_tensor **y, ar_tensor *x, int32_t T,
                         const ar_hook *hook) {
    const llama *l = ((const llama_block *)b->impl)->model;
    ar_tensor *n1, *n2, *mixed, *h, *act;
    if (T < 1 || T > l->open->config.max_tokens)
        return ar__fail(AR_ERR_SHAPE, "block %d: found T = %d, expected 1 to %d", (int)b->index, (int)T,
                        (int)l->open->config.max_tokens);
    AR_TRY(hook->norm(hook->ctx, g, &n1, NORM_ATTENTION, x));
    AR_TRY(attention(g, &mixed, n1, T, l, hook));
    AR_TRY(ar_hook_linear_add(hook, g, &h, O, mixed, x));
    AR_TRY(hook->norm(hook->ctx, g, &n2, NORM_MLP, h));
    AR_TRY(ar_hook_gated(hook, g, &act, GATE, UP, n2));
    return ar_hook_linear_add(hook, g, y, DOWN, act, h);
}

/* ---- binding ---- */

static void shape_text(char *out, size_t bytes, int32_t dim_count, const int64_t *dims) {
    size_t used = (size_t)snprintf(out, bytes, "(");
    for (int32_t i = 0; i < dim_count && used < bytes; i++)
        used += (size_t)snprintf(out + used, bytes - used, "%s%" PRId64, i ? ", " : "", dims[i]);
    if (used < bytes) snprintf(out + used, bytes - used, ")");
}

/* Finds name as (rows, width), or (width) when rows is 0, readable as floats. *index = -1 when it is missing
 * and optional. */
static ar_status bind_tensor(llama *l, int64_t *index, const char *name, int64_t rows, int64_t width,
                             bool optional) {
    const ar_weights *w = &l->open->weights;
    const int64_t dims[2] = {rows ? rows : width, width};
    int32_t dim_count = rows ? 2 : 1;
    char found[128], expected[64];
    shape_text(expected, sizeof expected, dim_count, dims);
    *index = ar_weights_find(w, name);
    if (*index < 0 && optional) return AR_OK;
    if (*index < 0)
        return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: missing, expected %s", l->open->path, name, expected);
    l->used[*index] = true;
    const ar_weight *t = w->vtable->at(w->impl, *index);
    shape_text(found, sizeof found, t->dim_count, t->dims);
    if (t->dim_count != dim_count || memcmp(t->dims, dims, (size_t)dim_count * sizeof *dims) != 0)
        return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: found %s, expected %s", l->open->path, name, found,
                        expected);
    return w->vtable->read(w->impl, NULL, *index, 0, 0); /* no rows: only says whether it can be read */
}

static ar_status make_frequencies(llama *l, const ar_config *c) {
    l->inv_freq = ar__alloc((size_t)c->head_dim / 2, sizeof(float));
    if (!l->inv_freq) return AR_ERR_MEMORY;
    ar__rope_frequencies(l->inv_freq, c);
    return AR_OK;
}

static void linear_shape(int64_t *rows, int64_t *width, const ar_config *c, int32_t i) {
    int64_t q = (int64_t)c->heads * c->head_dim, kv = (int64_t)c->kv_heads * c->head_dim;
    *rows = i == Q ? q : i == K || i == V ? kv : i == GATE || i == UP ? c->intermediate : c->hidden;
    *width = i == O ? q : i == DOWN ? c->intermediate : c->hidden;
}

static ar_status bind_block(llama *l, ar_block *b, int32_t index) {
    const ar_config *c = &l->open->config;
    llama_block *block = &l->blocks[index];
    char name[128];
    *block = (llama_block){.model = l};
    *b = (ar_block){.index = index,
                    .linear_count = LINEAR_COUNT,
                    .norm_count = NORM_COUNT,
                    .hidden = c->hidden,
                    .impl = block,
                    .forward = forward,
                    .heads = c->heads,
                    .head_dim = c->head_dim,
                    .kv_width = (int64_t)c->kv_heads * c->head_dim,
                    .read_linear = read_linear,
                    .read_bias = read_bias,
                    .read_norm = read_norm};
    for (int32_t i = 0; i < LINEAR_COUNT; i++) {
        int64_t rows, width;
        linear_shape(&rows, &width, c, i);
        snprintf(name, sizeof name, "model.layers.%d.%s.weight", (int)index, linear_names[i]);
        AR_TRY(bind_tensor(l, &block->linears[i], name, rows, width, false));
        snprintf(name, sizeof name, "model.layers.%d.%s.bias", (int)index, linear_names[i]);
        AR_TRY(bind_tensor(l, &block->biases[i], name, 0, rows, true));
        b->linears[i] = (ar_linear){linear_names[i], rows, width, block->biases[i] >= 0};
    }
    for (int32_t j = 0; j < NORM_COUNT; j++) {
        snprintf(name, sizeof name, "model.layers.%d.%s.weight", (int)index, norm_names[j]);
        AR_TRY(bind_tensor(l, &block->norms[j], name, 0, c->hidden, false));
        b->norms[j] = (ar_norm){norm_names[j], c->hidden, c->rms_eps};
    }
    return AR_OK;
}

/* Embedding and head. A tied model may store its one matrix under either name (or both: the embedding
 * counts). */
static ar_status bind_ends(llama *l) {
    const ar_config *c = &l->open->config;
    AR_TRY(bind_tensor(l, &l->norm, "model.norm.weight", 0, c->hidden, false));
    AR_TRY(bind_tensor(l, &l->head, "lm_head.weight", c->vocab, c->hidden, c->tied));
    AR_TRY(bind_tensor(l, &l->embedding, "model.embed_tokens.weight", c->vocab, c->hidden,
                       c->tied && l->head >= 0));
    if (l->embedding < 0) l->embedding = l->head;
    if (c->tied) l->head = l->embedding;
    return AR_OK;
}

/* Buffers that old checkpoints carry and that are computed here. */
static bool is_ignored(const char *name) {
    static const char suffix[] = "rotary_emb.inv_freq";
    size_t bytes = strlen(name);
    return bytes >= sizeof suffix - 1 && strcmp(name + bytes - (sizeof suffix - 1), suffix) == 0;
}

static ar_status check_extra(const llama *l) {
    const ar_weights *w = &l->open->weights;
    int64_t count = w->vtable->count(w->impl);
    for (int64_t i = 0; i < count; i++) {
        const char *name = w->vtable->at(w->impl, i)->name;
        if (!l->used[i] && !is_ignored(name))
            return ar__fail(
                AR_ERR_FORMAT,
                "%s: tensor %s: found, expected none of that name in a %d-layer model of this family",
                l->open->path, name, (int)l->open->config.layers);
    }
    return AR_OK;
}

static void unbind(ar_open_model *m) {
    llama *l = m->model.impl;
    if (l) {
        free(l->inv_freq);
        free(l->blocks);
        free(l->used);
        free(l);
    }
    free(m->model.blocks);
    m->model = (ar_model){0};
}

static ar_status bind(ar_open_model *m) {
    const ar_config *c = &m->config;
    ar_status status;
    m->model = (ar_model){.block_count = c->layers,
                          .hidden = c->hidden,
                          .vocab = c->vocab,
                          .max_tokens = c->max_tokens,
                          .final_norm = {"model.norm", c->hidden, c->rms_eps},
                          .tied_head = c->tied,
                          .read_embedding = read_embedding,
                          .read_head = read_head,
                          .read_final_norm = read_final_norm};
    llama *l = m->model.impl = ar__alloc(1, sizeof *l);
    AR_GO(l ? AR_OK : AR_ERR_MEMORY);
    l->open = m;
    m->model.blocks = ar__alloc((size_t)c->layers, sizeof *m->model.blocks);
    l->blocks = ar__alloc((size_t)c->layers, sizeof *l->blocks);
    l->used = ar__alloc((size_t)m->weights.vtable->count(m->weights.impl), sizeof *l->used);
    AR_GO(m->model.blocks && l->blocks && l->used ? AR_OK : AR_ERR_MEMORY);
    AR_GO(make_frequencies(l, c));
    AR_GO(bind_ends(l));
    for (int32_t i = 0; i < c->layers; i++) AR_GO(bind_block(l, &m->model.blocks[i], i));
    AR_GO(check_extra(l));
done:
    if (status != AR_OK) unbind(m);
    return status;
}

const ar_family ar__family_llama = {"llama", "llama mistral", "llama", bind, unbind};
