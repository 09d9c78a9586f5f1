/* quantization_config of packed folders, wherever it stands: the format whose quant_method it names reads it,
 * by what is here. */
#include "fmt_packed.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_BYTES ((size_t)16 << 20)

/* ---- what they share ---- */

ar_status ar__packed_check_scheme(int64_t bits, int64_t group, const char *what) {
    bool packs = bits == 2 || bits == 3 || bits == 4 || bits == 8;
    if (!packs && bits < 16)
        return ar__fail(AR_ERR_FORMAT, "%s: bits: found %d, expected 2, 3, 4 or 8", what, (int)bits);
    if (group == 0)
        return ar__fail(AR_ERR_FORMAT, "%s: group_size: found 0, expected -1 or a positive number", what);
    return AR_OK;
}

static ar_status read_scheme(ar_packed_scheme *s, const ar_json *obj, const ar_packed_scheme *fallback,
                             const char *what) {
    int64_t bits, group;
    const char *group_key =
        ar_json_get(obj, "group_size") ? "group_size" : "q_group_size"; /* AutoAWQ's own */
    AR_TRY(ar_json_int_or(&bits, obj, "bits", fallback->bits, 0, 32, what));
    AR_TRY(ar_json_int_or(&group, obj, group_key, fallback->group, -1, INT32_MAX, what));
    AR_TRY(ar_json_bool_or(&s->sym, obj, "sym", fallback->sym, what));
    AR_TRY(ar__packed_check_scheme(bits, group, what));
    s->bits = (int32_t)bits;
    s->group = (int32_t)group;
    s->minus_one = fallback->minus_one;
    return AR_OK;
}

ar_status ar__packed_choice(int32_t *choice, const ar_json *obj, const char *key, const char *fallback,
                            const char *const *names, const char *expected, const char *what) {
    const char *found;
    AR_TRY(ar_json_string_or(&found, obj, key, fallback, what));
    for (*choice = 0; names[*choice]; ++*choice)
        if (strcmp(names[*choice], found) == 0) return AR_OK;
    return ar__fail(AR_ERR_FORMAT, "%s: %s: found \"%s\", expected %s", what, key, found, expected);
}

ar_status ar__packed_overrides(ar_packed_config *c, const ar_json *q, const char *key) {
    const cJSON *list = ar_json_get(q, key);
    if (!list || cJSON_IsNull(list)) return AR_OK;
    if (!cJSON_IsObject(list))
        return ar__fail(AR_ERR_FORMAT, "%s: %s: found no object, expected one", c->path, key);
    c->overrides = ar__alloc((size_t)cJSON_GetArraySize(list), sizeof *c->overrides);
    if (!c->overrides) return AR_ERR_MEMORY;
    for (const cJSON *row = list->child; row; row = row->next) {
        if (strncmp(row->string, "-:", 2) == 0) continue;
        if (!cJSON_IsObject(row))
            return ar__fail(AR_ERR_FORMAT, "%s: %s: %s: found no object, expected one", c->path, key,
                            row->string);
        ar_packed_override *o = &c->overrides[c->override_count++];
        o->name = row->string;
        AR_TRY(read_scheme(&o->scheme, row, &c->scheme, c->path));
    }
    return AR_OK;
}

ar_status ar__packed_default(ar_packed_config *c, const ar_json *q) {
    int64_t bits;
    const char *bits_key = ar_json_get(q, "w_bit") && !ar_json_get(q, "bits") ? "w_bit" : "bits";
    AR_TRY(ar_json_int(&bits, q, bits_key, 2, 8, c->path));
    return read_scheme(&c->scheme, q, &(ar_packed_scheme){(int32_t)bits, 128, true, c->scheme.minus_one},
                       c->path);
}

ar_status ar__packed_check_awq(const ar_packed_config *c) {
    for (int32_t i = -1; i < c->override_count; i++) {
        int32_t bits = i < 0 ? c->scheme.bits : c->overrides[i].scheme.bits;
        if (bits != 4 && bits <= 8)
            return ar__fail(AR_ERR_FORMAT, "%s: bits: found %d, expected 4 (AWQ)", c->path, (int)bits);
    }
    return AR_OK;
}

/* ---- opening ---- */

static ar_status unknown_method(const ar_packed_config *c, const char *found) {
    char known[256] = "";
    for (int32_t i = 0; ar_format_at(i); i++) {
        size_t used = strlen(known);
        if (!ar_format_at(i)->quant_method) continue;
        snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", ar_format_at(i)->quant_method);
    }
    return ar__fail(AR_ERR_FORMAT, "%s: quant_method: found \"%s\", expected one of %s", c->path, found,
                    known);
}

/* ---- where it stands ---- */

/* config.json's object, or a file of its own as quantizers wrote before transformers knew of them: AutoGPTQ's
 * and AutoAWQ's name no method. */
static const struct {
    const char *file, *key, *method;
} places[] = {{"config.json", "quantization_config", ""},
              {"config.json", "compression_config", ""}, /* older compressed-tensors */
              {"quantization_config.json", NULL, ""},
              {"quantize_config.json", NULL, "gptq"},
              {"quant_config.json", NULL, "awq"}};
#define PLACES (sizeof places / sizeof *places)

static void clear(ar_packed_config *c) {
    ar_json_close(c->json);
    free(c->path);
    c->json = NULL;
    c->path = NULL;
}

/* *at = where in places, PLACES = nowhere; c->path, c->json and *settings are then what is there. */
static ar_status find_settings(ar_packed_config *c, size_t *at, const ar_json **settings,
                               const char *folder) {
    for (*at = 0; *at < PLACES; ++*at) {
        clear(c);
        AR_TRY(ar_path_join(&c->path, folder, places[*at].file));
        if (!ar_path_exists(c->path)) continue;
        AR_TRY(ar_json_open(&c->json, c->path, CONFIG_BYTES));
        *settings = places[*at].key ? ar_json_get(c->json, places[*at].key) : c->json;
        if (*settings && !cJSON_IsNull(*settings)) return AR_OK;
    }
    return AR_OK;
}

ar_status ar__packed_config_find(bool *found, const char *folder) {
    ar_packed_config c = {0};
    const ar_json *settings;
    size_t at;
    ar_status status = find_settings(&c, &at, &settings, folder);
    *found = at < PLACES;
    clear(&c);
    return status;
}

ar_status ar__packed_config_open(ar_packed_config *c, const char *folder) {
    const char *method;
    const ar_json *q = NULL;
    size_t at;
    AR_TRY(find_settings(c, &at, &q, folder));
    if (at == PLACES)
        return ar__fail(AR_ERR_FORMAT,
                        "%s: found no quantization settings, expected some in config.json or beside it",
                        folder);
    if (!cJSON_IsObject(q))
        return ar__fail(AR_ERR_FORMAT, "%s: %s: found none, expected an object", c->path,
                        places[at].key ? places[at].key : "top level");
    c->is_beside = !places[at].key;
    AR_TRY(ar_json_string_or(&method, q, "quant_method", places[at].method, c->path));
    if (strcmp(method, "intel/auto-round") == 0) method = "auto-round"; /* its older name */
    for (int32_t i = 0; ar_format_at(i); i++) {
        const ar_format *f = ar_format_at(i);
        if (f->quant_method && strcmp(f->quant_method, method) == 0) return f->read_config(c, q);
    }
    return unknown_method(c, method);
}

void ar__packed_config_close(ar_packed_config *c) {
    clear(c);
    free(c->overrides);
}
