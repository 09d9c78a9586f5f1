/* Reading safetensors: 8 bytes of little-endian header length, a JSON header, raw little-endian data
 * (github.com/huggingface/safetensors, "Format"). One file, or the shards that a model.safetensors.index.json
 * names. Every length and range is checked before it is used: a tensor that this file hands out lies in the
 * mapping. Writing is in fmt_safetensors_writer.c. */
#include "fmt_safetensors.h"
#include "ar_error.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH_BYTES     8u
#define MAX_HEADER_BYTES ((uint64_t)100 << 20)
#define MAX_INDEX_BYTES  ((size_t)100 << 20)
#define MAX_SHARDS       4096
#define MAX_TENSOR_DIMS  8

typedef struct entry {
    ar_st_tensor tensor;
    uint64_t begin, end; /* in the shard's data */
    int32_t shard;
    struct place *place; /* in the index, while it is read */
} entry;

typedef struct pair {
    char *key, *value;
} pair;

typedef struct shard {
    ar_file file;
    char *name;    /* as in the index; NULL for a single file */
    bool borrowed; /* the bytes are the caller's, not a mapping */
} shard;

struct ar_safetensors {
    shard *shards;
    int32_t shard_count;
    entry *entries; /* by shard, then by position in the data */
    int64_t entry_count, entry_capacity;
    int64_t *by_name;
    pair *metadata;
    int64_t metadata_count, metadata_capacity;
    char *unlisted; /* names of tensors in shards that the index does not list; NULL = none */
};

/* ---- small helpers ---- */

static ar_status copy_string(char **copy, const char *text) {
    size_t bytes = strlen(text) + 1;
    *copy = ar__alloc(bytes, 1);
    if (!*copy) return AR_ERR_MEMORY;
    memcpy(*copy, text, bytes);
    return AR_OK;
}

/* Makes room for one more element, doubling. */
static ar_status reserve(void **items, int64_t *capacity, int64_t count, size_t each) {
    if (count < *capacity) return AR_OK;
    int64_t grown_capacity = *capacity ? *capacity * 2 : 64;
    void *grown = ar__alloc((size_t)grown_capacity, each);
    if (!grown) return AR_ERR_MEMORY;
    if (count > 0) memcpy(grown, *items, (size_t)count * each);
    free(*items);
    *items = grown;
    *capacity = grown_capacity;
    return AR_OK;
}

