/* anyround info: what a file says besides its tensors. GGUF's key-values; config.json and the safetensors'
 * __metadata__ of a folder. Long lists are given by their length. */
#include "info_metadata.h"
#include "fmt_gguf.h"
#include "fmt_safetensors.h"
#include "passport.h"
#include "tokenizer.h"
#include <stdlib.h>
#include <string.h>

#define LONG_LIST    32 /* elements; of longer ones only the number is told */
#define CONFIG_BYTES ((size_t)16 << 20)
#define SHOWN_BYTES  96 /* of a value, in text */

/* ---- GGUF ---- */

/* Text of a file, which may be any bytes. */
static ar_status make_string(cJSON **made, const char *text, size_t bytes) {
    char *repaired = NULL;
    AR_TRY(ar__utf8_repair(&repaired, text, bytes));
    *made = cJSON_CreateString(repaired);
    free(repaired);
    return *made ? AR_OK : AR_ERR_MEMORY;
}

static double load_int(const uint8_t *p, int32_t bytes, bool is_signed) {
    uint64_t value = 0;
    for (int32_t i = 0; i < bytes; i++) value |= (uint64_t)p[i] << 8 * i;
    if (!is_signed) return (double)value;
    int32_t unused = 64 - 8 * bytes;
    return (double)((int64_t)(value << unused) >> unused);
}

static cJSON *make_scalar(ar__gguf_kind kind, const uint8_t *p) {
    double wide;
    switch (kind) {
    case AR__GGUF_U8: return cJSON_CreateNumber(load_int(p, 1, false));
    case AR__GGUF_I8: return cJSON_CreateNumber(load_int(p, 1, true));
    case AR__GGUF_U16: return cJSON_CreateNumber(load_int(p, 2, false));
    case AR__GGUF_I16: return cJSON_CreateNumber(load_int(p, 2, true));
    case AR__GGUF_U32: return cJSON_CreateNumber(load_int(p, 4, false));
    case AR__GGUF_I32: return cJSON_CreateNumber(load_int(p, 4, true));
    case AR__GGUF_U64: return cJSON_CreateNumber(load_int(p, 8, false));
    case AR__GGUF_I64: return cJSON_CreateNumber(load_int(p, 8, true));
    case AR__GGUF_F32: return cJSON_CreateNumber((double)ar__gguf_load_f32(p));
    case AR__GGUF_BOOL: return cJSON_CreateBool(p[0] != 0);
    default: memcpy(&wide, p, sizeof wide); return cJSON_CreateNumber(wide);
    }
}

static const char *kind_name(ar__gguf_kind kind) {
    return kind == AR__GGUF_STRING                        ? "texts"
           : kind == AR__GGUF_F32 || kind == AR__GGUF_F64 ? "real numbers"
           : kind == AR__GGUF_BOOL                        ? "flags"
                                                          : "integers";
}

static ar_status make_list(cJSON **made, const ar__gguf_value *v) {
    const uint8_t *p = v->data;
    char text[64];
    snprintf(text, sizeof text, "%llu %s", (unsigned long long)v->count, kind_name(v->element));
    if (v->count > LONG_LIST) return make_string(made, text, strlen(text));
    *made = cJSON_CreateArray();
    for (uint64_t i = 0; i < v->count; i++) {
        cJSON *item = NULL;
        const char *string;
        size_t bytes;
        if (v->element == AR__GGUF_STRING) {
            p = ar__gguf_string(&string, &bytes, p);
            ar_status status = make_string(&item, string, bytes);
            if (status != AR_OK) return cJSON_Delete(*made), *made = NULL, status;
        } else {
            item = make_scalar(v->element, p);
            p += ar__gguf_kind_bytes(v->element);
        }
        ar_json_push(*made, item);
    }
    return AR_OK;
}

static ar_status add_value(cJSON *o, const ar__gguf_value *v) {
    cJSON *made = NULL;
    char *key = NULL;
    AR_TRY(ar__utf8_repair(&key, v->key, (size_t)v->key_bytes));
    ar_status status = v->kind == AR__GGUF_ARRAY ? make_list(&made, v)
                       : v->kind == AR__GGUF_STRING
                           ? make_string(&made, (const char *)v->data, (size_t)v->count)
                           : AR_OK;
    if (status == AR_OK && !made) made = make_scalar(v->kind, v->data);
    if (status == AR_OK) ar_json_put(o, key, made);
    free(key);
    return status;
}

ar_status ar_info_add_gguf(cJSON *o, const ar__gguf *g) {
    for (int64_t i = 0; i < g->value_count; i++) AR_TRY(add_value(o, &g->values[i]));
    return AR_OK;
}

