/* The format gguf: one file for llama.cpp and its relatives. Tuned codes and scales are stored as they are,
 * never divided again; in blocks of 32 a group larger than a block repeats its scale in each of its blocks,
 * and narrower codes lie inside the wider type's. Norms and biases are F32; the embedding and the head are
 * rounded to the types that fmt_gguf_mix.c gives them, linears that stay float are F16, or what a float
 * --type says. */
#include "fmt_gguf.h"
#include "hf_folder.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES ((int64_t)4 << 20)

static ar_status find_mix(const ar__gguf_mix **mix, const ar_output_plan *plan) {
    *mix = ar__gguf_mix_find(plan->type);
    return *mix ? AR_OK : ar__fail(AR_ERR_USAGE, "type: found '%s', expected a GGUF type", plan->type);
}

static ar_status storage(ar_storage *s, const ar_output_plan *plan) {
    const ar__gguf_mix *mix;
    ar_scheme own;
    AR_TRY(find_mix(&mix, plan));
    bool coded = ar__gguf_scheme(&own, mix->type), asym = own.zero == AR_ZERO_F16MIN;
    *s = (ar_storage){.bits_mask = coded ? (1 << (own.bits + 1)) - 4 : 0, /* 2 to its own */
                      .sym = !asym,
                      .asym = asym,
                      .asym_zero = AR_ZERO_F16MIN,
                      .group_multiple = AR__GGUF_BLOCK,
                      .k_multiple = AR__GGUF_BLOCK};
    return AR_OK;
}

/* ---- what is written ---- */

typedef struct entry {
    char name[AR__GGUF_NAME];
    int64_t weight;        /* of src->model->weights; -1 = the rotary factors */
    int32_t block, linear; /* block >= 0: this linear of it */
    bool is_coded;         /* with tuned codes */
    const ar__gguf_type *type;
    int32_t dim_count;
    int64_t dims[2];
    int64_t head_rows; /* as in the reader */
} entry;

typedef struct job {
    const ar_write_source *src;
    entry *entries;
    int64_t count;
    ar__gguf_out out;
} job;

static bool is_rounded(const entry *e) { return !e->is_coded && e->type->elems > 1; }

