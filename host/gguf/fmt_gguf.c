/* Reading GGUF's container, versions 2 and 3: magic, counts, key-values, tensor infos, padded data. Written
 * for hostile files: no length is used before it is known to lie inside. What keys and tensors mean is in
 * fmt_gguf_meta.c and fmt_gguf_weights.c. */
#include "fmt_gguf.h"
#include "tokenizer.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_BYTES     24
#define MAX_VALUES       65536
#define MAX_TENSORS      (1 << 20)
#define MAX_KEY          65535
#define MAX_ALIGNMENT    (1 << 20)
#define MAX_ELEMENTS     ((uint64_t)1 << 30)
#define MIN_VALUE_BYTES  14 /* a key of one byte, its kind, one byte */
#define MIN_TENSOR_BYTES 32

/* ---- a cursor that never leaves the file ---- */

typedef struct cursor {
    const uint8_t *data;
    uint64_t at, bytes;
    const char *what;
} cursor;

static ar_status take(cursor *c, const uint8_t **p, uint64_t bytes, const char *field) {
    *p = c->data + c->at;
    if (bytes > c->bytes - c->at)
        return ar__fail(AR_ERR_FORMAT,
                        "%s: %s at byte %" PRIu64 ": found %" PRIu64
                        " bytes up to the end, expected %" PRIu64,
                        c->what, field, c->at, c->bytes - c->at, bytes);
    c->at += bytes;
    return AR_OK;
}

static ar_status take32(cursor *c, uint32_t *value, const char *field) {
    const uint8_t *p;
    AR_TRY(take(c, &p, 4, field));
    *value = ar__gguf_load32(p);
    return AR_OK;
}

static ar_status take64(cursor *c, uint64_t *value, const char *field) {
    const uint8_t *p;
    AR_TRY(take(c, &p, 8, field));
    *value = ar__gguf_load64(p);
    return AR_OK;
}

static ar_status take_string(cursor *c, const char **text, uint64_t *bytes, uint64_t max_bytes,
                             const char *field) {
    const uint8_t *p;
    AR_TRY(take64(c, bytes, field));
    if (*bytes > max_bytes)
        return ar__fail(AR_ERR_FORMAT,
                        "%s: %s at byte %" PRIu64 ": found a length of %" PRIu64
                        ", expected at most %" PRIu64,
                        c->what, field, c->at, *bytes, max_bytes);
    AR_TRY(take(c, &p, *bytes, field));
    *text = (const char *)p;
    return AR_OK;
}

/* ---- key-values ---- */

static const struct {
    const char *name;
    uint32_t bytes; /* the least one takes in the file */
} kinds[AR__GGUF_KINDS] = {{"u8", 1},  {"i8", 1},  {"u16", 2},  {"i16", 2},    {"u32", 4},
                           {"i32", 4}, {"f32", 4}, {"bool", 1}, {"string", 8}, {"array", 12},
                           {"u64", 8}, {"i64", 8}, {"f64", 8}};

uint32_t ar__gguf_kind_bytes(ar__gguf_kind kind) { return kinds[kind].bytes; }

static ar_status take_kind(cursor *c, ar__gguf_kind *kind, const char *field) {
    uint32_t id = 0;
    AR_TRY(take32(c, &id, field));
    if (id >= AR__GGUF_KINDS)
        return ar__fail(AR_ERR_FORMAT, "%s: %s at byte %" PRIu64 ": found value type %u, expected 0 to %d",
                        c->what, field, c->at - 4, id, AR__GGUF_KINDS - 1);
    *kind = (ar__gguf_kind)id;
    return AR_OK;
}

