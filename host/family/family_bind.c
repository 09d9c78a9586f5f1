/* What all families share: finding a decoder's tensors by name, checking their shapes, reading them, and
 * refusing what is missing or does not belong. Knows no family; a family describes itself by its ar__names
 * and an ar__layout for every block. */
#include "ar_error.h"
#include "family.h"
#include "weights.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES      160
#define TRANSPOSE_BYTES ((int64_t)4 << 20) /* stored rows read at once where a product is stored (I, O) */

typedef struct bound bound;
typedef struct bound_block { /* indices of weights; -1 = none */
    const bound *model;
    char name[64];
    int64_t linears[AR_MAX_LINEARS], biases[AR_MAX_LINEARS], norms[AR_MAX_NORMS], norm_biases[AR_MAX_NORMS];
    bool transposed[AR_MAX_LINEARS];
} bound_block;

struct bound {
    const ar_open_model *open;
    const ar_family *family;
    const ar__names *names;
    const char *prefix;
    int32_t position_skip, pairs;
    int64_t embedding, positions, head, norm, norm_bias;
    float *freq, *long_freq; /* (pairs); NULL = not rotary; no others in long sequences */
    bound_block *blocks;
    bool *used;               /* per weight */
    ar__weight_names by_name; /* while tensors are bound */
};

/* ---- what ar_model and ar_block ask ---- */

static ar_status read_rows(const bound *m, float *dst, int64_t i, int64_t row, int64_t rows) {
    const ar_weights *w = &m->open->weights;
    return w->vtable->read(w->impl, dst, i, row, rows);
}

static const char *name_at(const bound *m, int64_t i) {
    return m->open->weights.vtable->at(m->open->weights.impl, i)->name;
}

/* Rows of width I, all finite. Those of linears are looked at where they are used. */
static ar_status read_finite(const bound *m, float *dst, int64_t i, int64_t row, int64_t rows, int64_t I) {
    AR_TRY(read_rows(m, dst, i, row, rows));
    return ar_quant_check_weights(name_at(m, i), dst, NULL, row, rows, I);
}

static ar_status read_vector(const bound *m, float *dst, int64_t i) {
    int64_t count = m->open->weights.vtable->at(m->open->weights.impl, i)->dims[0];
    AR_TRY(read_rows(m, dst, i, 0, 1));
    return ar_quant_check_weights(name_at(m, i), dst, NULL, -1, 1, count);
}

/* Rows [row, row + rows) of W (O, I) from a tensor that holds W^T (I, O): its columns. */
static ar_status read_columns(const bound *m, float *dst, int64_t i, int64_t row, int64_t rows, int64_t O,
                              int64_t I) {
    int64_t step = TRANSPOSE_BYTES / (4 * O) < 1 ? 1 : TRANSPOSE_BYTES / (4 * O);
    if (row < 0 || rows < 0 || row > O || rows > O - row)
        return ar__fail(AR_ERR_ARG, "rows %" PRId64 " to %" PRId64 ": expected them below %" PRId64, row,
                        row + rows - 1, O);
    float *stored = ar__alloc((size_t)(step < I ? step : I), (size_t)O * sizeof *stored);
    ar_status status = stored ? AR_OK : AR_ERR_MEMORY;
    for (int64_t first = 0; status == AR_OK && first < I; first += step) {
        int64_t n = I - first < step ? I - first : step;
        status = read_rows(m, stored, i, first, n);
        for (int64_t k = 0; status == AR_OK && k < n; k++)
            for (int64_t r = 0; r < rows; r++) dst[r * I + first + k] = stored[k * O + row + r];
    }
    free(stored);
    return status;
}

static ar_status read_linear(const ar_block *b, float *dst, int32_t i, int64_t row, int64_t rows) {
    const bound_block *block = b->impl;
    if (block->transposed[i])
        return read_columns(block->model, dst, block->linears[i], row, rows, b->linears[i].O,
                            b->linears[i].I);
    return read_rows(block->model, dst, block->linears[i], row, rows);
}

