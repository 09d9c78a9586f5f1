/* The tensors of a GGUF file to be: their names, types and shapes, and where their rows come from. */
#include "fmt_gguf_entries.h"
#include "fmt_gguf_types.h"
#include "hf_folder.h"
#include "parallel.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

ar_status ar__gguf_find_mix(const ar__gguf_mix **mix, const ar_output_plan *plan) {
    *mix = ar__gguf_mix_find(plan->type);
    return *mix ? AR_OK : ar__fail(AR_ERR_USAGE, "type: found '%s', expected a GGUF type", plan->type);
}

bool ar__gguf_is_rounded(const ar__gguf_entry *e) { return !e->is_coded && e->type->elems > 1; }

/* The linear of this name, if it is one, and whether the plan quantizes it. */
static void find_linear(const ar__gguf_job *j, ar__gguf_entry *e, int32_t layer, const char *hf_name) {
    const ar_block *block = &j->src->model->model.blocks[layer];
    char name[AR_HF_NAME];
    for (int32_t i = 0; i < block->linear_count; i++) {
        ar__hf_linear_name(name, block, i);
        size_t bytes = strlen(name);
        if (strncmp(name, hf_name, bytes) != 0 || strcmp(hf_name + bytes, ".weight") != 0) continue;
        e->block = block->index;
        e->linear = i;
        e->dims[0] = block->linears[i].O; /* a Conv1D is stored the other way round */
        e->dims[1] = block->linears[i].I;
        ar_scheme scheme;
        e->is_coded = ar__source_scheme(&scheme, j->src, block, i);
        return;
    }
}

/* The source's tensor of that name, or of the one it has in bare models; -1 if missing. */
static int64_t find_weight(const ar_open_model *m, const char *hf_name) {
    const char *bare = ar__gguf_arch_of(m->config.family)->bare;
    int64_t found = ar_weights_find(&m->weights, hf_name);
    if (found >= 0 || !bare || strncmp(hf_name, bare, strlen(bare)) != 0) return found;
    return ar_weights_find(&m->weights, hf_name + strlen(bare));
}

/* Adds tensor `name` made of the source's hf_name; optional ones may be missing. */
static ar_status add_entry(ar__gguf_job *j, const char *name, const char *hf_name, int32_t layer,
                           bool optional) {
    const ar_open_model *m = j->src->model;
    ar__gguf_entry *e = &j->entries[j->count];
    *e = (ar__gguf_entry){.weight = find_weight(m, hf_name), .block = -1};
    if (e->weight < 0)
        return optional ? AR_OK : ar__fail(AR_ERR_FORMAT, "%s: tensor %s: missing", m->path, hf_name);
    const ar_weight *w = m->weights.vtable->at(m->weights.impl, e->weight);
    if (w->dim_count < 1 || w->dim_count > 2)
        return ar__fail(AR_ERR_UNSUPPORTED, "%s: tensor %s: found %d dims, expected 1 or 2", m->path, hf_name,
                        (int)w->dim_count);
    snprintf(e->name, sizeof e->name, "%s", name);
    e->dim_count = w->dim_count;
    memcpy(e->dims, w->dims, sizeof e->dims);
    if (layer >= 0) find_linear(j, e, layer, w->name);
    e->type = ar__gguf_type_for(
        w->dim_count == 1 ? AR_QT_F32 : ar__gguf_plan_type(j->src->plan, &m->config, name, e->dims[1]));
    /* The plan keeps this linear float, as another of its formats cannot hold it: so it is here too. */
    if (e->block >= 0 && ar__gguf_is_rounded(e)) e->type = ar__gguf_type_for(AR_QT_F16);
    e->head_rows = ar__gguf_permuted_heads(&m->config, name, strlen(name)) ? m->config.head_dim : 0;
    if (ar__gguf_is_rounded(e) && e->head_rows)
        return ar__fail(AR_ERR_CHECK, "%s: found a permuted tensor without codes, expected none", name);
    j->count++;
    return AR_OK;
}

/* One of the architecture's tensors outside its blocks; nothing where it has none of that name. */
static ar_status add_global(ar__gguf_job *j, const char *part, bool bias, bool optional) {
    const ar__gguf_arch *arch = ar__gguf_arch_of(j->src->model->config.family);
    char name[AR__GGUF_NAME], hf_name[AR__GGUF_HF_NAME];
    return ar__gguf_global_name(name, hf_name, arch, part, bias) ? add_entry(j, name, hf_name, -1, optional)
                                                                 : AR_OK;
}

/* A tied model may store its one matrix as the head only; and for older readers it may be written twice. */
static ar_status add_matrix(ar__gguf_job *j, const char *gguf_name) {
    const ar_open_model *m = j->src->model;
    char name[AR__GGUF_NAME], embedding[AR__GGUF_HF_NAME], head[AR__GGUF_HF_NAME];
    const ar__gguf_arch *arch = ar__gguf_arch_of(m->config.family);
    ar__gguf_global_name(name, head, arch, "output", false);
    ar__gguf_global_name(name, embedding, arch, "token_embd", false);
    bool is_head = strcmp(gguf_name, "output.weight") == 0 && !m->config.tied;
    return add_entry(j, gguf_name, is_head || find_weight(m, embedding) < 0 ? head : embedding, -1, false);
}

static void add_factors(ar__gguf_job *j, const char *name, int32_t count) {
    ar__gguf_entry *e = &j->entries[j->count++];
    *e = (ar__gguf_entry){
        .weight = -1, .block = -1, .type = ar__gguf_type_of(AR__GGUF_T_F32), .dim_count = 1, .dims = {count}};
    snprintf(e->name, sizeof e->name, "%s", name);
}