static ar_status take_array(cursor *c, ar__gguf_value *v) {
    AR_TRY(take_kind(c, &v->element, "array element"));
    if (v->element == AR__GGUF_ARRAY)
        return ar__fail(AR_ERR_FORMAT, "%s: found an array of arrays, expected none", c->what);
    AR_TRY(take64(c, &v->count, "array length"));
    uint64_t left = c->bytes - c->at, each = kinds[v->element].bytes;
    if (v->count > left / each || v->count > MAX_ELEMENTS)
        return ar__fail(AR_ERR_FORMAT,
                        "%s: array at byte %" PRIu64 ": found %" PRIu64
                        " elements, expected at most the file's %" PRIu64,
                        c->what, c->at, v->count, left / each);
    v->data = c->data + c->at;
    if (v->element != AR__GGUF_STRING) return take(c, &v->data, v->count * each, "array");
    for (uint64_t i = 0; i < v->count; i++) {
        const char *text;
        uint64_t bytes;
        AR_TRY(take_string(c, &text, &bytes, MAX_ELEMENTS, "array string"));
    }
    return AR_OK;
}

static ar_status take_value(cursor *c, ar__gguf_value *v) {
    AR_TRY(take_string(c, &v->key, &v->key_bytes, MAX_KEY, "key"));
    if (v->key_bytes == 0)
        return ar__fail(AR_ERR_FORMAT, "%s: found an empty key at byte %" PRIu64, c->what, c->at);
    AR_TRY(take_kind(c, &v->kind, "value"));
    if (v->kind == AR__GGUF_ARRAY) return take_array(c, v);
    if (v->kind != AR__GGUF_STRING) return take(c, &v->data, kinds[v->kind].bytes, "value");
    const char *text;
    AR_TRY(take_string(c, &text, &v->count, MAX_ELEMENTS, "string"));
    v->data = (const uint8_t *)text;
    return AR_OK;
}

/* ---- names are unique ---- */

typedef struct named {
    const char *text;
    uint64_t bytes;
} named;

static int compare_named(const void *a, const void *b) {
    const named *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1;
    return x->bytes ? memcmp(x->text, y->text, x->bytes) : 0;
}

static ar_status check_unique(const ar__gguf *g, bool tensors) {
    size_t count = (size_t)(tensors ? g->tensor_count : g->value_count);
    named *list = ar__alloc(count, sizeof *list);
    if (!list) return AR_ERR_MEMORY;
    for (size_t i = 0; i < count; i++)
        list[i] = tensors ? (named){g->tensors[i].name, g->tensors[i].name_bytes}
                          : (named){g->values[i].key, g->values[i].key_bytes};
    qsort(list, count, sizeof *list, compare_named);
    ar_status status = AR_OK;
    for (size_t i = 1; i < count && status == AR_OK; i++) {
        char quoted[AR__QUOTE_BYTES];
        if (compare_named(&list[i - 1], &list[i]) == 0)
            status = ar__fail(AR_ERR_FORMAT, "%s: %s %s: found twice", g->what, tensors ? "tensor" : "key",
                              ar__quote(quoted, list[i].text, (size_t)list[i].bytes));
    }
    free(list);
    return status;
}

/* ---- tensors ---- */

static ar_status take_dims(cursor *c, ar__gguf_tensor *t, const char *name) {
    uint32_t count = 0;
    AR_TRY(take32(c, &count, "tensor"));
    if (count < 1 || count > 4)
        return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: found %u dims, expected 1 to 4", c->what, name, count);
    t->dim_count = (int32_t)count;
    uint64_t elems = 1;
    for (uint32_t d = 0; d < count; d++) { /* the innermost comes first */
        uint64_t size = 0;
        AR_TRY(take64(c, &size, "tensor size"));
        if (size < 1 || size > (uint64_t)INT64_MAX / elems)
            return ar__fail(AR_ERR_FORMAT,
                            "%s: tensor %s: found a size of %" PRIu64
                            ", expected at least 1 and a product below 2^63",
                            c->what, name, size);
        elems *= size;
        t->dims[count - 1 - d] = (int64_t)size;
    }
    return AR_OK;
}

