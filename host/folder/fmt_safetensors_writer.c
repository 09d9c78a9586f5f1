/* Writing safetensors: declare everything, then stream the data in the declared order. In the file, tensors
 * lie by falling element size (as the reference implementation lays them out), so each is naturally aligned
 * and can be viewed in place; equal sizes keep the declared order. Reading is in fmt_safetensors.c. */
#include "ar_host.h"
#include "ar_error.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TENSOR_DIMS 8

typedef struct declared {
    char *name;
    const char *dtype;
    uint32_t element_bytes;
    int32_t dim_count;
    int64_t dims[MAX_TENSOR_DIMS];
    uint64_t bytes, begin; /* begin: in the data, set by begin() */
} declared;

typedef struct text {
    char *data;
    size_t bytes, capacity;
} text;

struct ar_st_writer {
    declared *tensors;
    int64_t count, capacity;
    text metadata;          /* "key":"value" members, comma separated */
    ar_writer *file;        /* after begin() */
    uint64_t data_offset;   /* of the data in the file */
    int64_t current;        /* tensor being written */
    uint64_t written_bytes; /* of it */
};

/* ---- growing text ---- */

static ar_status text_reserve(text *t, size_t more) {
    if (more <= t->capacity - t->bytes) return AR_OK;
    size_t capacity = (t->bytes + more) * 2;
    char *grown = ar__alloc(capacity, 1);
    if (!grown) return AR_ERR_MEMORY;
    if (t->bytes > 0) memcpy(grown, t->data, t->bytes);
    free(t->data);
    t->data = grown;
    t->capacity = capacity;
    return AR_OK;
}

static ar_status text_add(text *t, const char *src) {
    size_t bytes = strlen(src);
    AR_TRY(text_reserve(t, bytes));
    memcpy(t->data + t->bytes, src, bytes);
    t->bytes += bytes;
    return AR_OK;
}

/* src as a JSON string, quotes included. */
static ar_status text_add_string(text *t, const char *src) {
    AR_TRY(text_reserve(t, strlen(src) * 6 + 3));
    t->data[t->bytes++] = '"';
    for (; *src; src++) {
        uint8_t c = (uint8_t)*src;
        if (c == '"' || c == '\\') t->data[t->bytes++] = '\\';
        if (c >= 0x20)
            t->data[t->bytes++] = (char)c;
        else
            t->bytes += (size_t)snprintf(t->data + t->bytes, 7, "\\u%04x", c);
    }
    t->data[t->bytes++] = '"';
    return AR_OK;
}

static ar_status text_add_u64(text *t, uint64_t value) {
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRIu64, value);
    return text_add(t, digits);
}

/* ---- declaring ---- */

ar_status ar_st_writer_create(ar_st_writer **w) {
    *w = ar__alloc(1, sizeof **w);
    return *w ? AR_OK : AR_ERR_MEMORY;
}

ar_status ar_st_writer_metadata(ar_st_writer *w, const char *key, const char *value) {
    if (w->metadata.bytes > 0) AR_TRY(text_add(&w->metadata, ","));
    AR_TRY(text_add_string(&w->metadata, key));
    AR_TRY(text_add(&w->metadata, ":"));
    return text_add_string(&w->metadata, value);
}

static ar_status set_dtype(declared *t, const char *dtype) {
    static const struct {
        const char *name;
        uint32_t bytes;
    } known[] = {{"F64", 8},  {"I64", 8}, {"U64", 8}, {"F32", 4}, {"I32", 4}, {"U32", 4}, {"F16", 2},
                 {"BF16", 2}, {"I16", 2}, {"U16", 2}, {"U8", 1},  {"I8", 1},  {"BOOL", 1}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].name, dtype) != 0) continue;
        t->dtype = known[i].name;
        t->element_bytes = known[i].bytes;
        return AR_OK;
    }
    return ar__fail(AR_ERR_ARG, "tensor %.200s: found dtype %.32s, expected F32, F16, BF16, I32, U8, …",
                    t->name, dtype);
}