static ar_status read_bias(const ar_block *b, float *dst, int32_t i) {
    const bound_block *block = b->impl;
    if (block->biases[i] < 0)
        return ar__fail(AR_ERR_ARG, "block %d: %s has no bias", (int)b->index, b->linears[i].name);
    return read_vector(block->model, dst, block->biases[i]);
}

static ar_status read_norm(const ar_block *b, float *dst, int32_t j) {
    const bound_block *block = b->impl;
    return read_vector(block->model, dst, block->norms[j]);
}

static ar_status read_norm_bias(const ar_block *b, float *dst, int32_t j) {
    const bound_block *block = b->impl;
    if (block->norm_biases[j] < 0)
        return ar__fail(AR_ERR_ARG, "block %d: %s has no bias", (int)b->index, b->norms[j].name);
    return read_vector(block->model, dst, block->norm_biases[j]);
}

static ar_status read_embedding(const ar_model *m, float *dst, int64_t row, int64_t rows) {
    const bound *l = m->impl;
    return read_finite(l, dst, l->embedding, row, rows, m->hidden);
}

static ar_status read_positions(const ar_model *m, float *dst, int64_t row, int64_t rows) {
    const bound *l = m->impl;
    return read_finite(l, dst, l->positions, row + l->position_skip, rows, m->hidden);
}

static ar_status read_head(const ar_model *m, float *dst, int64_t row, int64_t rows) {
    const bound *l = m->impl;
    return read_finite(l, dst, l->head, row, rows, m->hidden);
}

static ar_status read_final_norm(const ar_model *m, float *dst) {
    const bound *l = m->impl;
    return read_vector(l, dst, l->norm);
}

static ar_status read_final_norm_bias(const ar_model *m, float *dst) {
    const bound *l = m->impl;
    if (l->norm_bias < 0) return ar__fail(AR_ERR_ARG, "%s has no bias", m->final_norm.name);
    return read_vector(l, dst, l->norm_bias);
}

/* ---- how a weight is stored ---- */

/* Blocks in the file, and where they are in another order, that order. UNSUPPORTED where there are none. */
static ar_status describe_blocks(const bound *m, ar_stored *s, int64_t index) {
    const ar_weights *w = &m->open->weights;
    ar_resident_weight_desc *d = &s->desc;
    if (!w->vtable->raw) return AR_ERR_UNSUPPORTED;
    AR_TRY(w->vtable->raw(w->impl, &d->type, &d->blocks, &d->row_stride, index));
    if (!w->vtable->raw_row) return AR_OK;
    s->row_order = ar__alloc((size_t)d->O, sizeof *s->row_order);
    if (!s->row_order) return AR_ERR_MEMORY;
    for (int64_t o = 0; o < d->O; o++) {
        s->row_order[o] = (int32_t)w->vtable->raw_row(w->impl, index, o);
        if (s->row_order[o] != o) d->row_order = s->row_order;
    }
    return AR_OK;
}

/* Codes as a quantizer wrote them. */
static ar_status describe_codes(const bound *m, ar_stored *s, int64_t index) {
    const ar_weights *w = &m->open->weights;
    ar_resident_weight_desc *d = &s->desc;
    if (!w->vtable->read_codes) return AR_ERR_UNSUPPORTED;
    ar_qlinear *q = s->codes = ar__alloc(1, sizeof *q);
    if (!q) return AR_ERR_MEMORY;
    AR_TRY(w->vtable->read_codes(w->impl, q, index));
    if (q->scheme.super != AR_SUPER_NONE) return AR_ERR_UNSUPPORTED;
    *d = (ar_resident_weight_desc){.type = AR_QT_GROUP,
                                   .O = q->O,
                                   .I = q->I,
                                   .scheme = q->scheme,
                                   .codes = q->codes,
                                   .scales = q->scales,
                                   .zeros = q->zeros,
                                   .mins = q->mins};
    return AR_OK;
}

