/* The format gguf: one file for llama.cpp and its relatives, architecture llama. Tuned codes and scales are
 * stored as they are, never divided again; a group larger than a block repeats its scale in each of its
 * blocks, and narrower codes lie inside the wider type's. Norms and biases are F32; the embedding, the head
 * and linears that stay float are F16, or F32 for --type f32. */
#include "fmt_gguf.h"
#include "hf_folder.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES ((int64_t)4 << 20)

/* ---- types ---- */

typedef struct output_type {
    const char *name;
    ar__gguf_type_id linears, floats;
    int32_t file_type; /* general.file_type */
    int32_t bits_mask; /* 0: nothing is quantized */
} output_type;
static const output_type output_types[] = {{"q4_0", AR__GGUF_T_Q4_0, AR__GGUF_T_F16, 2, 0x1c},
                                           {"q4_1", AR__GGUF_T_Q4_1, AR__GGUF_T_F16, 3, 0x1c},
                                           {"q8_0", AR__GGUF_T_Q8_0, AR__GGUF_T_F16, 7, 0x1fc},
                                           {"f16", AR__GGUF_T_F16, AR__GGUF_T_F16, 1, 0},
                                           {"f32", AR__GGUF_T_F32, AR__GGUF_T_F32, 0, 0}};

static const output_type *find_output_type(const char *name) {
    for (size_t i = 0; i < sizeof output_types / sizeof *output_types; i++)
        if (strcmp(output_types[i].name, name) == 0) return &output_types[i];
    return NULL;
}