static ar_status list_entries(ar__gguf_job *j) {
    const ar_open_model *m = j->src->model;
    const ar__gguf_arch *arch = ar__gguf_arch_of(m->config.family);
    char name[AR__GGUF_NAME], hf_name[AR__GGUF_HF_NAME];
    j->entries = ar__alloc((size_t)m->weights.vtable->count(m->weights.impl) + 3, sizeof *j->entries);
    if (!j->entries) return AR_ERR_MEMORY;
    AR_TRY(add_matrix(j, "token_embd.weight"));
    AR_TRY(add_global(j, "position_embd", false, false));
    if (strcmp(m->config.rope_scaling.kind, "llama3") == 0)
        add_factors(j, AR__GGUF_ROPE_FREQS, m->config.head_dim / 2);
    if (strcmp(m->config.rope_scaling.kind, "longrope") == 0) {
        add_factors(j, AR__GGUF_ROPE_LONG, m->config.rotary / 2);
        add_factors(j, AR__GGUF_ROPE_SHORT, m->config.rotary / 2);
    }
    for (int32_t layer = 0; layer < m->config.layers; layer++)
        for (int32_t i = 0; ar__gguf_block_name(name, hf_name, arch, layer, i); i++)
            AR_TRY(add_entry(j, name, hf_name, layer, i % 2 == 1));
    AR_TRY(add_global(j, "output_norm", false, false));
    AR_TRY(add_global(j, "output_norm", true, !arch->has_layer_norm));
    bool repeats =
        arch->repeats_head || (ar__tensor_types_file(j->src->plan->types) &&
                               ar__tensor_type(j->src->plan->types, "output.weight") != AR_QT_COUNT);
    return m->config.tied && !repeats ? AR_OK : add_matrix(j, "output.weight");
}

ar_status ar__gguf_read_rows(const ar__gguf_job *j, float *dst, const ar__gguf_entry *e, int64_t row,
                             int64_t n) {
    const ar_open_model *m = j->src->model;
    const ar_block *block = e->block >= 0 ? &m->model.blocks[e->block] : NULL;
    if (block) return block->read_linear(block, dst, e->linear, row, n);
    return m->weights.vtable->read(m->weights.impl, dst, e->weight, row, n);
}

int64_t ar__gguf_row_count(const ar__gguf_entry *e) { return e->dim_count > 1 ? e->dims[0] : 1; }
int64_t ar__gguf_row_width(const ar__gguf_entry *e) { return e->dims[e->dim_count - 1]; }
int64_t ar__gguf_value_count(const ar__gguf_entry *e) {
    return ar__gguf_row_count(e) * ar__gguf_row_width(e);
}
uint64_t ar__gguf_entry_bytes(const ar__gguf_entry *e) {
    return (uint64_t)ar__gguf_row_count(e) * (uint64_t)ar__gguf_row_bytes(e->type, ar__gguf_row_width(e));
}
ar_status ar__gguf_round_rows(ar_qlinear *q, const ar__gguf_job *j, const ar__gguf_entry *e, int64_t row,
                              int64_t n) {
    ar_scheme scheme;
    *q = (ar_qlinear){0};
    ar__gguf_scheme(&scheme, e->type->qtype);
    float *values = ar__alloc((size_t)n, (size_t)e->dims[1] * sizeof *values);
    ar_status status = values ? AR_OK : AR_ERR_MEMORY;
    if (status == AR_OK) status = ar__gguf_read_rows(j, values, e, row, n);
    if (status == AR_OK) status = ar_qlinear_init(q, &scheme, n, e->dims[1]);
    if (status == AR_OK) status = ar__gguf_round(q, e->name, values, row);
    free(values);
    return status;
}

int64_t ar__gguf_rows_at_a_time(const ar__gguf_entry *e) {
    int64_t step = AR__GGUF_CHUNK_BYTES / (4 * e->dims[1]) + 1;
    return step < e->dims[0] ? step : e->dims[0];
}

typedef struct digests {
    uint64_t *dst;
    const float *values;
    int64_t width;
} digests;

static void digest_row(void *ctx, int64_t row) {
    const digests *d = ctx;
    d->dst[row] =
        ar_hash64(0xcbf29ce484222325u, d->values + row * d->width, (size_t)d->width * sizeof *d->values);
}

void ar__gguf_digest_rows(uint64_t *dst, const float *values, int64_t n, int64_t width) {
    ar__parallel(n, digest_row, &(digests){dst, values, width});
}

int64_t ar__gguf_rounded_rows(const ar__gguf_job *j) {
    int64_t rows = 0;
    for (int64_t i = 0; i < j->count; i++)
        if (ar__gguf_is_rounded(&j->entries[i])) rows += ar__gguf_row_count(&j->entries[i]);
    return rows;
}

bool ar__gguf_fits(const ar_scheme *s, ar_qtype type) {
    ar_scheme own;
    if (!ar__gguf_scheme(&own, type) || s->super != own.super) return false;
    return own.super != AR_SUPER_NONE || (s->bits <= own.bits && s->zero == own.zero);
}

ar_status ar__gguf_list(ar__gguf_job *j) {
    const ar__gguf_mix *mix;
    AR_TRY(ar__gguf_accepts(j->src->model));
    AR_TRY(ar__gguf_find_mix(&mix, j->src->plan));
    return list_entries(j);
}
