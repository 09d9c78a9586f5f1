/* What is read back of a folder against what was to be written: every tensor, codes and floats. */
#include "hf_folder.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES ((int64_t)8 << 20)

ar_status ar__hf_compare_rounded(const float *got, const float *from, int64_t count, ar_dtype dtype,
                                 const char *path, const char *name) {
    for (int64_t i = 0; i < count; i++) {
        float expected = dtype == AR_F16    ? ar_f16_to_f32(ar_f32_to_f16(from[i]))
                         : dtype == AR_BF16 ? ar_bf16_to_f32(ar_f32_to_bf16(from[i]))
                                            : from[i];
        if (memcmp(&got[i], &expected, sizeof expected) != 0 && !(isnan(got[i]) && isnan(expected)))
            return ar__fail(AR_ERR_CHECK, "%s: tensor %s: found %g, expected %g", path, name, (double)got[i],
                            (double)expected);
    }
    return AR_OK;
}

static ar_status compare_codes(const ar_weights *w, int64_t index, const char *name, const ar_qlinear *q) {
    ar_qlinear got = {0};
    ar_status status = w->vtable->read_codes ? w->vtable->read_codes(w->impl, &got, index)
                                             : ar__fail(AR_ERR_CHECK, "%s: read back without codes", name);
    if (status != AR_OK) return status;
    size_t elems = (size_t)(q->O * q->I), groups = (size_t)(q->O * q->groups);
    bool same = got.O == q->O && got.I == q->I && got.groups == q->groups &&
                memcmp(got.codes, q->codes, elems) == 0 && memcmp(got.scales, q->scales, groups * 2) == 0 &&
                memcmp(got.zeros, q->zeros, groups) == 0;
    ar_qlinear_deinit(&got);
    return same
               ? AR_OK
               : ar__fail(AR_ERR_CHECK, "%s: codes, scales or zeros read back differ from those tuned", name);
}

ar_status ar__hf_compare_values(const ar_weights *w, int64_t index, const char *name, const ar_qlinear *q,
                                bool transposed) {
    size_t elems = (size_t)(q->O * q->I);
    float *want = ar__alloc(elems, sizeof *want);
    void *read = ar__alloc(elems, sizeof *want);
    ar_status status =
        want && read ? w->vtable->read(w->impl, read, index, 0, transposed ? q->I : q->O) : AR_ERR_MEMORY;
    if (status == AR_OK && transposed) status = ar__hf_transpose(&read, q->I, q->O);
    const float *got = read;
    if (status == AR_OK) {
        ar_qlinear_dequant(want, q);
        for (size_t i = 0; i < elems; i++) { /* -0 and 0 are one value */
            if (got[i] == want[i]) continue;
            status = ar__fail(AR_ERR_CHECK, "%s: value %zu read back is %.9g, expected %.9g", name, i,
                              (double)got[i], (double)want[i]);
            break;
        }
    }
    free(want);
    free(read);
    return status;
}

ar_status ar__hf_verify_linears(const ar_weights *w, const char *path, const ar_write_source *src,
                                bool codes) {
    const ar_model *m = &src->model->model;
    char name[AR_HF_NAME + 16];
    for (int32_t b = 0; b < m->block_count; b++) {
        for (int32_t i = 0; i < m->blocks[b].linear_count; i++) {
            ar_scheme scheme;
            if (!ar__source_scheme(&scheme, src, &m->blocks[b], i)) continue;
            ar_qlinear *q = NULL;
            ar__hf_linear_name(name, &m->blocks[b], i);
            strcat(name, ".weight");
            int64_t index = ar_weights_find(w, name);
            if (index < 0) return ar__fail(AR_ERR_CHECK, "%s: tensor %s missing after writing", path, name);
            AR_TRY(src->linear(src->ctx, &q, b, i));
            ar_status status = codes ? compare_codes(w, index, name, q) : AR_OK;
            if (status == AR_OK)
                status = ar__hf_compare_values(w, index, name, q, !codes && src->model->config.is_conv1d);
            ar_qlinear_free(q);
            AR_TRY(status);
            AR_TRY(ar__source_advance(src, m->blocks[b].linears[i].O * m->blocks[b].linears[i].I));
        }
    }
    return AR_OK;
}

