/* Corrections of small rank as tensors beside a folder's weights; see factors.h. */
#include "factors.h"
#include "ar_error.h"
#include "hf_folder.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES (AR_HF_NAME + 16)
#define MOST_RANK  65536

/* One of the two factors: row k of down is a vector, and column k of up. */
typedef struct factor {
    char name[NAME_BYTES], scale_name[NAME_BYTES];
    int64_t dims[2]; /* (rank, I) or (O, rank) */
    float *values;
    int64_t rank, length, step, next; /* of a vector: values, from one to the other; to the next vector */
} factor;

static factor factor_of(const ar__adapter_part *p, const ar_block *block, int32_t i, bool up) {
    const ar_linear *lin = &block->linears[i];
    char linear[AR_HF_NAME];
    factor f = {.dims = {p->rank, lin->I}, .values = p->down, .rank = p->rank};
    ar__hf_linear_name(linear, block, i);
    snprintf(f.name, sizeof f.name, "%s.lorc_%c", linear, up ? 'b' : 'a');
    snprintf(f.scale_name, sizeof f.scale_name, "%s.lorc_%c_scale", linear, up ? 'b' : 'a');
    f.length = lin->I, f.step = 1, f.next = lin->I;
    if (up) f.dims[0] = lin->O, f.dims[1] = p->rank, f.values = p->up;
    if (up) f.length = lin->O, f.step = p->rank, f.next = 1;
    return f;
}

/* ---- writing ---- */

static ar_status declare(ar_st_writer *w, const factor *f, int32_t bits) {
    AR_TRY(ar_st_writer_declare(w, f->name, bits == 8 ? "I8" : "F16", 2, f->dims));
    return bits == 8 ? ar_st_writer_declare(w, f->scale_name, "F16", 1, &f->rank) : AR_OK;
}

static ar_status put_halves(ar_st_writer *w, const float *values, int64_t count) {
    uint16_t *halves = ar__alloc((size_t)count, sizeof *halves);
    if (!halves) return AR_ERR_MEMORY;
    for (int64_t i = 0; i < count; i++) halves[i] = ar_f32_to_f16(values[i]);
    ar_status status = ar_st_writer_data(w, halves, (size_t)count * sizeof *halves);
    free(halves);
    return status;
}

static ar_status put_codes(ar_st_writer *w, const factor *f) {
    int64_t count = f->rank * f->length;
    float *scales = ar__alloc((size_t)f->rank, sizeof *scales);
    int8_t *codes = ar__alloc((size_t)count, sizeof *codes);
    ar_status status = scales && codes ? AR_OK : AR_ERR_MEMORY;
    for (int64_t k = 0; status == AR_OK && k < f->rank; k++) {
        scales[k] = ar__factor_scale(f->values + k * f->next, f->length, f->step);
        for (int64_t i = 0; i < f->length; i++) {
            int64_t at = k * f->next + i * f->step;
            codes[at] = ar__factor_code(f->values[at], scales[k]);
        }
    }
    if (status == AR_OK) status = ar_st_writer_data(w, codes, (size_t)count);
    if (status == AR_OK) status = put_halves(w, scales, f->rank);
    free(scales);
    free(codes);
    return status;
}

/* Declares all, or writes all. */
static ar_status each_factor(ar_st_writer *w, const ar_adapter *a, const ar_model *m, int32_t bits,
                             bool declares) {
    for (int32_t b = 0; b < m->block_count; b++)
        for (int32_t i = 0; i < m->blocks[b].linear_count; i++) {
            const ar__adapter_part *p = &a->parts[b][i];
            for (int32_t up = 0; p->rank > 0 && up < 2; up++) {
                factor f = factor_of(p, &m->blocks[b], i, up != 0);
                if (declares)
                    AR_TRY(declare(w, &f, bits));
                else
                    AR_TRY(bits == 8 ? put_codes(w, &f) : put_halves(w, f.values, f.rank * f.length));
            }
        }
    return AR_OK;
}

ar_status ar__factors_write(const char *path, const ar_adapter *a, const ar_model *m, int32_t bits) {
    ar_st_writer *w = NULL;
    ar_status status;
    AR_GO(ar_st_writer_create(&w));
    AR_GO(ar_st_writer_metadata(w, "format", "pt"));
    AR_GO(ar_st_writer_metadata(w, AR_HF_WRITER_KEY, AR_HF_WRITER));
    AR_GO(each_factor(w, a, m, bits, true));
    AR_GO(ar_st_writer_begin(w, path));
    AR_GO(each_factor(w, a, m, bits, false));
    AR_GO(ar_st_writer_finish(&w));
done:
    ar_st_writer_abort(&w);
    return status;
}

/* ---- reading ---- */