static ar_status take_type(cursor *c, ar__gguf_tensor *t, const char *name) {
    uint32_t id = 0;
    AR_TRY(take32(c, &id, "tensor type"));
    t->type = ar__gguf_type_of((int32_t)id);
    if (!t->type)
        return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: found type %u, which is none", c->what, name, id);
    if (t->type->elems == 0)
        return ar__fail(
            AR_ERR_FORMAT,
            "%s: tensor %s: found type %s, expected F32, F16, BF16, Q4_0 to Q8_0, Q2_K to Q6_K or IQ4_NL",
            c->what, name, t->type->name);
    return AR_OK;
}

/* The info of one tensor; *end is where its padded data ends, relative to the data section. */
static ar_status take_tensor(cursor *c, ar__gguf_tensor *t, uint64_t *end, uint64_t alignment) {
    char name[AR__QUOTE_BYTES];
    AR_TRY(take_string(c, &t->name, &t->name_bytes, AR__GGUF_NAME - 1, "tensor name"));
    ar__quote(name, t->name, (size_t)t->name_bytes);
    AR_TRY(take_dims(c, t, name));
    AR_TRY(take_type(c, t, name));
    int64_t width = t->dims[t->dim_count - 1];
    uint64_t offset = 0, blocks = 1;
    if (width % t->type->elems != 0)
        return ar__fail(AR_ERR_FORMAT,
                        "%s: tensor %s: found rows of %" PRId64 ", expected a multiple of %s's block of %d",
                        c->what, name, width, t->type->name, (int)t->type->elems);
    for (int32_t d = 0; d < t->dim_count; d++) blocks *= (uint64_t)t->dims[d];
    blocks /= (uint64_t)t->type->elems;
    if (blocks > (uint64_t)INT64_MAX / (uint64_t)t->type->bytes)
        return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: found more bytes than a file has", c->what, name);
    t->bytes = blocks * (uint64_t)t->type->bytes;
    AR_TRY(take64(c, &offset, "tensor offset"));
    if (offset != *end)
        return ar__fail(AR_ERR_FORMAT,
                        "%s: tensor %s: found offset %" PRIu64 ", expected %" PRIu64
                        ", where the one before it ends",
                        c->what, name, offset, *end);
    if (t->bytes > c->bytes || offset > c->bytes - t->bytes)
        return ar__fail(AR_ERR_FORMAT,
                        "%s: tensor %s: found %" PRIu64 " bytes at offset %" PRIu64
                        ", expected them inside the file",
                        c->what, name, t->bytes, offset);
    *end = offset + (t->bytes + alignment - 1) / alignment * alignment;
    return AR_OK;
}

/* ---- the file ---- */

static ar_status read_alignment(uint64_t *alignment, const ar__gguf *g) {
    int64_t value = 0;
    AR_TRY(ar__gguf_int(&value, g, "general.alignment", AR__GGUF_ALIGNMENT, 1, MAX_ALIGNMENT));
    if (value & (value - 1))
        return ar__fail(AR_ERR_FORMAT, "%s: general.alignment: found %" PRId64 ", expected a power of two",
                        g->what, value);
    *alignment = (uint64_t)value;
    return AR_OK;
}

static ar_status take_header(cursor *c, uint64_t *values, uint64_t *tensors) {
    const uint8_t *magic;
    uint32_t version = 0;
    AR_TRY(take(c, &magic, 4, "magic"));
    if (memcmp(magic, "GGUF", 4) != 0)
        return ar__fail(AR_ERR_FORMAT, "%s: found no \"GGUF\" at its start, expected that", c->what);
    AR_TRY(take32(c, &version, "version"));
    if (version != 0 && (version & 0xffff) == 0)
        return ar__fail(AR_ERR_FORMAT, "%s: found a big-endian file, expected a little-endian one", c->what);
    if (version != 2 && version != AR__GGUF_VERSION)
        return ar__fail(AR_ERR_FORMAT, "%s: found version %u, expected 2 or 3", c->what, version);
    AR_TRY(take64(c, tensors, "tensor count"));
    AR_TRY(take64(c, values, "key count"));
    uint64_t left = c->bytes - c->at;
    if (*values > MAX_VALUES || *values > left / MIN_VALUE_BYTES)
        return ar__fail(AR_ERR_FORMAT,
                        "%s: found %" PRIu64 " keys, expected at most %d and no more than %" PRIu64
                        " bytes hold",
                        c->what, *values, MAX_VALUES, left);
    if (*tensors > MAX_TENSORS || *tensors > left / MIN_TENSOR_BYTES)
        return ar__fail(AR_ERR_FORMAT,
                        "%s: found %" PRIu64 " tensors, expected at most %d and no more than %" PRIu64
                        " bytes hold",
                        c->what, *tensors, MAX_TENSORS, left);
    return AR_OK;
}

