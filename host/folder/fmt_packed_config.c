/* quantization_config of packed folders: the format whose quant_method it names reads it, by what is here. */
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
    AR_TRY(ar_json_int_or(&bits, obj, "bits", fallback->bits, 0, 32, what));
    AR_TRY(ar_json_int_or(&group, obj, "group_size", fallback->group, -1, INT32_MAX, what));
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
    AR_TRY(ar_json_int(&bits, q, "bits", 2, 8, c->path));
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

ar_status ar__packed_config_open(ar_packed_config *c, const char *folder) {
    const char *method;
    AR_TRY(ar_path_join(&c->path, folder, "config.json"));
    AR_TRY(ar_json_open(&c->json, c->path, CONFIG_BYTES));
    const ar_json *q = ar_json_get(c->json, "quantization_config");
    if (!cJSON_IsObject(q))
        return ar__fail(AR_ERR_FORMAT, "%s: quantization_config: found none, expected an object", c->path);
    AR_TRY(ar_json_string_or(&method, q, "quant_method", "", c->path));
    for (int32_t i = 0; ar_format_at(i); i++) {
        const ar_format *f = ar_format_at(i);
        if (f->quant_method && strcmp(f->quant_method, method) == 0) return f->read_config(c, q);
    }
    return unknown_method(c, method);
}

void ar__packed_config_close(ar_packed_config *c) {
    ar_json_close(c->json);
    free(c->path);
    free(c->overrides);
}