static ar_status describe(const bound *m, ar_stored *s, int64_t index, int64_t O, int64_t I) {
    s->desc = (ar_resident_weight_desc){.O = O, .I = I};
    ar_status status = describe_blocks(m, s, index);
    if (status == AR_ERR_UNSUPPORTED) status = describe_codes(m, s, index);
    s->desc.name = name_at(m, index);
    return status;
}

/* f32 rows that are read into *s; `of` = whose they are. */
static void describe_rows(ar_stored *s, const char *of, int64_t O, int64_t I) {
    s->desc = (ar_resident_weight_desc){.type = AR_QT_F32,
                                        .O = O,
                                        .I = I,
                                        .blocks = (const uint8_t *)s->rows,
                                        .row_stride = 4 * (uint64_t)I,
                                        .name = of};
}

static ar_status describe_linear(const ar_block *b, ar_stored *s, int32_t i) {
    const bound_block *block = b->impl;
    int64_t O = b->linears[i].O, I = b->linears[i].I;
    ar_status status =
        block->transposed[i] ? AR_ERR_UNSUPPORTED : describe(block->model, s, block->linears[i], O, I);
    if (status != AR_ERR_UNSUPPORTED) return status;
    s->rows = ar__alloc((size_t)O, (size_t)I * sizeof *s->rows);
    if (!s->rows) return AR_ERR_MEMORY;
    describe_rows(s, name_at(block->model, block->linears[i]), O, I);
    return read_linear(b, s->rows, i, 0, O);
}

static ar_status describe_head(const ar_model *m, ar_stored *s) {
    const bound *l = m->impl;
    ar_status status = describe(l, s, l->head, m->vocab, m->hidden);
    if (status != AR_ERR_UNSUPPORTED) return status;
    s->rows = ar__alloc((size_t)m->vocab, (size_t)m->hidden * sizeof *s->rows);
    if (!s->rows) return AR_ERR_MEMORY;
    describe_rows(s, name_at(l, l->head), m->vocab, m->hidden);
    return read_head(m, s->rows, 0, m->vocab);
}

const ar_weight *ar_family_embedding(const ar_open_model *m) {
    const bound *l = m->model.impl;
    return m->weights.vtable->at(m->weights.impl, l->embedding);
}

static bool is_coded(const bound *m, int64_t index) {
    static const char *const floats[] = {"F64", "F32", "F16", "BF16"};
    const char *type = m->open->weights.vtable->at(m->open->weights.impl, index)->type;
    for (size_t k = 0; k < sizeof floats / sizeof *floats; k++)
        if (strcmp(type, floats[k]) == 0) return false;
    return true;
}

void ar__family_float_inputs(bool skip[AR_MAX_LINEARS], const ar_open_model *m, int32_t b) {
    const bound *l = m->model.impl;
    bool any = false;
    for (int32_t k = 0; k < m->model.block_count && !any; k++)
        for (int32_t i = 0; i < m->model.blocks[k].linear_count; i++)
            any = any || is_coded(l, ((const bound_block *)m->model.blocks[k].impl)->linears[i]);
    for (int32_t i = 0; i < m->model.blocks[b].linear_count; i++)
        skip[i] = any && !is_coded(l, ((const bound_block *)m->model.blocks[b].impl)->linears[i]);
}

ar_status ar_family_codes(ar_qlinear *q, const ar_block *b, int32_t i) {
    const bound_block *block = b->impl;
    const ar_weights *w = &block->model->open->weights;
    *q = (ar_qlinear){0};
    if (block->transposed[i] || !w->vtable->read_codes)
        return ar__fail(AR_ERR_UNSUPPORTED, "%s: linear %d has no codes", b->name, (int)i);
    return w->vtable->read_codes(w->impl, q, block->linears[i]);
}

ar__places ar__family_places(const ar_block *b) {
    const bound_block *block = b->impl;
    return (ar__places){block->linears, block->norms, block->norm_biases};
}

bool ar__family_is_transposed(const ar_block *b, int32_t i) {
    return ((const bound_block *)b->impl)->transposed[i];
}