static ar_status storage(ar_storage *s, const ar_output_plan *plan) {
    const output_type *type = find_output_type(plan->type);
    if (!type)
        return ar__fail(AR_ERR_USAGE, "--type: found '%s', expected q4_0, q4_1, q8_0, f16 or f32",
                        plan->type);
    bool asym = type->linears == AR__GGUF_T_Q4_1;
    *s = (ar_storage){.bits_mask = type->bits_mask,
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
    int32_t block, linear; /* block >= 0: quantized */
    const ar__gguf_type *type;
    int32_t dim_count;
    int64_t dims[2];
    int64_t head_rows; /* as in the reader */
} entry;

typedef struct job {
    const ar_write_source *src;
    const output_type *type;
    entry *entries;
    int64_t count;
    ar__gguf_out out;
} job;

/* The linear that the plan quantizes under this name, if it is one. */
static void find_linear(const job *j, entry *e, int32_t layer, const char *hf_name) {
    const ar_block *block = &j->src->model->model.blocks[layer];
    char name[AR_HF_NAME];
    for (int32_t i = 0; i < block->linear_count; i++) {
        ar__hf_linear_name(name, block, i);
        size_t bytes = strlen(name);
        if (strncmp(name, hf_name, bytes) != 0 || strcmp(hf_name + bytes, ".weight") != 0) continue;
        if (!ar_output_plan_holds(j->src->plan, block->linears[i].O, block->linears[i].I)) return;
        e->block = block->index;
        e->linear = i;
        e->type = ar__gguf_type_of((int32_t)j->type->linears);
        return;
    }
}

/* Adds tensor `name` made of the source's hf_name; optional ones may be missing. */
static ar_status add_entry(job *j, const char *name, const char *hf_name, int32_t layer, bool optional) {
    const ar_open_model *m = j->src->model;
    entry *e = &j->entries[j->count];
    *e = (entry){.weight = ar_weights_find(&m->weights, hf_name), .block = -1};
    if (e->weight < 0)
        return optional ? AR_OK : ar__fail(AR_ERR_FORMAT, "%s: tensor %s: missing", m->path, hf_name);
    const ar_weight *w = m->weights.vtable->at(m->weights.impl, e->weight);
    if (w->dim_count < 1 || w->dim_count > 2)
        return ar__fail(AR_ERR_UNSUPPORTED, "%s: tensor %s: found %d dims, expected 1 or 2", m->path, hf_name,
                        (int)w->dim_count);
    snprintf(e->name, sizeof e->name, "%s", name);
    e->dim_count = w->dim_count;
    memcpy(e->dims, w->dims, sizeof e->dims);
    e->type = ar__gguf_type_of((int32_t)(w->dim_count == 1 ? AR__GGUF_T_F32 : j->type->floats));
    e->head_rows = ar__gguf_permuted_heads(&m->config, hf_name) ? m->config.head_dim : 0;
    if (layer >= 0) find_linear(j, e, layer, hf_name);
    j->count++;
    return AR_OK;
}

static ar_status list_entries(job *j) {
    const ar_open_model *m = j->src->model;
    char name[AR__GGUF_NAME], hf_name[AR__GGUF_HF_NAME];
    j->entries = ar__alloc((size_t)m->weights.vtable->count(m->weights.impl) + 2, sizeof *j->entries);
    if (!j->entries) return AR_ERR_MEMORY;
    bool embedded = ar_weights_find(&m->weights, "model.embed_tokens.weight") >= 0;
    AR_TRY(add_entry(j, "token_embd.weight", embedded ? "model.embed_tokens.weight" : "lm_head.weight", -1,
                     false));
    if (strcmp(m->config.rope_scaling.kind, "llama3") == 0) {
        entry *e = &j->entries[j->count++];
        *e = (entry){.name = AR__GGUF_ROPE_FREQS,
                     .weight = -1,
                     .block = -1,
                     .type = ar__gguf_type_of(AR__GGUF_T_F32),
                     .dim_count = 1,
                     .dims = {m->config.head_dim / 2}};
    }
    for (int32_t layer = 0; layer < m->config.layers; layer++)
        for (int32_t i = 0; ar__gguf_block_name(name, hf_name, layer, i); i++)
            AR_TRY(add_entry(j, name, hf_name, layer, i % 2 == 1));
    AR_TRY(add_entry(j, "output_norm.weight", "model.norm.weight", -1, false));
    return m->config.tied ? AR_OK : add_entry(j, "output.weight", "lm_head.weight", -1, false);
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
    if (e->type->id == AR__GGUF_T_F32) {
        ar__gguf_store(dst, bits, 4);
        return AR_OK;
    }
    uint16_t half = ar_f32_to_f16(value);
    if (isfinite(value) && !isfinite(ar_f16_to_f32(half)))
        return ar__fail(AR_ERR_UNSUPPORTED, "%s: found a value of %g, which F16 cannot store; --type f32 can",
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
    const ar_weights *w = &j->src->model->weights;
    bool bias = e->dim_count == 1;
    int64_t rows = row_count(e), width = row_width(e), step = CHUNK_BYTES / (4 * width) + 1,
            unit = e->head_rows ? e->head_rows : 1;
    step = (step + unit - 1) / unit * unit;
    if (step > rows) step = rows;
    float *values = ar__alloc((size_t)step * (size_t)width, sizeof *values);
    ar_status status = values ? AR_OK : AR_ERR_MEMORY;
    for (int64_t row = 0; row < rows && status == AR_OK; row += step) {
        int64_t n = rows - row < step ? rows - row : step;
        status = w->vtable->read(w->impl, values, e->weight, row, n);
        if (!e->head_rows && status == AR_OK) status = put_values(j, e, values, n * width);
        int64_t parts = e->head_rows ? (bias ? width : n) : 0, each = bias ? 1 : width;
        for (int64_t k = 0; k < parts && status == AR_OK; k++)
            status = put_values(j, e, values + ar__gguf_row_in_hf(k, e->head_rows) * each, each);
    }
    free(values);
    return status;
}

static ar_status put_rope_factors(job *j, const entry *e) {
    float *factors = ar__alloc((size_t)e->dims[0], sizeof *factors);
    if (!factors) return AR_ERR_MEMORY;
    ar__gguf_rope_factors(factors, &j->src->model->config);
    ar_status status = put_values(j, e, factors, e->dims[0]);
    free(factors);
    return status;
}

static ar_status put_codes(job *j, const entry *e) {
    ar_qlinear *q = NULL;
    AR_TRY(j->src->linear(j->src->ctx, &q, e->block, e->linear));
    if (!q) return ar__fail(AR_ERR_CHECK, "%s: not quantized, expected codes", e->name);
    size_t bytes = (size_t)ar__gguf_row_bytes(e->type, row_width(e));
    uint8_t *row = ar__alloc(bytes, 1);
    ar_status status = row ? AR_OK : AR_ERR_MEMORY;
    if (q->O != e->dims[0] || q->I != e->dims[1] || (q->mins != NULL) != (e->type->id == AR__GGUF_T_Q4_1))
        status = ar__fail(AR_ERR_SHAPE, "%s: found codes (%lld, %lld) %s minima, expected (%lld, %lld) as %s",
                          e->name, (long long)q->O, (long long)q->I, q->mins ? "with" : "without",
                          (long long)e->dims[0], (long long)e->dims[1], e->type->name);
    for (int64_t r = 0; r < e->dims[0] && status == AR_OK; r++) {
        ar__gguf_encode_codes(row, e->type, q, e->head_rows ? ar__gguf_row_in_hf(r, e->head_rows) : r);
        ar__gguf_put(&j->out, row, bytes);
        status = j->out.status;
    }
    free(row);
    ar_qlinear_free(q);
    return status;
}

static ar_status put_file(job *j) {
    ar__gguf_out *o = &j->out;
    ar__gguf_put(o, "GGUF", 4);
    ar__gguf_put_int(o, AR__GGUF_VERSION, 4);
    ar__gguf_put_int(o, (uint64_t)j->count, 8);
    ar__gguf_put_int(o, 0, 8); /* the number of fields, once known */
    AR_TRY(ar__gguf_put_fields(o, j->src, j->type->file_type));
    put_infos(j);
    put_padding(j);
    for (int64_t i = 0; i < j->count; i++) {
        const entry *e = &j->entries[i];
        AR_TRY(o->status);
        AR_TRY(e->weight < 0 ? put_rope_factors(j, e) : e->block >= 0 ? put_codes(j, e) : put_float(j, e));
        put_padding(j);
    }
    AR_TRY(o->status);
    AR_TRY(ar_writer_seek(o->w, 16));
    ar__gguf_put_int(o, o->field_count, 8);
    return o->status;
}

static ar_status write(const char *path, const ar_write_source *src) {
    job j = {.src = src, .type = find_output_type(src->plan->type)};
    ar_status status;
    if (!j.type)
        return ar__fail(AR_ERR_USAGE, "%s: found type '%s', expected q4_0, q4_1, q8_0, f16 or f32", path,
                        src->plan->type);
    if (strcmp(src->model->config.family, "llama") != 0)
        return ar__fail(AR_ERR_UNSUPPORTED, "%s: found model family \"%s\", expected llama", path,
                        src->model->config.family);
    AR_GO(list_entries(&j));
    AR_GO(ar_writer_open(&j.out.w, path));
    AR_GO(put_file(&j));
    AR_GO(ar_writer_commit(&j.out.w));
done:
    ar_writer_abort(&j.out.w);
    free(j.entries);
    return status;
}

/* ---- reading back ---- */

/* The stored codes, scales and minima against those of q, in the type's blocks. */
static bool same_codes(const ar_qlinear *got, const ar_qlinear *q, int32_t offset) {
    if (got->O != q->O || got->I != q->I || (got->mins != NULL) != (q->mins != NULL)) return false;
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

static ar_status verify_linear(const ar_weights *w, const char *path, const ar_write_source *src,
                               const ar_block *block, int32_t i, int32_t offset) {
    char name[AR_HF_NAME + 16];
    ar_qlinear *q = NULL, got = {0};
    ar_status status;
    ar__hf_linear_name(name, block, i);
    strcat(name, ".weight");
    int64_t index = ar_weights_find(w, name);
    if (index < 0) return ar__fail(AR_ERR_CHECK, "%s: tensor %s missing after writing", path, name);
    AR_TRY(src->linear(src->ctx, &q, block->index, i));
    AR_GO(w->vtable->read_codes(w->impl, &got, index));
    if (!q || !same_codes(&got, q, offset))
        AR_GO(ar__fail(AR_ERR_CHECK, "%s: %s: codes, scales or minima read back differ from those tuned",
                       path, name));
done:
    ar_qlinear_deinit(&got);
    ar_qlinear_free(q);
    return status;
}

static ar_status verify(const char *path, const ar_write_source *src) {
    const ar_model *m = &src->model->model;
    const output_type *type = find_output_type(src->plan->type);
    ar_weights w = {0};
    ar_config config;
    ar_tokenizer *tokenizer = NULL;
    ar_status status;
    if (!type) return ar__fail(AR_ERR_USAGE, "%s: found type '%s'", path, src->plan->type);
    AR_TRY(ar_weights_open_gguf(&w, &config, &tokenizer, path));
    if (type->bits_mask) {
        int32_t offset =
            ar__gguf_code_offset(ar__gguf_type_of((int32_t)type->linears)->qtype, src->plan->scheme.bits);
        for (int32_t b = 0; b < m->block_count; b++)
            for (int32_t i = 0; i < m->blocks[b].linear_count; i++)
                if (ar_output_plan_holds(src->plan, m->blocks[b].linears[i].O, m->blocks[b].linears[i].I))
                    AR_GO(verify_linear(&w, path, src, &m->blocks[b], i, offset));
    }
    AR_GO(ar__hf_verify_linears(&w, path, src, false));
done:
    ar_weights_close(&w);
    ar_tokenizer_close(tokenizer);
    return status;
}

const ar_format ar__format_gguf = {
    "gguf", "one file for llama.cpp: Q4_0, Q4_1, Q8_0, F16 or F32", false, storage, write, verify};
