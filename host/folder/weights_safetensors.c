/* Named float tensors of a Hugging Face folder: F32, F16 and BF16 safetensors, read row by row as f32.
 * Tensors of other types are listed, so that `info` can show them; reading them as floats is an error. */
#include "ar_host.h"
#include "ar_error.h"
#include "fmt_safetensors.h"
#include "folder_contents.h"
#include "memory.h"
#include "notes.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct st_weights {
    ar_safetensors *st;
    ar_weight *list;
    char *path; /* for errors */
} st_weights;

static void st_close(void *impl) {
    st_weights *s = impl;
    ar_safetensors_close(s->st);
    free(s->list);
    free(s->path);
    free(s);
}

static int64_t st_count(const void *impl) { return ar_safetensors_count(((const st_weights *)impl)->st); }

static const ar_weight *st_at(const void *impl, int64_t i) {
    return i >= 0 && i < st_count(impl) ? &((const st_weights *)impl)->list[i] : NULL;
}

static uint32_t load_u16(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }

/* Little-endian, at any alignment: a safetensors header may have any length. */
static void convert(float *dst, const uint8_t *src, int64_t count, ar_dtype dtype) {
    for (int64_t i = 0; i < count; i++) {
        if (dtype == AR_F32) {
            uint32_t bits = load_u16(src + 4 * i) | load_u16(src + 4 * i + 2) << 16;
            memcpy(dst + i, &bits, sizeof bits);
        } else {
            uint16_t half = (uint16_t)load_u16(src + 2 * i);
            dst[i] = dtype == AR_F16 ? ar_f16_to_f32(half) : ar_bf16_to_f32(half);
        }
    }
}

static ar_status st_read(const void *impl, float *dst, int64_t i, int64_t row, int64_t rows) {
    const st_weights *s = impl;
    const ar_st_tensor *t = ar_safetensors_at(s->st, i);
    if (!t)
        return ar__fail(AR_ERR_ARG, "%s: found tensor index %" PRId64 ", expected below %" PRId64, s->path, i,
                        st_count(impl));
    ar_dtype dtype = strcmp(t->dtype, "F32") == 0 ? AR_F32 : strcmp(t->dtype, "F16") == 0 ? AR_F16 : AR_BF16;
    if (dtype == AR_BF16 && strcmp(t->dtype, "BF16") != 0)
        return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: found dtype %s, expected F32, F16 or BF16", s->path,
                        t->name, t->dtype);
    int64_t row_count = t->dim_count > 1 ? t->dims[0] : 1;
    if (row < 0 || rows < 0 || row > row_count || rows > row_count - row)
        return ar__fail(AR_ERR_ARG,
                        "%s: tensor %s: found %" PRId64 " rows from %" PRId64
                        ", expected them in [0, %" PRId64 ")",
                        s->path, t->name, rows, row, row_count);
    if (rows == 0 || t->bytes == 0) return AR_OK;
    int64_t element_bytes = dtype == AR_F32 ? 4 : 2;
    int64_t width = (int64_t)t->bytes / element_bytes / row_count;
    const uint8_t *from = t->data + row * width * element_bytes;
    convert(dst, from, rows * width, dtype);
    ar__mapping_leave(from, (uint64_t)(rows * width * element_bytes));
    return AR_OK;
}

static ar_status st_raw(const void *impl, ar_qtype *type, const uint8_t **blocks, uint64_t *row_stride,
                        int64_t i) {
    const st_weights *s = impl;
    const ar_st_tensor *t = ar_safetensors_at(s->st, i);
    if (!t)
        return ar__fail(AR_ERR_ARG, "%s: found tensor index %" PRId64 ", expected below %" PRId64, s->path, i,
                        st_count(impl));
    *type = strcmp(t->dtype, "F32") == 0 ? AR_QT_F32 : strcmp(t->dtype, "F16") == 0 ? AR_QT_F16 : AR_QT_BF16;
    if (*type == AR_QT_BF16 && strcmp(t->dtype, "BF16") != 0)
        return ar__fail(AR_ERR_UNSUPPORTED, "%s: tensor %s: found dtype %s, expected F32, F16 or BF16",
                        s->path, t->name, t->dtype);
    *blocks = t->data;
    *row_stride = t->dim_count > 1 && t->dims[0] > 0 ? t->bytes / (uint64_t)t->dims[0] : t->bytes;
    return AR_OK;
}

static ar_status list_tensors(st_weights *s) {
    int64_t count = ar_safetensors_count(s->st);
    s->list = ar__alloc((size_t)count, sizeof *s->list);
    if (!s->list) return AR_ERR_MEMORY;
    for (int64_t i = 0; i < count; i++) {
        const ar_st_tensor *t = ar_safetensors_at(s->st, i);
        ar_weight *w = &s->list[i];
        if (t->dim_count > 4)
            return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: found %d dims, expected at most 4", s->path,
                            t->name, (int)t->dim_count);
        *w =
            (ar_weight){.name = t->name, .dim_count = t->dim_count, .type = t->dtype, .file_bytes = t->bytes};
        for (int32_t d = 0; d < t->dim_count; d++) w->dims[d] = t->dims[d];
    }
    return AR_OK;
}

/* model.safetensors, or else the index of a sharded model. */
static ar_status find_file(char **path, const char *folder) {
    AR_TRY(ar_path_join(path, folder, "model.safetensors"));
    if (ar_path_exists(*path)) return AR_OK;
    free(*path);
    AR_TRY(ar_path_join(path, folder, "model.safetensors.index.json"));
    if (ar_path_exists(*path)) return AR_OK;
    free(*path);
    *path = NULL;
    return ar__folder_lacks_weights(folder);
}

const ar_safetensors *ar__weights_safetensors(const ar_weights *w) {
    return ((const st_weights *)w->impl)->st;
}

const char *ar__weights_path(const ar_weights *w) { return ((const st_weights *)w->impl)->path; }

ar_status ar_weights_open_safetensors(ar_weights *w, const char *folder) {
    static const ar_weights_vtable vtable = {st_close, st_count, st_at, st_read, NULL, st_raw, NULL};
    *w = (ar_weights){0};
    st_weights *s = ar__alloc(1, sizeof *s);
    if (!s) return AR_ERR_MEMORY;
    ar_status status = find_file(&s->path, folder);
    if (status == AR_OK) status = ar_safetensors_open(&s->st, s->path);
    if (status == AR_OK) status = list_tensors(s);
    const char *unlisted = status == AR_OK ? ar__safetensors_unlisted(s->st) : NULL;
    if (unlisted)
        status = ar__note(&w->notes, "%s: tensors that weight_map does not list are passed over: %s", s->path,
                          unlisted);
    if (status == AR_OK)
        w->vtable = &vtable, w->impl = s;
    else
        st_close(s);
    return status;
}