/* The last tensor need not be padded: not all writers do. */
static ar_status place_tensors(ar__gguf *g, const cursor *c, uint64_t data_bytes, uint64_t alignment) {
    if (g->tensor_count == 0) return AR_OK; /* a vocabulary alone */
    uint64_t start = (c->at + alignment - 1) / alignment * alignment;
    uint64_t last_bytes = g->tensors[g->tensor_count - 1].bytes;
    data_bytes -= (alignment - last_bytes % alignment) % alignment;
    if (start > c->bytes || data_bytes > c->bytes - start)
        return ar__fail(AR_ERR_FORMAT, "%s: found %" PRIu64 " bytes, expected %" PRIu64 " for its tensors",
                        c->what, c->bytes, start + data_bytes);
    for (int64_t i = 0; i < g->tensor_count; i++) {
        g->tensors[i].data = c->data + start;
        start += (g->tensors[i].bytes + alignment - 1) / alignment * alignment;
    }
    return AR_OK;
}

static ar_status parse(ar__gguf *g, cursor *c) {
    uint64_t values = 0, tensors = 0, alignment = 0, end = 0;
    AR_TRY(take_header(c, &values, &tensors));
    g->values = ar__alloc((size_t)values, sizeof *g->values);
    g->tensors = ar__alloc((size_t)tensors, sizeof *g->tensors);
    if (!g->values || !g->tensors) return AR_ERR_MEMORY;
    for (; (uint64_t)g->value_count < values; g->value_count++)
        AR_TRY(take_value(c, &g->values[g->value_count]));
    AR_TRY(check_unique(g, false));
    AR_TRY(read_alignment(&alignment, g));
    for (; (uint64_t)g->tensor_count < tensors; g->tensor_count++)
        AR_TRY(take_tensor(c, &g->tensors[g->tensor_count], &end, alignment));
    AR_TRY(check_unique(g, true));
    return place_tensors(g, c, end, alignment);
}

ar_status ar__gguf_parse(ar__gguf *g, const uint8_t *data, uint64_t bytes, const char *what) {
    cursor c = {data, 0, bytes, what};
    *g = (ar__gguf){.what = what};
    ar_status status = bytes > INT64_MAX / 2
                           ? ar__fail(AR_ERR_FORMAT, "%s: found %" PRIu64 " bytes", what, bytes)
                           : parse(g, &c);
    if (status != AR_OK) ar__gguf_deinit(g);
    return status;
}

ar_status ar__gguf_map_one(ar__gguf *g, ar_file *file, const char *path) {
    *g = (ar__gguf){0};
    *file = (ar_file){0};
    AR_TRY(ar_file_open(file, path));
    return ar__gguf_parse(g, file->data, file->bytes, path);
}

ar_status ar__gguf_check_names(const ar__gguf *g) { return check_unique(g, true); }

void ar__gguf_deinit(ar__gguf *g) {
    for (int64_t i = 0; i < g->piece_count; i++) {
        if (g->pieces[i].file.path) ar_file_close(&g->pieces[i].file);
        free(g->pieces[i].path);
    }
    free(g->pieces);
    free(g->values);
    free(g->tensors);
    *g = (ar__gguf){0};
}

/* ---- lookups ---- */