static ar_status add_gguf(cJSON *o, const char *path) {
    ar_file file = {0};
    ar__gguf g = {0};
    ar_status status = ar__gguf_map(&g, &file, path);
    if (status == AR_OK) status = ar_info_add_gguf(o, &g);
    ar__gguf_deinit(&g);
    ar_file_close(&file);
    return status;
}

/* ---- folders and safetensors ---- */

typedef struct said {
    const char *key, *value;
    int64_t place;
} said;

static int by_place(const void *a, const void *b) {
    const said *x = a, *y = b;
    return x->place < y->place ? -1 : x->place > y->place;
}

static int by_key_then_place(const void *a, const void *b) {
    int order = strcmp(((const said *)a)->key, ((const said *)b)->key);
    return order ? order : by_place(a, b);
}

/* Shards say the same once more: the first counts. */
ar_status ar_info_add_safetensors(cJSON *o, const ar_safetensors *st) {
    int64_t count = 0, kept = 0;
    const char *key;
    while (ar__safetensors_metadata_at(st, count, &key)) count++;
    said *list = ar__alloc((size_t)count, sizeof *list);
    if (!list) return AR_ERR_MEMORY;
    for (int64_t i = 0; i < count; i++) {
        list[i].value = ar__safetensors_metadata_at(st, i, &list[i].key);
        list[i].place = i;
    }
    qsort(list, (size_t)count, sizeof *list, by_key_then_place);
    for (int64_t i = 0; i < count; i++)
        if (i == 0 || strcmp(list[i].key, list[kept - 1].key) != 0) list[kept++] = list[i];
    qsort(list, (size_t)kept, sizeof *list, by_place);
    for (int64_t i = 0; i < kept; i++) ar_json_add_string(o, list[i].key, list[i].value);
    free(list);
    return AR_OK;
}

/* A file of the folder under its name; nothing where there is none and it need not be. */
static ar_status add_json(cJSON *o, const ar_open_model *m, const char *name, bool optional) {
    char *path = NULL;
    ar_json *root = NULL;
    ar_status status;
    AR_GO(ar_path_join(&path, m->path, name));
    if (optional && !ar_path_exists(path)) goto done;
    AR_GO(ar_json_open(&root, path, CONFIG_BYTES));
    ar_json_put(o, name, root);
done:
    free(path);
    return status;
}

static ar_status add_folder(cJSON *o, const ar_open_model *m) {
    char *path = NULL;
    ar_safetensors *st = NULL;
    ar_status status;
    AR_GO(add_json(o, m, "config.json", false));
    AR_GO(add_json(o, m, AR__PASSPORT_FILE, true));
    AR_GO(ar_path_join(&path, m->path, "model.safetensors"));
    if (!ar_path_exists(path)) {
        free(path);
        AR_GO(ar_path_join(&path, m->path, "model.safetensors.index.json"));
    }
    AR_GO(ar_safetensors_open(&st, path));
    AR_GO(ar_info_add_safetensors(ar_json_add_object(o, "__metadata__"), st));
done:
    ar_safetensors_close(st);
    free(path);
    return status;
}

ar_status ar_info_metadata(cJSON **made, const ar_open_model *m) {
    *made = cJSON_CreateObject();
    if (!*made) return AR_ERR_MEMORY;
    return ar_path_is_dir(m->path) ? add_folder(*made, m) : add_gguf(*made, m->path);
}

/* ---- as text ---- */

/* One line, cut. */
static ar_status print_value(const char *prefix, const cJSON *item) {
    char *text, name[160];
    AR_TRY(ar_json_print(&text, item, false, item->string ? item->string : prefix));
    snprintf(name, sizeof name, "%s%s", prefix, item->string ? item->string : "");
    ar_program_one_line(name);
    size_t bytes = strlen(text), shown = bytes;
    if (shown > SHOWN_BYTES) {
        shown = SHOWN_BYTES;
        while (shown > 0 && ((unsigned char)text[shown] & 0xc0) == 0x80) shown--; /* not within a character */
    }
    printf("  %-52s %.*s%s\n", name, (int)shown, text, shown < bytes ? "..." : "");
    free(text);
    return AR_OK;
}

ar_status ar_info_print_metadata(const cJSON *o) {
    for (const cJSON *item = o->child; item; item = item->next) {
        if (!cJSON_IsObject(item)) {
            AR_TRY(print_value("", item));
            continue;
        }
        char prefix[80];
        snprintf(prefix, sizeof prefix, "%s: ", item->string);
        for (const cJSON *inner = item->child; inner; inner = inner->next) AR_TRY(print_value(prefix, inner));
    }
    return AR_OK;
}
