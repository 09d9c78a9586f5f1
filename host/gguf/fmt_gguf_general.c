/* What a model is called, whose it is and under which licence: general.* of a GGUF file. Another such file's
 * are kept as they are; a folder's card and config.json give the licence, languages and tags. */
#include "fmt_gguf.h"
#include "model_card.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_BYTES ((size_t)16 << 20)

/* ---- of a GGUF file ---- */

/* Keys that say how the file is made, which the writer says itself. */
static bool is_own(const ar__gguf_value *v) {
    static const char *const own[] = {"general.architecture", "general.type", "general.alignment",
                                      "general.file_type", "general.quantization_version"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (ar__gguf_text_is(v->key, (size_t)v->key_bytes, own[i])) return true;
    return false;
}

static bool is_general(const ar__gguf_value *v) {
    static const char start[] = "general.";
    return v->key_bytes > sizeof start - 1 && memcmp(v->key, start, sizeof start - 1) == 0;
}

/* The value with its kind, as it stands in the file: *from to the end that is returned. */
static const uint8_t *value_range(const uint8_t **from, const ar__gguf_value *v) {
    const char *text;
    size_t bytes;
    const uint8_t *end = v->data;
    *from = (const uint8_t *)v->key + v->key_bytes;
    if (v->kind == AR__GGUF_STRING) return end + v->count;
    if (v->kind != AR__GGUF_ARRAY) return end + ar__gguf_kind_bytes(v->kind);
    if (v->element != AR__GGUF_STRING) return end + v->count * ar__gguf_kind_bytes(v->element);
    for (uint64_t i = 0; i < v->count; i++) end = ar__gguf_string(&text, &bytes, end);
    return end;
}

static bool begins(const ar__gguf_value *v, const char *start) {
    return v->key_bytes >= strlen(start) && memcmp(v->key, start, strlen(start)) == 0;
}

/* What it says of its own making is not what ours is, which is one file. */
static bool is_kept_by_like(const ar__gguf_value *v) {
    return !begins(v, "quantize.imatrix.") && !begins(v, "anyround.") && !begins(v, "split.");
}

static bool is_kept_general(const ar__gguf_value *v) { return is_general(v) && !is_own(v); }

static ar_status copy_values(ar__gguf_out *o, const char *path, bool (*is_kept)(const ar__gguf_value *)) {
    ar_file file;
    ar__gguf g;
    ar_status status;
    AR_GO(ar__gguf_map(&g, &file, path));
    for (int64_t i = 0; i < g.value_count; i++) {
        const ar__gguf_value *v = &g.values[i];
        const uint8_t *from, *end = value_range(&from, v);
        if (!is_kept(v)) continue;
        ar__gguf_put_string(o, v->key, (size_t)v->key_bytes);
        ar__gguf_put(o, from, (size_t)(end - from));
        o->field_count++;
    }
    status = o->status;
done:
    ar__gguf_deinit(&g);
    ar_file_close(&file);
    return status;
}

ar_status ar__gguf_copy_fields(ar__gguf_out *o, const char *path) {
    return copy_values(o, path, is_kept_by_like);
}

ar_status ar__gguf_general(char **text, const char *path, const char *name) {
    ar_file file;
    ar__gguf g;
    char key[64];
    const char *found = NULL;
    size_t bytes = 0;
    ar_status status;
    *text = NULL;
    snprintf(key, sizeof key, "general.%s", name);
    AR_GO(ar__gguf_map(&g, &file, path));
    AR_GO(ar__gguf_text(&found, &bytes, &g, key));
    if (!found || memchr(found, 0, bytes)) goto done;
    *text = ar__alloc(bytes + 1, 1);
    if (*text)
        memcpy(*text, found, bytes);
    else
        status = AR_ERR_MEMORY;
done:
    ar__gguf_deinit(&g);
    ar_file_close(&file);
    return status;
}

/* ---- of a folder ---- */

static void put_text(ar__gguf_out *o, const char *text) { ar__gguf_put_string(o, text, strlen(text)); }

static void put_key(ar__gguf_out *o, const char *key, ar__gguf_kind kind) {
    put_text(o, key);
    ar__gguf_put_int(o, (uint64_t)kind, 4);
    o->field_count++;
}

/* A key of the card as one text, or as a list of them. */
static ar_status put_card(ar__gguf_out *o, bool *put, const char *key, bool list, const char *folder,
                          const char *name) {
    ar_notes values = {0};
    AR_TRY(ar__card_read(&values, folder, name));
    *put = values.count > 0;
    if (values.count > 0) {
        put_key(o, key, list ? AR__GGUF_ARRAY : AR__GGUF_STRING);
        if (list) ar__gguf_put_int(o, AR__GGUF_STRING, 4);
        if (list) ar__gguf_put_int(o, (uint64_t)values.count, 8);
        for (int32_t i = 0; i < (list ? values.count : 1); i++) put_text(o, values.lines[i]);
    }
    ar_notes_deinit(&values);
    return o->status;
}

/* What an older conversion from GGUF left in config.json. */
static ar_status put_config(ar__gguf_out *o, bool license_put, const char *folder) {
    char *path = NULL;
    ar_json *root = NULL;
    ar_status status;
    AR_GO(ar_path_join(&path, folder, "config.json"));
    AR_GO(ar_json_open(&root, path, CONFIG_BYTES));
    for (int32_t i = 0; i < (license_put ? 1 : 2); i++) {
        const ar_json *text = ar_json_get(root, i ? "license" : "model_name");
        if (!cJSON_IsString(text) || !text->valuestring[0]) continue;
        put_key(o, i ? "general.license" : "general.name", AR__GGUF_STRING);
        put_text(o, text->valuestring);
    }
    status = o->status;
done:
    ar_json_close(root);
    free(path);
    return status;
}

ar_status ar__gguf_put_general(ar__gguf_out *o, const ar_open_model *m) {
    static const struct {
        const char *key, *name;
        bool list;
    } rows[] = {{"general.license.name", "license_name", false},
                {"general.license.link", "license_link", false},
                {"general.languages", "language", true},
                {"general.tags", "tags", true}};
    bool license, put;
    if (!m->path || !ar_path_exists(m->path)) return AR_OK; /* made in memory */
    if (!ar_path_is_dir(m->path)) return copy_values(o, m->path, is_kept_general);
    AR_TRY(put_card(o, &license, "general.license", false, m->path, "license"));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        AR_TRY(put_card(o, &put, rows[i].key, rows[i].list, m->path, rows[i].name));
    return put_config(o, license, m->path);
}