static ar_status set_shape(declared *t, int32_t dim_count, const int64_t *dims) {
    if (dim_count < 0 || dim_count > MAX_TENSOR_DIMS)
        return ar__fail(AR_ERR_ARG, "tensor %.200s: found %d dims, expected 0 to %d", t->name, (int)dim_count,
                        MAX_TENSOR_DIMS);
    t->dim_count = dim_count;
    t->bytes = t->element_bytes;
    for (int32_t i = 0; i < dim_count; i++) {
        if (dims[i] < 0)
            return ar__fail(AR_ERR_ARG, "tensor %.200s: dim %d: found %" PRId64 ", expected at least 0",
                            t->name, (int)i, dims[i]);
        if (t->bytes != 0 && (uint64_t)dims[i] > INT64_MAX / t->bytes)
            return ar__fail(AR_ERR_ARG, "tensor %.200s: the product of its dims overflows", t->name);
        t->dims[i] = dims[i];
        t->bytes *= (uint64_t)dims[i];
    }
    return AR_OK;
}

ar_status ar_st_writer_declare(ar_st_writer *w, const char *name, const char *dtype, int32_t dim_count,
                               const int64_t *dims) {
    if (w->file) return ar__fail(AR_ERR_ARG, "tensor %.200s: declared after the data began", name);
    if (strcmp(name, "__metadata__") == 0)
        return ar__fail(AR_ERR_ARG, "found the reserved tensor name __metadata__");
    for (int64_t i = 0; i < w->count; i++)
        if (strcmp(w->tensors[i].name, name) == 0)
            return ar__fail(AR_ERR_ARG, "tensor %.200s: declared twice", name);
    if (w->count == w->capacity) {
        int64_t capacity = w->capacity ? w->capacity * 2 : 64;
        declared *grown = ar__alloc((size_t)capacity, sizeof *grown);
        if (!grown) return AR_ERR_MEMORY;
        if (w->count > 0) memcpy(grown, w->tensors, (size_t)w->count * sizeof *grown);
        free(w->tensors);
        w->tensors = grown;
        w->capacity = capacity;
    }
    declared t = {0};
    size_t bytes = strlen(name) + 1;
    t.name = ar__alloc(bytes, 1);
    if (!t.name) return AR_ERR_MEMORY;
    memcpy(t.name, name, bytes);
    ar_status status = set_dtype(&t, dtype);
    if (status == AR_OK) status = set_shape(&t, dim_count, dims);
    if (status == AR_OK)
        w->tensors[w->count++] = t;
    else
        free(t.name);
    return status;
}

/* ---- the header ---- */

static ar_status add_tensor(text *t, const declared *d) {
    AR_TRY(text_add_string(t, d->name));
    AR_TRY(text_add(t, ":{\"dtype\":"));
    AR_TRY(text_add_string(t, d->dtype));
    AR_TRY(text_add(t, ",\"shape\":["));
    for (int32_t i = 0; i < d->dim_count; i++) {
        if (i > 0) AR_TRY(text_add(t, ","));
        AR_TRY(text_add_u64(t, (uint64_t)d->dims[i]));
    }
    AR_TRY(text_add(t, "],\"data_offsets\":["));
    AR_TRY(text_add_u64(t, d->begin));
    AR_TRY(text_add(t, ","));
    AR_TRY(text_add_u64(t, d->begin + d->bytes));
    return text_add(t, "]}");
}

