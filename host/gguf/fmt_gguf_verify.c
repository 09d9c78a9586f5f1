/* A GGUF file read back: codes and values against what was to be written. */
#include "fmt_gguf_types.h"
#include "hf_folder.h"
#include <stdlib.h>
#include <string.h>

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
    if (got->O != q->O || got->I != q->I || !ar__gguf_fits(&q->scheme, type)) return false;
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

static ar_status verify_linear(const ar_weights *w, const char *path, const ar__gguf_job *j,
                               const ar__gguf_entry *e, int64_t index) {
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

/* The values read back against the digests of those that were written. */
static ar_status verify_remembered(const ar_weights *w, const char *path, const ar__gguf_entry *e,
                                   int64_t index, const uint64_t *rows) {
    int64_t step = ar__gguf_rows_at_a_time(e), width = e->dims[1];
    float *values = ar__alloc((size_t)step, (size_t)width * sizeof *values);
    uint64_t *found = ar__alloc((size_t)step, sizeof *found);
    ar_status status = values && found ? AR_OK : AR_ERR_MEMORY;
    for (int64_t row = 0; row < e->dims[0] && status == AR_OK; row += step) {
        int64_t n = e->dims[0] - row < step ? e->dims[0] - row : step;
        status = w->vtable->read(w->impl, values, index, row, n);
        if (status == AR_OK) ar__gguf_digest_rows(found, values, n, width);
        if (status == AR_OK && memcmp(found, rows + row, (size_t)n * sizeof *found) != 0)
            status =
                ar__fail(AR_ERR_CHECK, "%s: %s: values read back differ from those written", path, e->name);
    }
    free(values);
    free(found);
    return status;
}

/* Without digests: rounding depends on the weights alone; done again, it must give the values read back. */
static ar_status verify_rounded(const ar_weights *w, const char *path, const ar__gguf_job *j,
                                const ar__gguf_entry *e, int64_t index) {
    int64_t step = ar__gguf_rows_at_a_time(e);
    float *values = ar__alloc((size_t)step * 2, (size_t)e->dims[1] * sizeof *values);
    ar_status status = values ? AR_OK : AR_ERR_MEMORY;
    for (int64_t row = 0; row < e->dims[0] && status == AR_OK; row += step) {
        ar_qlinear q;
        int64_t n = e->dims[0] - row < step ? e->dims[0] - row : step, elems = n * e->dims[1];
        status = ar__gguf_round_rows(&q, j, e, row, n);
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

static ar_status verify_float(const ar_weights *w, const char *path, const ar__gguf_job *j,
                              const ar__gguf_entry *e, int64_t index) {
    int64_t rows = ar__gguf_row_count(e), width = ar__gguf_row_width(e),
            step = AR__GGUF_CHUNK_BYTES / (4 * width) + 1;
    ar_qtype type = e->type->qtype;
    if (step > rows) step = rows;
    float *values = ar__alloc((size_t)step * 2, (size_t)width * sizeof *values);
    ar_status status = values ? AR_OK : AR_ERR_MEMORY;
    for (int64_t row = 0; row < rows && status == AR_OK; row += step) {
        int64_t n = rows - row < step ? rows - row : step;
        float *got = values + n * width;
        status = ar__gguf_read_rows(j, values, e, row, n);
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

/* rows: the digests of a rounded entry, or NULL. */
static ar_status verify_entry(const ar_weights *w, const char *path, const ar__gguf_job *j,
                              const ar__gguf_entry *e, const uint64_t *rows) {
    char name[AR__GGUF_NAME], hf[AR__GGUF_HF_NAME];
    const ar__gguf_arch *arch = ar__gguf_arch_of(j->src->model->config.family);
    if (e->weight < 0) return AR_OK;
    int64_t index = ar__gguf_to_hf(hf, arch, e->name, strlen(e->name)) ? ar_weights_find(w, hf) : -1;
    if (index < 0 && arch->repeats_head && strcmp(e->name, "output.weight") == 0 &&
        ar__gguf_global_name(name, hf, arch, "token_embd", false))
        index = ar_weights_find(w, hf); /* byte for byte the embedding, so that the reader left it out */
    if (index < 0) return ar__fail(AR_ERR_CHECK, "%s: tensor %s missing after writing", path, e->name);
    if (e->is_coded) return verify_linear(w, path, j, e, index);
    if (!ar__gguf_is_rounded(e)) return verify_float(w, path, j, e, index);
    return rows ? verify_remembered(w, path, e, index, rows) : verify_rounded(w, path, j, e, index);
}

ar_status ar__gguf_verify(const char *path, const ar_write_source *src) {
    ar__gguf_job j = {.src = src};
    ar_weights w = {0};
    ar_config config;
    ar_tokenizer *tokenizer = NULL;
    ar_status status;
    AR_GO(ar__gguf_list(&j));
    AR_GO(ar_weights_open_gguf(&w, &config, &tokenizer, path));
    const uint64_t *rows =
        src->memo && src->memo->count == ar__gguf_rounded_rows(&j) ? src->memo->rows : NULL;
    for (int64_t i = 0; i < j.count; i++) {
        const ar__gguf_entry *e = &j.entries[i];
        AR_GO(verify_entry(&w, path, &j, e, rows));
        if (rows && ar__gguf_is_rounded(e)) rows += ar__gguf_row_count(e);
        AR_GO(ar__source_advance(src, ar__gguf_value_count(e)));
    }
    AR_GO(ar__gguf_verify_tokenizer(path, tokenizer, src));
done:
    ar_weights_close(&w);
    ar_tokenizer_close(tokenizer);
    free(j.entries);
    return status;
}

/* ---- before the work ---- */

static ar_status check_rounded(const ar__gguf_job *j, const ar__gguf_entry *e) {
    ar_scheme scheme;
    int64_t step = ar__gguf_rows_at_a_time(e);
    ar__gguf_scheme(&scheme, e->type->qtype);
    float *values = ar__alloc((size_t)step, (size_t)e->dims[1] * sizeof *values);
    ar_status status = values ? AR_OK : AR_ERR_MEMORY;
    for (int64_t row = 0; row < e->dims[0] && status == AR_OK; row += step) {
        int64_t n = e->dims[0] - row < step ? e->dims[0] - row : step;
        status = ar__gguf_read_rows(j, values, e, row, n);
        if (status == AR_OK) status = ar_quant_check_weights(e->name, values, &scheme, row, n, e->dims[1]);
    }
    free(values);
    return status;
}

/* The embedding and the head are rounded last, when the tuning has taken its hours. */
ar_status ar__gguf_accepts_weights(const ar_open_model *m, const ar_output_plan *plan) {
    ar_write_source src = {.model = m, .plan = plan};
    ar__gguf_job j = {.src = &src};
    ar_status status;
    AR_GO(ar__gguf_list(&j));
    AR_GO(ar__tensor_types_check(plan->types, j.entries, j.count, m->path));
    for (int64_t i = 0; i < j.count; i++)
        if (ar__gguf_is_rounded(&j.entries[i])) AR_GO(check_rounded(&j, &j.entries[i]));
done:
    free(j.entries);
    return status;
}