/* ---- float tensors ---- */

/* A Conv1D's float product (I, O) against the source's (O, I). */
static ar_status verify_turned(const ar_weights *w, const ar_weights *from, int64_t i, const char *path,
                               ar_dtype dtype) {
    const ar_weight *t = from->vtable->at(from->impl, i);
    int64_t O = t->dims[0], I = t->dims[1], index = ar_weights_find(w, t->name);
    float *want = ar__alloc((size_t)O * 2 + 1, (size_t)I * sizeof *want), *got = want ? want + O * I : NULL;
    ar_status status = want ? from->vtable->read(from->impl, want, i, 0, O) : AR_ERR_MEMORY;
    float *row = want ? got + O * I : NULL; /* (I): one of want, put together from what was written */
    if (status == AR_OK) status = w->vtable->read(w->impl, got, index, 0, I);
    for (int64_t o = 0; status == AR_OK && o < O; o++) {
        for (int64_t k = 0; k < I; k++) row[k] = got[k * O + o];
        status = ar__hf_compare_rounded(row, want + o * I, I, dtype, path, t->name);
    }
    free(want);
    return status;
}

/* Tensor i of the source, a float one, against what was written of it. */
static ar_status verify_float(const ar_weights *w, const ar_write_source *src, int64_t i, const char *path,
                              ar_dtype dtype) {
    const ar_open_model *m = src->model;
    const ar_weights *from = &m->weights;
    const ar_weight *t = from->vtable->at(from->impl, i);
    bool is_turned = ar__hf_is_turned(m, t->name);
    int64_t index = ar_weights_find(w, t->name), rows = t->dim_count > 1 ? t->dims[0] : 1, width = 1;
    for (int32_t d = t->dim_count > 1 ? 1 : 0; d < t->dim_count; d++) width *= t->dims[d];
    if (index < 0) return ar__fail(AR_ERR_CHECK, "%s: tensor %s missing after writing", path, t->name);
    if (is_turned) return verify_turned(w, from, i, path, dtype);
    if (rows == 0 || width == 0) return AR_OK;
    int64_t step = CHUNK_BYTES / (4 * width + 4) + 1;
    if (step > rows) step = rows;
    float *values = ar__alloc((size_t)step * 2, (size_t)width * sizeof *values);
    ar_status status = values ? AR_OK : AR_ERR_MEMORY;
    for (int64_t row = 0; row < rows && status == AR_OK; row += step) {
        int64_t n = rows - row < step ? rows - row : step;
        float *got = values + n * width;
        status = from->vtable->read(from->impl, values, i, row, n);
        if (status == AR_OK) status = w->vtable->read(w->impl, got, index, row, n);
        if (status == AR_OK) status = ar__hf_compare_rounded(got, values, n * width, dtype, path, t->name);
        if (status == AR_OK) status = ar__source_advance(src, n * width);
    }
    free(values);
    return status;
}

ar_status ar__hf_verify_floats(const ar_weights *w, const char *path, const ar_write_source *src,
                               const char *float_dtype) {
    const ar_weights *from = &src->model->weights;
    for (int64_t i = 0; i < from->vtable->count(from->impl); i++) {
        const ar_weight *t = from->vtable->at(from->impl, i);
        if (ar__hf_is_coded(src, t->name)) continue;
        const char *dtype = ar__hf_float_dtype(t, float_dtype);
        AR_TRY(verify_float(w, src, i, path,
                            strcmp(dtype, "F32") == 0   ? AR_F32
                            : strcmp(dtype, "F16") == 0 ? AR_F16
                                                        : AR_BF16));
    }
    return AR_OK;
}