static ar_status check_shape(const ar_st_tensor *t, const factor *f, const char *path) {
    bool is_known = strcmp(t->dtype, "F16") == 0 || strcmp(t->dtype, "I8") == 0;
    if (!is_known)
        return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: found dtype %s, expected F16 or I8", path, t->name,
                        t->dtype);
    if (t->dim_count == 2 && t->dims[0] == f->dims[0] && t->dims[1] == f->dims[1]) return AR_OK;
    return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: found (%lld, %lld), expected (%lld, %lld)", path, t->name,
                    (long long)t->dims[0], (long long)(t->dim_count > 1 ? t->dims[1] : 0),
                    (long long)f->dims[0], (long long)f->dims[1]);
}

static float half_at(const uint8_t *data, int64_t i) {
    return ar_f16_to_f32((uint16_t)(data[2 * i] | data[2 * i + 1] << 8));
}

static ar_status read_scales(const ar_st_tensor **scales, const ar_safetensors *st, const factor *f,
                             const char *path) {
    const ar_st_tensor *s = *scales = ar_safetensors_find(st, f->scale_name);
    if (!s) return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: missing", path, f->scale_name);
    if (strcmp(s->dtype, "F16") == 0 && s->dim_count == 1 && s->dims[0] == f->rank) return AR_OK;
    return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: found %s of %lld, expected F16 of %lld", path, s->name,
                    s->dtype, (long long)s->dims[0], (long long)f->rank);
}

/* Fills f->values; *taken grows by the tensors that were read. */
static ar_status read_factor(const factor *f, int64_t *taken, const ar_safetensors *st, const ar_st_tensor *t,
                             const char *path) {
    const ar_st_tensor *scales = NULL;
    AR_TRY(check_shape(t, f, path));
    if (strcmp(t->dtype, "I8") == 0) AR_TRY(read_scales(&scales, st, f, path));
    for (int64_t k = 0; k < f->rank; k++) {
        float scale = scales ? half_at(scales->data, k) : 1.0f;
        for (int64_t i = 0; i < f->length; i++) {
            int64_t at = k * f->next + i * f->step;
            f->values[at] = scales ? (float)(int8_t)t->data[at] * scale : half_at(t->data, at);
            if (!isfinite(f->values[at]))
                return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: found a factor of %g, expected finite", path,
                                t->name, (double)f->values[at]);
        }
    }
    *taken += scales ? 2 : 1;
    return AR_OK;
}

static ar_status read_part(ar_adapter *a, int64_t *taken, const ar_safetensors *st, const ar_block *block,
                           int32_t i, const char *path) {
    factor names[2] = {factor_of(&(ar__adapter_part){0}, block, i, false),
                       factor_of(&(ar__adapter_part){0}, block, i, true)};
    const ar_st_tensor *t[2] = {ar_safetensors_find(st, names[0].name),
                                ar_safetensors_find(st, names[1].name)};
    if (!t[0] && !t[1]) return AR_OK;
    for (int32_t up = 0; up < 2; up++)
        if (!t[up]) return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: missing", path, names[up].name);
    int64_t rank = t[0]->dim_count == 2 ? t[0]->dims[0] : 0;
    if (rank < 1 || rank > MOST_RANK)
        return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: found rank %lld, expected 1 to %d", path, t[0]->name,
                        (long long)rank, MOST_RANK);
    AR_TRY(ar__adapter_add(a, block, i, rank));
    for (int32_t up = 0; up < 2; up++) {
        factor f = factor_of(&a->parts[block->index][i], block, i, up != 0);
        AR_TRY(read_factor(&f, taken, st, t[up], path));
    }
    return AR_OK;
}

ar_status ar__factors_read(ar_adapter **a, const char *path, const ar_model *m) {
    ar_safetensors *st = NULL;
    ar_adapter *made = NULL;
    int64_t taken = 0;
    ar_status status;
    *a = NULL;
    AR_GO(ar_safetensors_open(&st, path));
    AR_GO(ar__adapter_create(&made, m->block_count));
    for (int32_t b = 0; b < m->block_count; b++)
        for (int32_t i = 0; i < m->blocks[b].linear_count; i++)
            AR_GO(read_part(made, &taken, st, &m->blocks[b], i, path));
    if (taken != ar_safetensors_count(st))
        AR_GO(ar__fail(AR_ERR_FORMAT,
                       "%s: found %lld tensors, of which %lld are factors of this model's linears", path,
                       (long long)ar_safetensors_count(st), (long long)taken));
    *a = made;
    made = NULL;
done:
    ar_adapter_close(made);
    ar_safetensors_close(st);
    return status;
}

ar_status ar__factors_is_file(bool *is, const char *path) {
    ar_file f = {0};
    AR_TRY(ar_file_open(&f, path));
    *is = f.bytes > 9 && f.data[8] == '{' && f.data[7] == 0;
    ar_file_close(&f);
    return AR_OK;
}