/* The linear of this name, if it is one, and whether the plan quantizes it. */
static void find_linear(const job *j, entry *e, int32_t layer, const char *hf_name) {
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
static ar_status add_entry(job *j, const char *name, const char *hf_name, int32_t layer, bool optional) {
    const ar_open_model *m = j->src->model;
    entry *e = &j->entries[j->count];
    *e = (entry){.weight = find_weight(m, hf_name), .block = -1};
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
    e->head_rows = ar__gguf_permuted_heads(&m->config, name, strlen(name)) ? m->config.head_dim : 0;
    if (is_rounded(e) && e->head_rows)
        return ar__fail(AR_ERR_CHECK, "%s: found a permuted tensor without codes, expected none", name);
    j->count++;
    return AR_OK;
}

/* One of the architecture's tensors outside its blocks; nothing where it has none of that name. */
static ar_status add_global(job *j, const char *part, bool bias, bool optional) {
    const ar__gguf_arch *arch = ar__gguf_arch_of(j->src->model->config.family);
    char name[AR__GGUF_NAME], hf_name[AR__GGUF_HF_NAME];
    return ar__gguf_global_name(name, hf_name, arch, part, bias) ? add_entry(j, name, hf_name, -1, optional)
                                                                 : AR_OK;
}

/* A tied model may store its one matrix as the head only; and for older readers it may be written twice. */
static ar_status add_matrix(job *j, const char *gguf_name) {
    const ar_open_model *m = j->src->model;
    char name[AR__GGUF_NAME], embedding[AR__GGUF_HF_NAME], head[AR__GGUF_HF_NAME];
    const ar__gguf_arch *arch = ar__gguf_arch_of(m->config.family);
    ar__gguf_global_name(name, head, arch, "output", false);
    ar__gguf_global_name(name, embedding, arch, "token_embd", false);
    bool is_head = strcmp(gguf_name, "output.weight") == 0 && !m->config.tied;
    return add_entry(j, gguf_name, is_head || find_weight(m, embedding) < 0 ? head : embedding, -1, false);
}

static void add_factors(job *j, const char *name, int32_t count) {
    entry *e = &j->entries[j->count++];
    *e = (entry){
        .weight = -1, .block = -1, .type = ar__gguf_type_of(AR__GGUF_T_F32), .dim_count = 1, .dims = {count}};
    snprintf(e->name, sizeof e->name, "%s", name);
}

static ar_status list_entries(job *j) {
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
    return m->config.tied && !arch->repeats_head ? AR_OK : add_matrix(j, "output.weight");
}

/* Rows of what an entry is made of, as the file orders inputs: those of a linear are its own. */
static ar_status read_rows(const job *j, float *dst, const entry *e, int64_t row, int64_t n) {
    const ar_open_model *m = j->src->model;
    const ar_block *block = e->block >= 0 ? &m->model.blocks[e->block] : NULL;
    if (block) return block->read_linear(block, dst, e->linear, row, n);
    return m->weights.vtable->read(m->weights.impl, dst, e->weight, row, n);
}

static int64_t row_count(const entry *e) { return e->dim_count > 1 ? e->dims[0] : 1; }
static int64_t row_width(const entry *e) { return e->dims[e->dim_count - 1]; }
static uint64_t entry_bytes(const entry *e) {
    return (uint64_t)row_count(e) * (uint64_t)ar__gguf_row_bytes(e->type, row_width(e));
}
static uint64_t padded(uint64_t bytes) {
    return (bytes + AR__GGUF_ALIGNMENT - 1) / AR__GGUF_ALIGNMENT * AR__GGUF_ALIGNMENT;
}

static void put_infos(job *j) {
    uint64_t offset = 0;
    for (int64_t i = 0; i < j->count; i++) {
        const entry *e = &j->entries[i];
        ar__gguf_put_string(&j->out, e->name, strlen(e->name));
        ar__gguf_put_int(&j->out, (uint64_t)e->dim_count, 4);
        for (int32_t d = e->dim_count - 1; d >= 0; d--) ar__gguf_put_int(&j->out, (uint64_t)e->dims[d], 8);
        ar__gguf_put_int(&j->out, (uint64_t)e->type->id, 4);
        ar__gguf_put_int(&j->out, offset, 8);
        offset += padded(entry_bytes(e));
    }
}

static void put_padding(job *j) {
    static const uint8_t zeros[AR__GGUF_ALIGNMENT];
    if (j->out.status != AR_OK) return;
    uint64_t at = ar_writer_offset(j->out.w);
    ar__gguf_put(&j->out, zeros, (size_t)(padded(at) - at));
}

/* ---- data ---- */

static ar_status store_value(uint8_t *dst, const entry *e, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (e->type->qtype == AR_QT_F32) {
        ar__gguf_store(dst, bits, 4);
        return AR_OK;
    }
    if (e->type->qtype == AR_QT_BF16) {
        ar__gguf_store(dst, ar_f32_to_bf16(value), 2);
        return AR_OK;
    }
    uint16_t half = ar_f32_to_f16(value);
    if (isfinite(value) && !isfinite(ar_f16_to_f32(half)))
        return ar__fail(AR_ERR_UNSUPPORTED, "%s: found a value of %g, which F16 cannot store; type f32 can",
                        e->name, (double)value);
    ar__gguf_store(dst, half, 2);
    return AR_OK;
}

static ar_status put_values(job *j, const entry *e, const float *values, int64_t count) {
    uint8_t stored[8192];
    int64_t each = e->type->bytes, step = (int64_t)sizeof stored / each;
    for (int64_t k = 0; k < count; k += step) {
        int64_t n = count - k < step ? count - k : step;
        for (int64_t i = 0; i < n; i++) AR_TRY(store_value(stored + i * each, e, values[k + i]));
        ar__gguf_put(&j->out, stored, (size_t)(n * each));
    }
    return j->out.status;
}

/* Heads of a permuted tensor are read whole; each chunk begins at a head. A permuted bias is rows of one
 * value. */
static ar_status put_float(job *j, const entry *e) {
    bool bias = e->dim_count == 1;
    int64_t rows = row_count(e), width = row_width(e), step = CHUNK_BYTES / (4 * width) + 1,
            unit = e->head_rows ? e->head_rows : 1;
    step = (step + unit - 1) / unit * unit;
    if (step > rows) step = rows;
    float *values = ar__alloc((size_t)step * (size_t)width, sizeof *values);
    ar_status status = values ? AR_OK : AR_ERR_MEMORY;
    for (int64_t row = 0; row < rows && status == AR_OK; row += step) {
        int64_t n = rows - row < step ? rows - row : step;
        status = read_rows(j, values, e, row, n);
        if (!e->head_rows && status == AR_OK) status = put_values(j, e, values, n * width);
        int64_t parts = e->head_rows ? (bias ? width : n) : 0, each = bias ? 1 : width;
        for (int64_t k = 0; k < parts && status == AR_OK; k++)
            status = put_values(j, e, values + ar__gguf_row_in_hf(k, e->head_rows) * each, each);
    }
    free(values);
    return status;
}

/* Rows [row, row + n) of a rounded tensor as codes. Ends with ar_qlinear_deinit. */
static ar_status round_rows(ar_qlinear *q, const job *j, const entry *e, int64_t row, int64_t n) {
    ar_scheme scheme;
    *q = (ar_qlinear){0};
    ar__gguf_scheme(&scheme, e->type->qtype);
    float *values = ar__alloc((size_t)n, (size_t)e->dims[1] * sizeof *values);
    ar_status status = values ? AR_OK : AR_ERR_MEMORY;
    if (status == AR_OK) status = read_rows(j, values, e, row, n);
    if (status == AR_OK) status = ar_qlinear_init(q, &scheme, n, e->dims[1]);
    if (status == AR_OK) status = ar__gguf_round(q, e->name, values, row);
    free(values);
    return status;
}

static int64_t rows_at_a_time(const entry *e) {
    int64_t step = CHUNK_BYTES / (4 * e->dims[1]) + 1;
    return step < e->dims[0] ? step : e->dims[0];
}

static ar_status put_rounded(job *j, const entry *e) {
    size_t bytes = (size_t)ar__gguf_row_bytes(e->type, e->dims[1]);
    int64_t step = rows_at_a_time(e);
    uint8_t *blocks = ar__alloc(bytes, 1);
    ar_status status = blocks ? AR_OK : AR_ERR_MEMORY;
    for (int64_t row = 0; row < e->dims[0] && status == AR_OK; row += step) {
        ar_qlinear q;
        int64_t n = e->dims[0] - row < step ? e->dims[0] - row : step;
        status = round_rows(&q, j, e, row, n);
        for (int64_t k = 0; k < n && status == AR_OK; k++) {
            ar__gguf_encode_codes(blocks, e->type, &q, k);
            ar__gguf_put(&j->out, blocks, bytes);
            status = j->out.status;
        }
        ar_qlinear_deinit(&q);
    }
    free(blocks);
    return status;
}

static ar_status put_rope_factors(job *j, const entry *e) {
    float *factors = ar__alloc((size_t)e->dims[0], sizeof *factors);
    if (!factors) return AR_ERR_MEMORY;
    ar__gguf_rope_factors(factors, &j->src->model->config, e->name);
    ar_status status = put_values(j, e, factors, e->dims[0]);
    free(factors);
    return status;
}

/* Can blocks of the type hold codes under s? */
static bool fits(const ar_scheme *s, ar_qtype type) {
    ar_scheme own;
    if (!ar__gguf_scheme(&own, type) || s->super != own.super) return false;
    return own.super != AR_SUPER_NONE || (s->bits <= own.bits && s->zero == own.zero);
}

static ar_status put_codes(job *j, const entry *e) {
    ar_qlinear *q = NULL;
    AR_TRY(j->src->linear(j->src->ctx, &q, e->block, e->linear));
    if (!q) return ar__fail(AR_ERR_CHECK, "%s: not quantized, expected codes", e->name);
    size_t bytes = (size_t)ar__gguf_row_bytes(e->type, row_width(e));
    uint8_t *row = ar__alloc(bytes, 1);
    ar_status status = row ? AR_OK : AR_ERR_MEMORY;
    if (q->O != e->dims[0] || q->I != e->dims[1] || !fits(&q->scheme, e->type->qtype))
        status =
            ar__fail(AR_ERR_SHAPE, "%s: found codes (%lld, %lld) of %d bits, expected (%lld, %lld) as %s",
                     e->name, (long long)q->O, (long long)q->I, (int)q->scheme.bits, (long long)e->dims[0],
                     (long long)e->dims[1], e->type->name);
    for (int64_t r = 0; r < e->dims[0] && status == AR_OK; r++) {
        ar__gguf_encode_codes(row, e->type, q, e->head_rows ? ar__gguf_row_in_hf(r, e->head_rows) : r);
        ar__gguf_put(&j->out, row, bytes);
        status = j->out.status;
    }
    free(row);
    ar_qlinear_free(q);
    return status;
}

static ar_status put_entry(job *j, const entry *e) {
    if (e->weight < 0) return put_rope_factors(j, e);
    if (e->is_coded) return put_codes(j, e);
    return is_rounded(e) ? put_rounded(j, e) : put_float(j, e);
}

static ar_status put_file(job *j) {
    ar__gguf_out *o = &j->out;
    const ar__gguf_mix *mix;
    AR_TRY(find_mix(&mix, j->src->plan));
    ar__gguf_put(o, "GGUF", 4);
    ar__gguf_put_int(o, AR__GGUF_VERSION, 4);
    ar__gguf_put_int(o, (uint64_t)j->count, 8);
    ar__gguf_put_int(o, 0, 8); /* the number of fields, once known */
    AR_TRY(ar__gguf_put_fields(o, j->src, mix->file_type));
    put_infos(j);
    put_padding(j);
    for (int64_t i = 0; i < j->count; i++) {
        AR_TRY(o->status);
        AR_TRY(put_entry(j, &j->entries[i]));
        put_padding(j);
    }
    AR_TRY(o->status);
    AR_TRY(ar_writer_seek(o->w, 16));
    ar__gguf_put_int(o, o->field_count, 8);
    return o->status;
}

static ar_status list_file(job *j) {
    const ar__gguf_mix *mix;
    AR_TRY(ar__gguf_accepts(j->src->model));
    AR_TRY(find_mix(&mix, j->src->plan));
    return list_entries(j);
}

static ar_status write(const char *path, const ar_write_source *src) {
    job j = {.src = src};
    ar_status status;
    AR_GO(list_file(&j));
    AR_GO(ar_writer_open(&j.out.w, path));
    AR_GO(put_file(&j));
    AR_GO(ar_writer_commit(&j.out.w));
done:
    ar_writer_abort(&j.out.w);
    free(j.entries);
    return status;
}

/* ---- reading back ---- */

static bool same_supers(const ar_qlinear *got, const ar_qlinear *q) {
    size_t elems = (size_t)(q->O * q->I), groups = (size_t)(q->O * q->groups),
           supers = (size_t)(q->O * q->supers);
    return memcmp(got->codes, q->codes, elems) == 0 && memcmp(got->d, q->d, 2 * supers) == 0 &&
           memcmp(got->sub_scales, q->sub_scales, groups) == 0 &&
           (!q->dmin || memcmp(got->dmin, q->dmin, 2 * supers) == 0) &&
           (!q->sub_mins || memcmp(got->sub_mins, q->sub_mins, groups) == 0);
}

/* The stored codes, scales and minima against those of q, in the type's blocks. */
static bool same_codes(const ar_qlinear *got, const ar_qlinear *q, ar_qtype type) {
    if (got->O != q->O || got->I != q->I || !fits(&q->scheme, type)) return false;
    if (q->scheme.super != AR_SUPER_NONE) return same_supers(got, q);
    int32_t offset = ar__gguf_code_offset(type, q->scheme.bits);
    for (int64_t o = 0; o < q->O; o++) {
        for (int64_t b = 0; b < got->groups; b++) {
            int64_t from = o * q->groups + (q->groups == 1 ? 0 : b * AR__GGUF_BLOCK / q->scheme.group),
                    to = o * got->groups + b;
            if (got->scales[to] != q->scales[from] || (q->mins && got->mins[to] != q->mins[from]))
                return false;
        }
        for (int64_t i = o * q->I; i < (o + 1) * q->I; i++)
            if (got->codes[i] != q->codes[i] + offset) return false;
    }
    return true;
}

static ar_status verify_linear(const ar_weights *w, const char *path, const job *j, const entry *e,
                               int64_t index) {
    ar_qlinear *q = NULL, got = {0};
    ar_status status;
    AR_TRY(j->src->linear(j->src->ctx, &q, e->block, e->linear));
    AR_GO(w->vtable->read_codes(w->impl, &got, index));
    if (!q || !same_codes(&got, q, e->type->qtype))
        AR_GO(ar__fail(AR_ERR_CHECK, "%s: %s: codes, scales or minima read back differ from those tuned",
                       path, e->name));
    AR_GO(ar__hf_compare_values(w, index, e->name, q, false));
done:
    ar_qlinear_deinit(&got);
    ar_qlinear_free(q);
    return status;
}

/* Rounding depends on the weights alone: done again, it must give the values read back. */
static ar_status verify_rounded(const ar_weights *w, const char *path, const job *j, const entry *e,
                                int64_t index) {
    int64_t step = rows_at_a_time(e);
    float *values = ar__alloc((size_t)step * 2, (size_t)e->dims[1] * sizeof *values);
    ar_status status = values ? AR_OK : AR_ERR_MEMORY;
    for (int64_t row = 0; row < e->dims[0] && status == AR_OK; row += step) {
        ar_qlinear q;
        int64_t n = e->dims[0] - row < step ? e->dims[0] - row : step, elems = n * e->dims[1];
        status = round_rows(&q, j, e, row, n);
        if (status == AR_OK) status = w->vtable->read(w->impl, values, index, row, n);
        if (status == AR_OK) ar_qlinear_dequant(values + elems, &q);
        if (status == AR_OK && memcmp(values, values + elems, (size_t)elems * sizeof *values) != 0)
            status =
                ar__fail(AR_ERR_CHECK, "%s: %s: values read back differ from those written", path, e->name);
        ar_qlinear_deinit(&q);
    }
    free(values);
    return status;
}

static ar_status verify_float(const ar_weights *w, const char *path, const job *j, const entry *e,
                              int64_t index) {
    int64_t rows = row_count(e), width = row_width(e), step = CHUNK_BYTES / (4 * width) + 1;
    ar_qtype type = e->type->qtype;
    if (step > rows) step = rows;
    float *values = ar__alloc((size_t)step * 2, (size_t)width * sizeof *values);
    ar_status status = values ? AR_OK : AR_ERR_MEMORY;
    for (int64_t row = 0; row < rows && status == AR_OK; row += step) {
        int64_t n = rows - row < step ? rows - row : step;
        float *got = values + n * width;
        status = read_rows(j, values, e, row, n);
        if (status == AR_OK) status = w->vtable->read(w->impl, got, index, row, n);
        if (status == AR_OK)
            status = ar__hf_compare_rounded(got, values, n * width,
                                            type == AR_QT_F32   ? AR_F32
                                            : type == AR_QT_F16 ? AR_F16
                                                                : AR_BF16,
                                            path, e->name);
    }
    free(values);
    return status;
}

static ar_status verify_entry(const ar_weights *w, const char *path, const job *j, const entry *e) {
    char name[AR__GGUF_NAME], hf[AR__GGUF_HF_NAME];
    const ar__gguf_arch *arch = ar__gguf_arch_of(j->src->model->config.family);
    if (e->weight < 0) return AR_OK;
    int64_t index = ar__gguf_to_hf(hf, arch, e->name, strlen(e->name)) ? ar_weights_find(w, hf) : -1;
    if (index < 0 && arch->repeats_head && strcmp(e->name, "output.weight") == 0 &&
        ar__gguf_global_name(name, hf, arch, "token_embd", false))
        index = ar_weights_find(w, hf); /* byte for byte the embedding, so that the reader left it out */
    if (index < 0) return ar__fail(AR_ERR_CHECK, "%s: tensor %s missing after writing", path, e->name);
    if (e->is_coded) return verify_linear(w, path, j, e, index);
    return is_rounded(e) ? verify_rounded(w, path, j, e, index) : verify_float(w, path, j, e, index);
}

static ar_status verify(const char *path, const ar_write_source *src) {
    job j = {.src = src};
    ar_weights w = {0};
    ar_config config;
    ar_tokenizer *tokenizer = NULL;
    ar_status status;
    AR_GO(list_file(&j));
    AR_GO(ar_weights_open_gguf(&w, &config, &tokenizer, path));
    for (int64_t i = 0; i < j.count; i++) AR_GO(verify_entry(&w, path, &j, &j.entries[i]));
done:
    ar_weights_close(&w);
    ar_tokenizer_close(tokenizer);
    free(j.entries);
    return status;
}

/* ---- before the work ---- */

static ar_status check_rounded(const job *j, const entry *e) {
    ar_scheme scheme;
    int64_t step = rows_at_a_time(e);
    ar__gguf_scheme(&scheme, e->type->qtype);
    float *values = ar__alloc((size_t)step, (size_t)e->dims[1] * sizeof *values);
    ar_status status = values ? AR_OK : AR_ERR_MEMORY;
    for (int64_t row = 0; row < e->dims[0] && status == AR_OK; row += step) {
        int64_t n = e->dims[0] - row < step ? e->dims[0] - row : step;
        status = read_rows(j, values, e, row, n);
        if (status == AR_OK) status = ar_quant_check_weights(e->name, values, &scheme, row, n, e->dims[1]);
    }
    free(values);
    return status;
}

/* The embedding and the head are rounded last, when the tuning has taken its hours. */
static ar_status accepts(const ar_open_model *m, const ar_output_plan *plan) {
    ar_write_source src = {.model = m, .plan = plan};
    job j = {.src = &src};
    ar_status status;
    AR_GO(list_file(&j));
    for (int64_t i = 0; i < j.count; i++)
        if (is_rounded(&j.entries[i])) AR_GO(check_rounded(&j, &j.entries[i]));
done:
    free(j.entries);
    return status;
}

const ar_format ar__format_gguf = {
    .name = "gguf",
    .help = "one file for llama.cpp: Q4_0 to Q8_0, Q2_K to Q6_K and their mixes, F16, BF16 or F32",
    .storage = storage,
    .write = write,
    .verify = verify,
    .accepts = accepts,
    .has_types = true,
    .holds_floats = true,
    .holds_supers = true,
    .group = AR__GGUF_BLOCK};
