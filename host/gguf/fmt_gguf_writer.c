/* The format gguf: one file for llama.cpp and its relatives. Tuned codes and scales are stored as they are,
 * never divided again; in blocks of 32 a group larger than a block repeats its scale in each of its blocks,
 * and narrower codes lie inside the wider type's. Norms and biases are F32; the embedding and the head are
 * rounded to the types that fmt_gguf_mix.c gives them, linears that stay float are F16, or what a float
 * --type says. */
#include "fmt_gguf_entries.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ar_status storage(ar_storage *s, const ar_output_plan *plan) {
    const ar__gguf_mix *mix;
    ar_scheme own;
    AR_TRY(ar__gguf_find_mix(&mix, plan));
    bool coded = ar__gguf_scheme(&own, mix->type), asym = own.zero == AR_ZERO_F16MIN;
    *s = (ar_storage){.bits_mask = coded ? (1 << (own.bits + 1)) - 4 : 0, /* 2 to its own */
                      .sym = !asym,
                      .asym = asym,
                      .asym_zero = AR_ZERO_F16MIN,
                      .group_multiple = AR__GGUF_BLOCK,
                      .k_multiple = AR__GGUF_BLOCK};
    return AR_OK;
}

/* ---- the header ---- */

static uint64_t padded(uint64_t bytes) {
    return (bytes + AR__GGUF_ALIGNMENT - 1) / AR__GGUF_ALIGNMENT * AR__GGUF_ALIGNMENT;
}

static void put_infos(ar__gguf_job *j) {
    uint64_t offset = 0;
    for (int64_t i = 0; i < j->count; i++) {
        const ar__gguf_entry *e = &j->entries[i];
        ar__gguf_put_string(&j->out, e->name, strlen(e->name));
        ar__gguf_put_int(&j->out, (uint64_t)e->dim_count, 4);
        for (int32_t d = e->dim_count - 1; d >= 0; d--) ar__gguf_put_int(&j->out, (uint64_t)e->dims[d], 8);
        ar__gguf_put_int(&j->out, (uint64_t)e->type->id, 4);
        ar__gguf_put_int(&j->out, offset, 8);
        offset += padded(ar__gguf_entry_bytes(e));
    }
}

static void put_padding(ar__gguf_job *j) {
    static const uint8_t zeros[AR__GGUF_ALIGNMENT];
    if (j->out.status != AR_OK) return;
    ar__gguf_put(&j->out, zeros, (size_t)(padded(j->out.bytes) - j->out.bytes));
}

/* ---- data ---- */