/* Lays out the data and builds the header, padded with spaces to a multiple of 8. */
static ar_status build_header(ar_st_writer *w, text *t) {
    uint64_t end = 0;
    AR_TRY(text_add(t, "{"));
    if (w->metadata.bytes > 0) {
        AR_TRY(text_add(t, "\"__metadata__\":{"));
        AR_TRY(text_reserve(t, w->metadata.bytes));
        memcpy(t->data + t->bytes, w->metadata.data, w->metadata.bytes);
        t->bytes += w->metadata.bytes;
        AR_TRY(text_add(t, "}"));
    }
    for (uint32_t element = 8; element > 0; element /= 2)
        for (int64_t i = 0; i < w->count; i++) {
            declared *d = &w->tensors[i];
            if (d->element_bytes != element) continue;
            if (d->bytes > INT64_MAX - end)
                return ar__fail(AR_ERR_ARG, "tensor %.200s: the file would pass 2^63 bytes", d->name);
            d->begin = end;
            end += d->bytes;
            if (t->data[t->bytes - 1] != '{') AR_TRY(text_add(t, ","));
            AR_TRY(add_tensor(t, d));
        }
    AR_TRY(text_add(t, "}"));
    while (t->bytes % 8 != 0) AR_TRY(text_add(t, " "));
    return AR_OK;
}

/* ---- the data ---- */

/* Steps over finished tensors to the next that wants bytes. */
static ar_status next_tensor(ar_st_writer *w) {
    while (w->current < w->count && w->written_bytes == w->tensors[w->current].bytes) {
        w->current++;
        w->written_bytes = 0;
    }
    if (w->current == w->count) return AR_OK;
    uint64_t offset = w->data_offset + w->tensors[w->current].begin;
    return ar_writer_offset(w->file) == offset ? AR_OK : ar_writer_seek(w->file, offset);
}

ar_status ar_st_writer_begin(ar_st_writer *w, const char *path) {
    if (w->file) return ar__fail(AR_ERR_ARG, "%s: begun twice", path);
    ar_status status;
    text header = {0};
    uint8_t length[8];
    AR_GO(build_header(w, &header));
    for (uint32_t i = 0; i < 8; i++) length[i] = (uint8_t)((uint64_t)header.bytes >> (8 * i));
    AR_GO(ar_writer_open(&w->file, path));
    AR_GO(ar_writer_write(w->file, length, sizeof length));
    AR_GO(ar_writer_write(w->file, header.data, header.bytes));
    w->data_offset = ar_writer_offset(w->file);
    AR_GO(next_tensor(w));
done:
    free(header.data);
    return status;
}

ar_status ar_st_writer_data(ar_st_writer *w, const void *src, size_t bytes) {
    if (!w->file) return ar__fail(AR_ERR_ARG, "data came before begin");
    if (bytes == 0) return AR_OK;
    if (w->current == w->count)
        return ar__fail(AR_ERR_ARG, "found %zu bytes after the last tensor, expected none", bytes);
    const declared *d = &w->tensors[w->current];
    if (bytes > d->bytes - w->written_bytes)
        return ar__fail(AR_ERR_ARG, "tensor %.200s: found %zu bytes, expected at most %" PRIu64, d->name,
                        bytes, d->bytes - w->written_bytes);
    AR_TRY(ar_writer_write(w->file, src, bytes));
    w->written_bytes += bytes;
    return w->written_bytes == d->bytes ? next_tensor(w) : AR_OK;
}

ar_status ar_st_writer_finish(ar_st_writer **w) {
    ar_status status = AR_OK;
    if (!(*w)->file)
        status = ar__fail(AR_ERR_ARG, "finished before begin");
    else if ((*w)->current < (*w)->count)
        status = ar__fail(AR_ERR_ARG, "tensor %.200s: found %" PRIu64 " bytes, expected %" PRIu64,
                          (*w)->tensors[(*w)->current].name, (*w)->written_bytes,
                          (*w)->tensors[(*w)->current].bytes);
    else
        status = ar_writer_commit(&(*w)->file);
    ar_st_writer_abort(w);
    return status;
}

void ar_st_writer_abort(ar_st_writer **w) {
    if (!*w) return;
    ar_writer_abort(&(*w)->file);
    for (int64_t i = 0; i < (*w)->count; i++) free((*w)->tensors[i].name);
    free((*w)->tensors);
    free((*w)->metadata.data);
    free(*w);
    *w = NULL;
}