const ar__gguf_value *ar__gguf_find(const ar__gguf *g, const char *key) {
    size_t bytes = strlen(key);
    for (int64_t i = 0; i < g->value_count; i++)
        if (g->values[i].key_bytes == bytes && memcmp(g->values[i].key, key, bytes) == 0)
            return &g->values[i];
    return NULL;
}

/* *v = NULL when it is missing and need not be there. */
static ar_status find_kind(const ar__gguf_value **v, const ar__gguf *g, const char *key, ar__gguf_kind kind,
                           bool required) {
    *v = ar__gguf_find(g, key);
    if (!*v && required)
        return ar__fail(AR_ERR_FORMAT, "%s: %s: missing, expected a value of type %s", g->what, key,
                        kinds[kind].name);
    if (*v && (*v)->kind != kind)
        return ar__fail(AR_ERR_FORMAT, "%s: %s: found a value of type %s, expected %s", g->what, key,
                        kinds[(*v)->kind].name, kinds[kind].name);
    return AR_OK;
}

ar_status ar__gguf_int(int64_t *out, const ar__gguf *g, const char *key, int64_t fallback, int64_t lo,
                       int64_t hi) {
    const ar__gguf_value *v;
    *out = fallback;
    AR_TRY(find_kind(&v, g, key, AR__GGUF_U32, fallback == AR__GGUF_REQUIRED));
    if (!v) return AR_OK;
    *out = ar__gguf_load32(v->data);
    if (*out < lo || *out > hi)
        return ar__fail(AR_ERR_FORMAT, "%s: %s: found %" PRId64 ", expected %" PRId64 " to %" PRId64, g->what,
                        key, *out, lo, hi);
    return AR_OK;
}

ar_status ar__gguf_real(float *out, const ar__gguf *g, const char *key, float fallback, double lo,
                        double hi) {
    const ar__gguf_value *v;
    *out = fallback;
    AR_TRY(find_kind(&v, g, key, AR__GGUF_F32, isnan(fallback)));
    if (!v) return AR_OK;
    *out = ar__gguf_load_f32(v->data);
    if (!((double)*out >= lo && (double)*out <= hi))
        return ar__fail(AR_ERR_FORMAT, "%s: %s: found %g, expected %g to %g", g->what, key, (double)*out, lo,
                        hi);
    return AR_OK;
}

ar_status ar__gguf_bool(bool *out, const ar__gguf *g, const char *key, bool fallback) {
    const ar__gguf_value *v;
    AR_TRY(find_kind(&v, g, key, AR__GGUF_BOOL, false));
    *out = v ? v->data[0] != 0 : fallback;
    return AR_OK;
}

ar_status ar__gguf_text(const char **text, size_t *bytes, const ar__gguf *g, const char *key) {
    const ar__gguf_value *v;
    *text = NULL;
    *bytes = 0;
    AR_TRY(find_kind(&v, g, key, AR__GGUF_STRING, false));
    if (!v) return AR_OK;
    *text = (const char *)v->data;
    *bytes = (size_t)v->count;
    return AR_OK;
}

bool ar__gguf_text_is(const char *text, size_t bytes, const char *expected) {
    return text && strlen(expected) == bytes && memcmp(text, expected, bytes) == 0;
}

ar_status ar__gguf_array(const ar__gguf_value **v, const ar__gguf *g, const char *key,
                         ar__gguf_kind element) {
    AR_TRY(find_kind(v, g, key, AR__GGUF_ARRAY, false));
    if (*v && (*v)->element != element)
        return ar__fail(AR_ERR_FORMAT, "%s: %s: found an array of %s, expected one of %s", g->what, key,
                        kinds[(*v)->element].name, kinds[element].name);
    return AR_OK;
}

const uint8_t *ar__gguf_string(const char **text, size_t *bytes, const uint8_t *p) {
    *bytes = (size_t)ar__gguf_load64(p);
    *text = (const char *)p + 8;
    return p + 8 + *bytes;
}