/* ---- what forwards ask ---- */

const ar_config *ar__family_config(const ar_block *b) {
    return &((const bound_block *)b->impl)->model->open->config;
}

ar_status ar__family_check_tokens(const ar_block *b, int32_t T) {
    int32_t most = ar__family_config(b)->max_tokens;
    if (T >= 1 && T <= most) return AR_OK;
    return ar__fail(AR_ERR_SHAPE, "block %d: found T = %d, expected 1 to %d", (int)b->index, (int)T,
                    (int)most);
}

ar_status ar__family_attend(const ar_block *b, ar_graph *g, ar_tensor **y, ar_tensor *const qkv[3], int32_t T,
                            const ar_hook *hook) {
    const bound *m = ((const bound_block *)b->impl)->model;
    const ar_attention a = {.D = b->head_dim,
                            .freq = m->freq,
                            .pairs = m->pairs,
                            .long_freq = m->long_freq,
                            .long_above = m->open->config.rope_scaling.original_tokens,
                            .turn = m->open->config.rope_scaling.attention,
                            .window = ar_config_window(&m->open->config, b->index)};
    return ar_hook_attention(hook, g, y, qkv[0], qkv[1], qkv[2], &a, T);
}

ar_status ar__family_attend_and_mlp(const ar_block *b, ar_graph *g, ar_tensor **y, ar_tensor *x,
                                    ar_tensor *const qkv[3], int32_t T, const ar_hook *hook, int32_t first) {
    ar_tensor *mixed, *h, *n, *up, *act;
    AR_TRY(ar__family_attend(b, g, &mixed, qkv, T, hook));
    AR_TRY(ar_hook_linear_add(hook, g, &h, first, mixed, x));
    AR_TRY(ar_hook_norm(hook, g, &n, 1, h));
    AR_TRY(ar_hook_linear(hook, g, &up, first + 1, n));
    AR_TRY(ar_op_act(g, &act, up, ar__family_config(b)->act));
    return ar_hook_linear_add(hook, g, y, first + 2, act, h);
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
static ar_status bind_tensor(bound *l, int64_t *index, const char *name, int64_t rows, int64_t width,
                             bool optional) {
    const ar_weights *w = &l->open->weights;
    const int64_t dims[2] = {rows ? rows : width, width};
    int32_t dim_count = rows ? 2 : 1;
    char found[128], expected[64];
    shape_text(expected, sizeof expected, dim_count, dims);
    *index = ar__weight_names_find(&l->by_name, name);
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

static bool is_float(const bound *l, const char *name) {
    const ar_weights *w = &l->open->weights;
    int64_t i = ar__weight_names_find(&l->by_name, name);
    const char *type = i < 0 ? "" : w->vtable->at(w->impl, i)->type;
    return strcmp(type, "F32") == 0 || strcmp(type, "F16") == 0 || strcmp(type, "BF16") == 0;
}

/* A Conv1D stores (I, O); in GGUF, or packed by a quantizer, it is (O, I) as any other product. */
static ar_status bind_linear(bound *l, bound_block *block, ar_block *b, const ar__layout *layout, int32_t i) {
    int64_t O = layout->linears[i].O, I = layout->linears[i].I;
    ar__bias bias = layout->linears[i].bias;
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s.%s.weight", block->name, layout->linears[i].name);
    const ar_config *c = &l->open->config;
    block->transposed[i] = c->is_conv1d && !c->conv1d_in_rows && is_float(l, name);
    AR_TRY(block->transposed[i] ? bind_tensor(l, &block->linears[i], name, I, O, false)
                                : bind_tensor(l, &block->linears[i], name, O, I, false));
    block->biases[i] = -1;
    snprintf(name, sizeof name, "%s.%s.bias", block->name, layout->linears[i].name);
    if (bias != AR__BIAS_NONE) AR_TRY(bind_tensor(l, &block->biases[i], name, 0, O, bias == AR__BIAS_MAYBE));
    b->linears[i] = (ar_linear){layout->linears[i].name, O, I, block->biases[i] >= 0};
    return AR_OK;
}

/* Weight and bias of the norm PREFIX norm->name. */
static ar_status bind_norm(bound *l, int64_t *weight, int64_t *bias, const char *prefix,
                           const ar_norm *norm) {
    char name[NAME_BYTES];
    *bias = -1;
    snprintf(name, sizeof name, "%s%s.weight", prefix, norm->name);
    AR_TRY(bind_tensor(l, weight, name, 0, norm->I, false));
    snprintf(name, sizeof name, "%s%s.bias", prefix, norm->name);
    return norm->has_bias ? bind_tensor(l, bias, name, 0, norm->I, false) : AR_OK;
}

static ar_status bind_block(bound *l, ar_block *b, int32_t index) {
    const ar_config *c = &l->open->config;
    bound_block *block = &l->blocks[index];
    ar__layout layout = {0};
    l->family->block(&layout, c, index);
    char prefix[sizeof block->name + 1];
    *block = (bound_block){.model = l};
    snprintf(block->name, sizeof block->name, "%s%s.%d", l->prefix, l->names->layers, (int)index);
    snprintf(prefix, sizeof prefix, "%s.", block->name);
    *b = (ar_block){.index = index,
                    .name = block->name,
                    .linear_count = layout.linear_count,
                    .norm_count = layout.norm_count,
                    .hidden = c->hidden,
                    .impl = block,
                    .heads = c->heads,
                    .head_dim = c->head_dim,
                    .kv_width = (int64_t)c->kv_heads * c->head_dim,
                    .forward = layout.forward,
                    .read_linear = read_linear,
                    .read_bias = read_bias,
                    .read_norm = read_norm,
                    .read_norm_bias = read_norm_bias,
                    .describe_linear = describe_linear};
    for (int32_t i = 0; i < layout.linear_count; i++) AR_TRY(bind_linear(l, block, b, &layout, i));
    for (int32_t j = 0; j < layout.norm_count; j++) {
        b->norms[j] = layout.norms[j];
        AR_TRY(bind_norm(l, &block->norms[j], &block->norm_biases[j], prefix, &b->norms[j]));
    }
    return AR_OK;
}

/* Embedding, positions and head. A tied model may store its one matrix under either name (or both: the
 * embedding counts). */
static ar_status bind_ends(bound *l) {
    const ar_config *c = &l->open->config;
    const ar__names *names = l->names;
    char name[NAME_BYTES];
    AR_TRY(bind_norm(l, &l->norm, &l->norm_bias, l->prefix, &l->open->model.final_norm));
    snprintf(name, sizeof name, "%s.weight", names->head);
    AR_TRY(bind_tensor(l, &l->head, name, c->vocab, c->hidden, c->tied));
    snprintf(name, sizeof name, "%s%s.weight", l->prefix, names->embedding);
    AR_TRY(bind_tensor(l, &l->embedding, name, c->vocab, c->hidden, c->tied && l->head >= 0));
    if (l->embedding < 0) l->embedding = l->head;
    if (c->tied) l->head = l->embedding;
    if (!names->positions) return AR_OK;
    snprintf(name, sizeof name, "%s%s.weight", l->prefix, names->positions);
    return bind_tensor(l, &l->positions, name, (int64_t)c->max_tokens + names->position_skip, c->hidden,
                       false);
}

static bool has_ending(const char *name, const char *ending) {
    size_t bytes = strlen(name), end = strlen(ending);
    return bytes >= end && strcmp(name + bytes - end, ending) == 0;
}

static ar_status check_extra(const bound *l) {
    const ar_weights *w = &l->open->weights;
    int64_t count = w->vtable->count(w->impl);
    for (int64_t i = 0; i < count; i++) {
        const char *name = w->vtable->at(w->impl, i)->name;
        bool known = l->used[i];
        for (const char *const *e = l->names->ignored; !known && e && *e; e++) known = has_ending(name, *e);
        if (!known)
            return ar__fail(
                AR_ERR_FORMAT,
                "%s: tensor %s: found, expected none of that name in a %d-layer model of this family",
                l->open->path, name, (int)l->open->config.layers);
    }
    return AR_OK;
}

/* The first prefix under which there is a final norm, else the first. */
static const char *find_prefix(const bound *l) {
    char name[NAME_BYTES];
    for (const char *const *p = l->names->prefixes; *p; p++) {
        snprintf(name, sizeof name, "%s%s.weight", *p, l->names->final_norm.name);
        if (ar_weights_find(&l->open->weights, name) >= 0) return *p;
    }
    return l->names->prefixes[0];
}

static ar_status make_frequencies(bound *l) {
    const ar_config *c = &l->open->config;
    l->pairs = (c->rotary ? c->rotary : c->head_dim) / 2;
    l->freq = ar__alloc((size_t)l->pairs, sizeof *l->freq);
    if (!l->freq) return AR_ERR_MEMORY;
    ar__rope_frequencies(l->freq, c, false);
    if (!ar__rope_is_long(c)) return AR_OK;
    l->long_freq = ar__alloc((size_t)l->pairs, sizeof *l->long_freq);
    if (!l->long_freq) return AR_ERR_MEMORY;
    ar__rope_frequencies(l->long_freq, c, true);
    return AR_OK;
}

void ar_family_unbind(ar_open_model *m) {
    bound *l = m->model.impl;
    if (l) {
        free(l->freq);
        free(l->long_freq);
        free(l->blocks);
        free(l->used);
        ar__weight_names_deinit(&l->by_name);
        free(l);
    }
    free(m->model.blocks);
    m->model = (ar_model){0};
}

ar_status ar_family_bind(ar_open_model *m) {
    const ar_config *c = &m->config;
    const ar_family *family = ar__family_of(c);
    ar_status status;
    if (!family)
        return ar__fail(AR_ERR_FORMAT, "%s: found model family \"%s\", expected a supported one", m->path,
                        c->family);
    const ar__names *names = family->names;
    m->model = (ar_model){.block_count = c->layers,
                          .hidden = c->hidden,
                          .vocab = c->vocab,
                          .max_tokens = c->max_tokens,
                          .final_norm = names->final_norm,
                          .tied_head = c->tied,
                          .read_embedding = read_embedding,
                          .read_head = read_head,
                          .read_final_norm = read_final_norm,
                          .read_final_norm_bias = read_final_norm_bias,
                          .read_positions = names->positions ? read_positions : NULL,
                          .describe_head = describe_head};
    m->model.final_norm.I = c->hidden;
    m->model.final_norm.eps = c->rms_eps;
    bound *l = m->model.impl = ar__alloc(1, sizeof *l);
    AR_GO(l ? AR_OK : AR_ERR_MEMORY);
    l->open = m;
    l->family = family;
    l->names = names;
    l->position_skip = names->position_skip;
    l->prefix = find_prefix(l);
    AR_GO(ar__family_drop_zero_biases(m, family, l->prefix));
    m->model.blocks = ar__alloc((size_t)c->layers, sizeof *m->model.blocks);
    l->blocks = ar__alloc((size_t)c->layers, sizeof *l->blocks);
    l->used = ar__alloc((size_t)m->weights.vtable->count(m->weights.impl), sizeof *l->used);
    AR_GO(m->model.blocks && l->blocks && l->used ? AR_OK : AR_ERR_MEMORY);
    AR_GO(ar__weight_names_init(&l->by_name, &m->weights));
    if (!names->positions) AR_GO(make_frequencies(l));
    AR_GO(bind_ends(l));
    for (int32_t i = 0; i < c->layers; i++) AR_GO(bind_block(l, &m->model.blocks[i], i));
    AR_GO(check_extra(l));
    ar__weight_names_deinit(&l->by_name);
done:
    if (status != AR_OK) ar_family_unbind(m);
    return status;
}