/* Bits of one element; 0 for an unknown type. The format's own list. */
static uint32_t dtype_bits(const char *dtype) {
    static const struct {
        const char *name;
        uint32_t bits;
    } known[] = {{"F32", 32},    {"F16", 16},    {"BF16", 16},   {"I32", 32},    {"U8", 8},
                 {"I8", 8},      {"I64", 64},    {"F64", 64},    {"I16", 16},    {"U16", 16},
                 {"U32", 32},    {"U64", 64},    {"BOOL", 8},    {"C64", 64},    {"F4", 4},
                 {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F6_E2M3", 6}, {"F6_E3M2", 6}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].name, dtype) == 0) return known[i].bits;
    return 0;
}

static bool multiply(uint64_t *product, uint64_t a, uint64_t b) {
    if (b != 0 && a > UINT64_MAX / b) return false;
    *product = a * b;
    return true;
}

/* ---- one header ---- */

static ar_status list_int(uint64_t *out, const cJSON *item, const char *name, const char *what,
                          const char *key) {
    double value = cJSON_IsNumber(item) ? item->valuedouble : -1;
    if (!(value >= 0 && value <= 9007199254740992.0) || value != (double)(uint64_t)value)
        return ar__fail(AR_ERR_FORMAT, "%s: tensor %.200s: %s: found no integer in [0, 2^53]", what, name,
                        key);
    *out = (uint64_t)value;
    return AR_OK;
}

static ar_status parse_shape(ar_st_tensor *t, uint64_t *bits, const cJSON *item, const char *what) {
    const cJSON *shape = ar_json_get(item, "shape");
    if (!cJSON_IsArray(shape))
        return ar__fail(AR_ERR_FORMAT, "%s: tensor %.200s: shape: found no list, expected one", what,
                        t->name);
    const cJSON *dim;
    bool fits = true;
    uint64_t count = 1;
    cJSON_ArrayForEach(dim, shape) {
        uint64_t value = 0;
        AR_TRY(list_int(&value, dim, t->name, what, "shape"));
        if (t->dim_count == MAX_TENSOR_DIMS)
            return ar__fail(AR_ERR_FORMAT, "%s: tensor %.200s: found more than %d dims", what, t->name,
                            MAX_TENSOR_DIMS);
        t->dims[t->dim_count++] = (int64_t)value;
        fits = fits && multiply(&count, count, value);
    }
    if (!fits || count > INT64_MAX || !multiply(bits, count, dtype_bits(t->dtype)))
        return ar__fail(AR_ERR_FORMAT, "%s: tensor %.200s: the product of its dims overflows", what, t->name);
    return AR_OK;
}

static ar_status parse_offsets(entry *e, const cJSON *item, uint64_t data_bytes, const char *what) {
    const char *name = e->tensor.name;
    const cJSON *offsets = ar_json_get(item, "data_offsets");
    if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2)
        return ar__fail(AR_ERR_FORMAT,
                        "%s: tensor %.200s: data_offsets: found no pair, expected [begin, end]", what, name);
    AR_TRY(list_int(&e->begin, offsets->child, name, what, "data_offsets"));
    AR_TRY(list_int(&e->end, offsets->child->next, name, what, "data_offsets"));
    if (e->begin > e->end || e->end > data_bytes)
        return ar__fail(AR_ERR_FORMAT,
                        "%s: tensor %.200s: found data_offsets [%llu, %llu], expected a range in [0, %llu]",
                        what, name, (unsigned long long)e->begin, (unsigned long long)e->end,
                        (unsigned long long)data_bytes);
    return AR_OK;
}

static ar_status parse_tensor(entry *e, const cJSON *item, const uint8_t *data, uint64_t data_bytes,
                              const char *what) {
    ar_st_tensor *t = &e->tensor;
    if (!cJSON_IsObject(item))
        return ar__fail(AR_ERR_FORMAT, "%s: tensor %.200s: found no object", what, t->name);
    const char *dtype;
    AR_TRY(ar_json_string_or(&dtype, item, "dtype", "", what));
    if (dtype_bits(dtype) == 0)
        return ar__fail(
            AR_ERR_FORMAT,
            "%s: tensor %.200s: found dtype \"%.32s\", expected F32, F16, BF16 or another of the format's",
            what, t->name, dtype);
    snprintf(t->dtype, sizeof t->dtype, "%s", dtype);
    uint64_t bits = 0;
    AR_TRY(parse_shape(t, &bits, item, what));
    AR_TRY(parse_offsets(e, item, data_bytes, what));
    t->bytes = e->end - e->begin;
    t->data = data + e->begin;
    if (bits % 8 != 0 || bits / 8 != t->bytes)
        return ar__fail(AR_ERR_FORMAT,
                        "%s: tensor %.200s: found %llu bytes of data, expected %llu for its %s shape", what,
                        t->name, (unsigned long long)t->bytes, (unsigned long long)(bits / 8), t->dtype);
    return AR_OK;
}

static ar_status parse_metadata(ar_safetensors *st, const cJSON *object, const char *what) {
    if (cJSON_IsNull(object)) return AR_OK; /* as safetensors' own reader takes it */
    if (!cJSON_IsObject(object))
        return ar__fail(AR_ERR_FORMAT, "%s: __metadata__: found no object, expected one", what);
    const cJSON *item;
    cJSON_ArrayForEach(item, object) {
        if (!cJSON_IsString(item))
            return ar__fail(AR_ERR_FORMAT, "%s: __metadata__: %.200s: found no string, expected one", what,
                            item->string);
        AR_TRY(reserve((void **)&st->metadata, &st->metadata_capacity, st->metadata_count, sizeof(pair)));
        pair *p = &st->metadata[st->metadata_count++];
        *p = (pair){0};
        AR_TRY(copy_string(&p->key, item->string));
        AR_TRY(copy_string(&p->value, item->valuestring));
    }
    return AR_OK;
}

/* The header's text inside the mapping, and where the data begins. */
static ar_status header_range(const char **text, size_t *text_bytes, const ar_file *f) {
    if (f->bytes < LENGTH_BYTES)
        return ar__fail(AR_ERR_FORMAT, "%s: found %llu bytes, expected at least %u", f->path,
                        (unsigned long long)f->bytes, LENGTH_BYTES);
    uint64_t length = 0;
    for (uint32_t i = 0; i < LENGTH_BYTES; i++) length |= (uint64_t)f->data[i] << (8 * i);
    uint64_t limit = f->bytes - LENGTH_BYTES < MAX_HEADER_BYTES ? f->bytes - LENGTH_BYTES : MAX_HEADER_BYTES;
    if (length < 2 || length > limit)
        return ar__fail(AR_ERR_FORMAT, "%s: found a header of %llu bytes, expected 2 to %llu", f->path,
                        (unsigned long long)length, (unsigned long long)limit);
    if (f->data[LENGTH_BYTES] != '{')
        return ar__fail(AR_ERR_FORMAT, "%s: found a header starting with 0x%02x, expected '{'", f->path,
                        f->data[LENGTH_BYTES]);
    *text = (const char *)f->data + LENGTH_BYTES;
    *text_bytes = (size_t)length;
    return AR_OK;
}

static int compare_position(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end == y->end ? 0 : x->end < y->end ? -1 : 1;
}

/* The data is covered once and whole: sorted by position, each tensor starts where the last one ended. */
static ar_status check_layout(entry *entries, int64_t count, uint64_t data_bytes, const char *what) {
    if (count > 1) qsort(entries, (size_t)count, sizeof *entries, compare_position);
    uint64_t end = 0;
    for (int64_t i = 0; i < count; i++) {
        if (entries[i].begin != end)
            return ar__fail(AR_ERR_FORMAT, "%s: tensor %.200s: found data at %llu, expected %llu (%s)", what,
                            entries[i].tensor.name, (unsigned long long)entries[i].begin,
                            (unsigned long long)end, entries[i].begin < end ? "overlap" : "hole");
        end = entries[i].end;
    }
    if (end != data_bytes)
        return ar__fail(AR_ERR_FORMAT,
                        "%s: found %llu bytes of data, expected %llu, the end of the last tensor", what,
                        (unsigned long long)data_bytes, (unsigned long long)end);
    return AR_OK;
}

static ar_status parse_entries(ar_safetensors *st, const cJSON *root, int32_t shard_index,
                               size_t header_bytes) {
    const ar_file *f = &st->shards[shard_index].file;
    const uint8_t *data = f->data + LENGTH_BYTES + header_bytes;
    uint64_t data_bytes = f->bytes - LENGTH_BYTES - header_bytes;
    int64_t first = st->entry_count;
    const cJSON *item;
    cJSON_ArrayForEach(item, root) {
        if (strcmp(item->string, "__metadata__") == 0) {
            AR_TRY(parse_metadata(st, item, f->path));
            continue;
        }
        AR_TRY(reserve((void **)&st->entries, &st->entry_capacity, st->entry_count, sizeof(entry)));
        entry *e = &st->entries[st->entry_count++];
        *e = (entry){.shard = shard_index};
        AR_TRY(copy_string(&e->tensor.name, item->string));
        AR_TRY(parse_tensor(e, item, data, data_bytes, f->path));
    }
    if (st->entry_count == first) return check_layout(NULL, 0, data_bytes, f->path);
    return check_layout(st->entries + first, st->entry_count - first, data_bytes, f->path);
}

static ar_status read_header(ar_safetensors *st, int32_t shard_index) {
    const ar_file *f = &st->shards[shard_index].file;
    const char *text = NULL;
    size_t bytes = 0;
    AR_TRY(header_range(&text, &bytes, f));
    ar_json *root;
    AR_TRY(ar_json_parse(&root, text, bytes, f->path));
    ar_status status = parse_entries(st, root, shard_index, bytes);
    ar_json_close(root);
    return status;
}

/* ---- names ---- */

typedef struct named {
    const char *name;
    int64_t index;
} named;

static int compare_named(const void *a, const void *b) {
    return strcmp(((const named *)a)->name, ((const named *)b)->name);
}

static ar_status sort_names(ar_safetensors *st, const char *path) {
    int64_t n = st->entry_count;
    st->by_name = ar__alloc((size_t)n, sizeof *st->by_name);
    named *sorted = ar__alloc((size_t)n, sizeof *sorted);
    ar_status status = st->by_name && sorted ? AR_OK : AR_ERR_MEMORY;
    if (status == AR_OK) {
        for (int64_t i = 0; i < n; i++) sorted[i] = (named){st->entries[i].tensor.name, i};
        qsort(sorted, (size_t)n, sizeof *sorted, compare_named);
        for (int64_t i = 0; i < n; i++) st->by_name[i] = sorted[i].index;
        for (int64_t i = 1; i < n && status == AR_OK; i++)
            if (strcmp(sorted[i - 1].name, sorted[i].name) == 0)
                status = ar__fail(AR_ERR_FORMAT, "%s: tensor %.200s: found twice, expected once", path,
                                  sorted[i].name);
    }
    free(sorted);
    return status;
}

/* Position in entries, or -1. */
static int64_t find_entry(const ar_safetensors *st, const char *name) {
    int64_t lo = 0, hi = st->entry_count;
    while (lo < hi) {
        int64_t mid = lo + (hi - lo) / 2;
        int order = strcmp(name, st->entries[st->by_name[mid]].tensor.name);
        if (order == 0) return st->by_name[mid];
        if (order < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return -1;
}

/* ---- shards ---- */

static ar_status check_shard_name(const char *name, const char *path) {
    bool plain = name[0] != '\0' && name[0] != '.' && strpbrk(name, "/\\:") == NULL && strlen(name) < 256;
    if (plain) return AR_OK;
    return ar__fail(AR_ERR_FORMAT, "%s: weight_map: found shard \"%.200s\", expected a plain file name", path,
                    name);
}

static ar_status add_shard(ar_safetensors *st, const char *folder, const char *name, const char *path) {
    for (int32_t i = st->shard_count - 1; i >= 0; i--)
        if (strcmp(st->shards[i].name, name) == 0) return AR_OK;
    AR_TRY(check_shard_name(name, path));
    if (st->shard_count == MAX_SHARDS)
        return ar__fail(AR_ERR_FORMAT, "%s: weight_map: found more than %d shards", path, MAX_SHARDS);
    shard *s = &st->shards[st->shard_count++];
    AR_TRY(copy_string(&s->name, name));
    char *file_path;
    AR_TRY(ar_path_join(&file_path, folder, name));
    bool is_there = ar_path_exists(file_path);
    ar_status status =
        is_there
            ? ar_file_open(&s->file, file_path)
            : ar__fail(AR_ERR_FORMAT, "%s: weight_map: found no file %s, expected that shard", path, name);
    free(file_path);
    return status;
}

typedef struct place {
    const char *name, *shard;
    bool seen;
} place;

static int compare_places(const void *a, const void *b) {
    return strcmp(((const place *)a)->name, ((const place *)b)->name);
}

/* Leaves the tensors that the index has where it has them. */
static ar_status drop_unlisted(ar_safetensors *st, place *places, size_t count) {
    size_t bytes = 1;
    int64_t kept = 0;
    for (int64_t i = 0; i < st->entry_count; i++) {
        place *p = bsearch(&(place){.name = st->entries[i].tensor.name}, places, count, sizeof *places,
                           compare_places);
        if (!p) bytes += strlen(st->entries[i].tensor.name) + 2;
        st->entries[i].place = p;
    }
    st->unlisted = bytes > 1 ? ar__alloc(bytes, 1) : NULL;
    if (bytes > 1 && !st->unlisted) return AR_ERR_MEMORY;
    for (int64_t i = 0, at = 0; i < st->entry_count; i++) {
        entry *e = &st->entries[i];
        place *p = e->place;
        bool is_here = p && strcmp(p->shard, st->shards[e->shard].name) == 0;
        if (!p) at += sprintf(st->unlisted + at, "%s%s", at ? ", " : "", e->tensor.name);
        if (is_here) p->seen = true;
        if (is_here)
            st->entries[kept++] = *e;
        else
            free(e->tensor.name);
    }
    st->entry_count = kept;
    return AR_OK;
}

/* The index decides which tensors there are, and where. */
static ar_status apply_map(ar_safetensors *st, const cJSON *map, const char *path) {
    size_t count = (size_t)cJSON_GetArraySize(map), n = 0;
    place *places = ar__alloc(count, sizeof *places);
    if (!places) return AR_ERR_MEMORY;
    const cJSON *item;
    cJSON_ArrayForEach(item, map) places[n++] = (place){item->string, item->valuestring, false};
    qsort(places, count, sizeof *places, compare_places);
    ar_status status = drop_unlisted(st, places, count);
    for (size_t i = 0; i < count && status == AR_OK; i++)
        if (!places[i].seen)
            status = ar__fail(AR_ERR_FORMAT, "%s: tensor %.200s: not found, expected in %.200s", path,
                              places[i].name, places[i].shard);
    free(places);
    return status;
}

static ar_status open_shards(ar_safetensors *st, const cJSON *root, const char *path) {
    const cJSON *map = ar_json_get(root, "weight_map"), *item;
    if (!cJSON_IsObject(map))
        return ar__fail(AR_ERR_FORMAT, "%s: weight_map: found no object, expected one", path);
    char *folder;
    AR_TRY(copy_string(&folder, path));
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[1] = '\0';
    else
        folder[0] = '\0';
    ar_status status = AR_OK;
    st->shards = ar__alloc(MAX_SHARDS, sizeof *st->shards);
    AR_GO(st->shards ? AR_OK : AR_ERR_MEMORY);
    cJSON_ArrayForEach(item, map) {
        AR_GO(cJSON_IsString(item)
                  ? AR_OK
                  : ar__fail(AR_ERR_FORMAT, "%s: weight_map: %.200s: found no string", path, item->string));
        AR_GO(add_shard(st, folder, item->valuestring, path));
    }
    for (int32_t i = 0; i < st->shard_count; i++) AR_GO(read_header(st, i));
    AR_GO(apply_map(st, map, path));
    AR_GO(sort_names(st, path));
done:
    free(folder);
    return status;
}

static ar_status open_index(ar_safetensors *st, const char *path) {
    ar_json *root;
    AR_TRY(ar_json_open(&root, path, MAX_INDEX_BYTES));
    ar_status status = open_shards(st, root, path);
    ar_json_close(root);
    return status;
}

static ar_status open_single(ar_safetensors *st, const char *path, const uint8_t *data, uint64_t bytes) {
    st->shards = ar__alloc(1, sizeof *st->shards);
    if (!st->shards) return AR_ERR_MEMORY;
    st->shard_count = 1;
    shard *s = &st->shards[0];
    if (data) {
        s->borrowed = true;
        s->file = (ar_file){.data = data, .bytes = bytes};
        AR_TRY(copy_string(&s->file.path, path));
    } else {
        AR_TRY(ar_file_open(&s->file, path));
    }
    AR_TRY(read_header(st, 0));
    return sort_names(st, path);
}

static ar_status open_any(ar_safetensors **st, const char *path, const uint8_t *data, uint64_t bytes) {
    *st = NULL;
    ar_safetensors *made = ar__alloc(1, sizeof *made);
    if (!made) return AR_ERR_MEMORY;
    size_t length = strlen(path);
    bool is_index = !data && length > 5 && strcmp(path + length - 5, ".json") == 0;
    ar_status status = is_index ? open_index(made, path) : open_single(made, path, data, bytes);
    if (status == AR_OK)
        *st = made;
    else
        ar_safetensors_close(made);
    return status;
}

/* ---- public ---- */

ar_status ar_safetensors_open(ar_safetensors **st, const char *path) { return open_any(st, path, NULL, 0); }

ar_status ar__safetensors_parse(ar_safetensors **st, const uint8_t *data, uint64_t bytes, const char *what) {
    return open_any(st, what, data, bytes);
}

void ar_safetensors_close(ar_safetensors *st) {
    if (!st) return;
    for (int32_t i = 0; i < st->shard_count; i++) {
        shard *s = &st->shards[i];
        if (s->borrowed)
            free(s->file.path);
        else
            ar_file_close(&s->file);
        free(s->name);
    }
    for (int64_t i = 0; i < st->entry_count; i++) free(st->entries[i].tensor.name);
    for (int64_t i = 0; i < st->metadata_count; i++) {
        free(st->metadata[i].key);
        free(st->metadata[i].value);
    }
    free(st->shards);
    free(st->entries);
    free(st->by_name);
    free(st->metadata);
    free(st->unlisted);
    free(st);
}

const char *ar__safetensors_unlisted(const ar_safetensors *st) { return st->unlisted; }

int64_t ar_safetensors_count(const ar_safetensors *st) { return st->entry_count; }

const ar_st_tensor *ar_safetensors_at(const ar_safetensors *st, int64_t i) {
    return i >= 0 && i < st->entry_count ? &st->entries[i].tensor : NULL;
}

const ar_st_tensor *ar_safetensors_find(const ar_safetensors *st, const char *name) {
    int64_t i = find_entry(st, name);
    return i < 0 ? NULL : &st->entries[i].tensor;
}

const char *ar_safetensors_metadata(const ar_safetensors *st, const char *key) {
    for (int64_t i = 0; i < st->metadata_count; i++)
        if (strcmp(st->metadata[i].key, key) == 0) return st->metadata[i].value;
    return NULL;
}

const char *ar_safetensors_metadata_at(const ar_safetensors *st, const char **value, int64_t i) {
    if (i < 0 || i >= st->metadata_count) return NULL;
    *value = st->metadata[i].value;
    return st->metadata[i].key;
}

const char *ar__safetensors_metadata_at(const ar_safetensors *st, int64_t i, const char **key) {
    if (i < 0 || i >= st->metadata_count) return NULL;
    *key = st->metadata[i].key;
    return st->metadata[i].value;
}