static ar_status store_value(uint8_t *dst, const ar__gguf_entry *e, float value) {
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

static ar_status put_values(ar__gguf_job *j, const ar__gguf_entry *e, const float *values, int64_t count) {
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
static ar_status put_float(ar__gguf_job *j, const ar__gguf_entry *e) {
    bool bias = e->dim_count == 1;
    int64_t rows = ar__gguf_row_count(e), width = ar__gguf_row_width(e),
            step = AR__GGUF_CHUNK_BYTES / (4 * width) + 1, unit = e->head_rows ? e->head_rows : 1;
    step = (step + unit - 1) / unit * unit;
    if (step > rows) step = rows;
    float *values = ar__alloc((size_t)step * (size_t)width, sizeof *values);
    ar_status status = values ? AR_OK : AR_ERR_MEMORY;
    for (int64_t row = 0; row < rows && status == AR_OK; row += step) {
        int64_t n = rows - row < step ? rows - row : step;
        status = ar__gguf_read_rows(j, values, e, row, n);
        if (!e->head_rows && status == AR_OK) status = put_values(j, e, values, n * width);
        int64_t parts = e->head_rows ? (bias ? width : n) : 0, each = bias ? 1 : width;
        for (int64_t k = 0; k < parts && status == AR_OK; k++)
            status = put_values(j, e, values + ar__gguf_row_in_hf(k, e->head_rows) * each, each);
    }
    free(values);
    return status;
}

/* Rows of codes into the memo: digests of their values. */
static ar_status remember(ar_write_memo *memo, const ar_qlinear *q) {
    float *values = memo ? ar__alloc((size_t)q->O, (size_t)q->I * sizeof *values) : NULL;
    if (!memo) return AR_OK;
    if (!values) return AR_ERR_MEMORY;
    ar_qlinear_dequant(values, q);
    ar__gguf_digest_rows(memo->rows + memo->count, values, q->O, q->I);
    memo->count += q->O;
    free(values);
    return AR_OK;
}

static ar_status put_rounded(ar__gguf_job *j, const ar__gguf_entry *e) {
    size_t bytes = (size_t)ar__gguf_row_bytes(e->type, e->dims[1]);
    int64_t step = ar__gguf_rows_at_a_time(e);
    uint8_t *blocks = ar__alloc(bytes, 1);
    ar_status status = blocks ? AR_OK : AR_ERR_MEMORY;
    for (int64_t row = 0; row < e->dims[0] && status == AR_OK; row += step) {
        ar_qlinear q;
        int64_t n = e->dims[0] - row < step ? e->dims[0] - row : step;
        status = ar__gguf_round_rows(&q, j, e, row, n);
        for (int64_t k = 0; k < n && status == AR_OK; k++) {
            ar__gguf_encode_codes(blocks, e->type, &q, k);
            ar__gguf_put(&j->out, blocks, bytes);
            status = j->out.status;
        }
        if (status == AR_OK) status = remember(j->src->memo, &q);
        ar_qlinear_deinit(&q);
        if (status == AR_OK) status = ar__source_advance(j->src, n * e->dims[1] * AR_ROUNDING_WORK);
    }
    free(blocks);
    return status;
}

static ar_status put_rope_factors(ar__gguf_job *j, const ar__gguf_entry *e) {
    float *factors = ar__alloc((size_t)e->dims[0], sizeof *factors);
    if (!factors) return AR_ERR_MEMORY;
    ar__gguf_rope_factors(factors, &j->src->model->config, e->name);
    ar_status status = put_values(j, e, factors, e->dims[0]);
    free(factors);
    return status;
}

static ar_status put_codes(ar__gguf_job *j, const ar__gguf_entry *e) {
    ar_qlinear *q = NULL;
    AR_TRY(j->src->linear(j->src->ctx, &q, e->block, e->linear));
    if (!q) return ar__fail(AR_ERR_CHECK, "%s: not quantized, expected codes", e->name);
    size_t bytes = (size_t)ar__gguf_row_bytes(e->type, ar__gguf_row_width(e));
    uint8_t *row = ar__alloc(bytes, 1);
    ar_status status = row ? AR_OK : AR_ERR_MEMORY;
    if (q->O != e->dims[0] || q->I != e->dims[1] || !ar__gguf_fits(&q->scheme, e->type->qtype))
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

static ar_status put_entry(ar__gguf_job *j, const ar__gguf_entry *e) {
    AR_TRY(ar__source_advance(j->src, ar__gguf_value_count(e)));
    if (e->weight < 0) return put_rope_factors(j, e);
    if (e->is_coded) return put_codes(j, e);
    return ar__gguf_is_rounded(e) ? put_rounded(j, e) : put_float(j, e);
}

/* All before the tensors' data. */
static ar_status put_header(ar__gguf_job *j) {
    ar__gguf_out *o = &j->out;
    const ar__gguf_mix *mix;
    AR_TRY(ar__gguf_find_mix(&mix, j->src->plan));
    ar__gguf_put(o, "GGUF", 4);
    ar__gguf_put_int(o, AR__GGUF_VERSION, 4);
    ar__gguf_put_int(o, (uint64_t)j->count, 8);
    ar__gguf_put_int(o, 0, 8); /* the number of fields, once known */
    AR_TRY(ar__gguf_put_fields(o, j->src, mix->file_type));
    put_infos(j);
    put_padding(j);
    return o->status;
}

static ar_status put_file(ar__gguf_job *j) {
    ar__gguf_out *o = &j->out;
    AR_TRY(put_header(j));
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

static ar_status begin_memo(ar_write_memo *memo, const ar__gguf_job *j) {
    int64_t rows = ar__gguf_rounded_rows(j);
    if (!memo) return AR_OK;
    ar_write_memo_deinit(memo);
    if (rows > 0) memo->rows = ar__alloc((size_t)rows, sizeof *memo->rows);
    return rows == 0 || memo->rows ? AR_OK : AR_ERR_MEMORY;
}

static ar_status write(const char *path, const ar_write_source *src) {
    ar__gguf_job j = {.src = src};
    ar_status status;
    AR_GO(ar__gguf_list(&j));
    AR_GO(begin_memo(src->memo, &j));
    AR_GO(ar_writer_open(&j.out.w, path));
    AR_GO(put_file(&j));
    AR_GO(ar_writer_commit(&j.out.w));
done:
    ar_writer_abort(&j.out.w);
    free(j.entries);
    return status;
}

static ar_status size(ar_output_size *s, const ar_write_source *src) {
    ar__gguf_job j = {.src = src};
    ar_status status;
    *s = (ar_output_size){0};
    AR_GO(ar__gguf_list(&j));
    AR_GO(put_header(&j));
    s->bytes = j.out.bytes;
    for (int64_t i = 0; i < j.count; i++) {
        int64_t values = ar__gguf_value_count(&j.entries[i]);
        s->bytes += padded(ar__gguf_entry_bytes(&j.entries[i]));
        s->values += values;
        if (ar__gguf_is_rounded(&j.entries[i])) s->rounded += values;
    }
done:
    free(j.entries);
    return status;
}

#define MEASURED_VALUES  ((int64_t)1 << 17)
#define MEASURED_SECONDS 0.2

/* Seconds of rounding entry e, by its first rows. The first time reads the file. */
static ar_status time_rounding(double *seconds, const ar__gguf_job *j, const ar__gguf_entry *e) {
    int64_t rows = MEASURED_VALUES / e->dims[1] + 1, done = 0;
    double start = 0.0, took = 0.0;
    if (rows > e->dims[0]) rows = e->dims[0];
    for (int32_t i = 0; took < MEASURED_SECONDS && done < e->dims[0]; i++) {
        ar_qlinear q;
        if (i == 1) start = ar__now_s();
        ar_status status = ar__gguf_round_rows(&q, j, e, 0, rows);
        ar_qlinear_deinit(&q);
        AR_TRY(status);
        if (i == 0) continue;
        done += rows;
        took = ar__now_s() - start;
    }
    *seconds = took * (double)e->dims[0] / (double)done;
    return AR_OK;
}

static ar_status rounding(double *seconds, const ar_write_source *src) {
    ar__gguf_job j = {.src = src};
    ar_status status;
    *seconds = 0.0;
    AR_GO(ar__gguf_list(&j));
    for (int64_t i = 0; i < j.count; i++) {
        double took;
        if (!ar__gguf_is_rounded(&j.entries[i])) continue;
        AR_GO(time_rounding(&took, &j, &j.entries[i]));
        *seconds += took;
    }
done:
    free(j.entries);
    return status;
}

const ar_format ar__format_gguf = {
    .name = "gguf",
    .help = "one file for llama.cpp: Q4_0 to Q8_0, Q2_K to Q6_K and their mixes, F16, BF16 or F32",
    .storage = storage,
    .write = write,
    .verify = ar__gguf_verify,
    .size = size,
    .rounding = rounding,
    .accepts = ar__gguf_accepts_weights,
    .remarks = ar__gguf_remarks,
    .has_types = true,
    .holds_floats = true,
    .holds_supers = true,
    .group = AR__GGUF_BLOCK};
