/* quantization_config of packed folders: which layout, and which schemes its linears may have. */
#include "fmt_packed.h"
#include <stdlib.h>
#include <string.h>

#define CONFIG_BYTES ((size_t)16 << 20)

/* ---- what they share ---- */

static ar_status check_scheme(int64_t bits, int64_t group, const char *what) {
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
    AR_TRY(check_scheme(bits, group, what));
    s->bits = (int32_t)bits;
    s->group = (int32_t)group;
    s->minus_one = fallback->minus_one;
    return AR_OK;
}

/* Which of the known names `key` has. */
static ar_status read_choice(int32_t *choice, const ar_json *obj, const char *key, const char *fallback,
                             const char *const *names, const char *expected, const char *what) {
    const char *found;
    AR_TRY(ar_json_string_or(&found, obj, key, fallback, what));
    for (*choice = 0; names[*choice]; ++*choice)
        if (strcmp(names[*choice], found) == 0) return AR_OK;
    return ar__fail(AR_ERR_FORMAT, "%s: %s: found \"%s\", expected %s", what, key, found, expected);
}

/* The linears of extra_config and dynamic with schemes of their own, or their patterns. */
static ar_status read_overrides(ar_packed_config *c, const ar_json *q, const char *key) {
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

static ar_status read_default(ar_packed_config *c, const ar_json *q) {
    int64_t bits;
    AR_TRY(ar_json_int(&bits, q, "bits", 2, 8, c->path));
    return read_scheme(&c->scheme, q, &(ar_packed_scheme){(int32_t)bits, 128, true, c->scheme.minus_one},
                       c->path);
}

/* The AWQ layout interleaves eight values of a word: it is read for 4 bits. */
static ar_status check_awq(const ar_packed_config *c) {
    for (int32_t i = -1; i < c->override_count; i++) {
        int32_t bits = i < 0 ? c->scheme.bits : c->overrides[i].scheme.bits;
        if (bits != 4 && bits <= 8)
            return ar__fail(AR_ERR_FORMAT, "%s: bits: found %d, expected 4 (AWQ)", c->path, (int)bits);
    }
    return AR_OK;
}

/* ---- one function per quant_method ---- */

static ar_status read_gptq(ar_packed_config *c, const ar_json *q) {
    static const char *const formats[] = {"gptq", "gptq_v2", NULL};
    int32_t format;
    const char *key = ar_json_get(q, "checkpoint_format") ? "checkpoint_format" : "format";
    AR_TRY(read_choice(&format, q, key, "gptq", formats, "gptq or gptq_v2", c->path));
    AR_TRY(ar_json_bool_or(&c->desc_act, q, "desc_act", false, c->path));
    bool marlin; /* how AutoGPTQ said so before checkpoint_format */
    AR_TRY(ar_json_bool_or(&marlin, q, "is_marlin_format", false, c->path));
    if (marlin) return ar__fail(AR_ERR_FORMAT, "%s: is_marlin_format: found true, expected false", c->path);
    c->scheme.minus_one = format == 0;
    c->packing = &ar__packing_gptq;
    c->method = "gptq";
    AR_TRY(read_default(c, q));
    return read_overrides(c, q, "dynamic");
}

static ar_status read_auto_round(ar_packed_config *c, const ar_json *q) {
    static const char *const packings[] = {
        "auto_round:auto_gptq", "auto_round:gptq", "auto_round", "auto_round:gptqmodel",
        "auto_round:auto_awq",  "auto_round:awq",  NULL};
    static const char *const types[] = {"int", NULL};
    int32_t packing, type;
    int64_t act_bits;
    AR_TRY(read_choice(&packing, q, "packing_format", packings[0], packings,
                       "auto_round, auto_round:auto_gptq, auto_round:gptqmodel or auto_round:auto_awq",
                       c->path));
    AR_TRY(read_choice(&type, q, "data_type", "int", types, "int", c->path));
    AR_TRY(ar_json_int_or(&act_bits, q, "act_bits", 16, 0, 32, c->path));
    if (act_bits < 16)
        return ar__fail(AR_ERR_FORMAT, "%s: act_bits: found %d, expected at least 16", c->path,
                        (int)act_bits);
    c->scheme.minus_one = packing < 2;
    c->packing = packing < 4 ? &ar__packing_gptq : &ar__packing_awq;
    c->method = "auto_round";
    AR_TRY(read_default(c, q));
    AR_TRY(read_overrides(c, q, "extra_config"));
    return packing < 4 ? AR_OK : check_awq(c);
}

static ar_status read_awq(ar_packed_config *c, const ar_json *q) {
    static const char *const versions[] = {"gemm", "GEMM", NULL};
    int32_t version;
    const char *key = ar_json_get(q, "version") ? "version" : "format";
    bool zero_point;
    AR_TRY(read_choice(&version, q, key, "gemm", versions, "gemm", c->path));
    AR_TRY(ar_json_bool_or(&zero_point, q, "zero_point", true, c->path));
    c->packing = &ar__packing_awq;
    c->method = "awq";
    AR_TRY(read_default(c, q));
    c->scheme.sym = !zero_point;
    return check_awq(c);
}

/* A key whose meaning is not implemented: null, missing, or an empty object or list. */
static ar_status expect_none(const ar_json *q, const char *key, const char *what) {
    const cJSON *item = ar_json_get(q, key);
    bool none =
        !item || cJSON_IsNull(item) || ((cJSON_IsObject(item) || cJSON_IsArray(item)) && !item->child);
    return none ? AR_OK : ar__fail(AR_ERR_FORMAT, "%s: %s: found a value, expected null", what, key);
}

static ar_status read_group(ar_packed_scheme *s, const ar_json *group, const char *what) {
    static const char *const types[] = {"int", NULL}, *const strategies[] = {"group", "channel", NULL};
    int32_t choice, strategy;
    int64_t bits, size = -1;
    AR_TRY(expect_none(group, "input_activations", what));
    AR_TRY(expect_none(group, "output_activations", what));
    const ar_json *w = ar_json_get(group, "weights");
    if (!cJSON_IsObject(w))
        return ar__fail(AR_ERR_FORMAT, "%s: config_groups: weights: found no object, expected one", what);
    AR_TRY(ar_json_int(&bits, w, "num_bits", 1, 32, what));
    AR_TRY(read_choice(&choice, w, "type", "int", types, "int", what));
    AR_TRY(read_choice(&strategy, w, "strategy", ar_json_get(w, "group_size") ? "group" : "channel",
                       strategies, "group or channel", what));
    AR_TRY(ar_json_bool_or(&s->sym, w, "symmetric", true, what));
    if (strategy == 0) AR_TRY(ar_json_int(&size, w, "group_size", -1, INT32_MAX, what));
    AR_TRY(check_scheme(bits < 16 ? bits : 0, size, what));
    s->bits = (int32_t)bits;
    s->group = (int32_t)size;
    return AR_OK;
}

/* The first group of linears is the default, the others are overrides: shapes tell which one a linear has. */
static ar_status read_compressed(ar_packed_config *c, const ar_json *q) {
    static const char *const formats[] = {"pack-quantized", NULL};
    static const char *const unsupported[] = {"kv_cache_scheme", "transform_config"};
    int32_t format;
    c->packing = &ar__packing_compressed;
    c->method = "pack";
    AR_TRY(read_choice(&format, q, "format", "", formats, "pack-quantized", c->path));
    for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++)
        AR_TRY(expect_none(q, unsupported[i], c->path));
    const ar_json *sparsity = ar_json_get(q, "sparsity_config");
    static const char *const dense[] = {"dense", NULL};
    if (cJSON_IsObject(sparsity))
        AR_TRY(read_choice(&format, sparsity, "format", "dense", dense, "dense", c->path));
    const cJSON *groups = ar_json_get(q, "config_groups");
    if (!cJSON_IsObject(groups) || !groups->child)
        return ar__fail(AR_ERR_FORMAT, "%s: config_groups: found none, expected an object of groups",
                        c->path);
    AR_TRY(read_group(&c->scheme, groups->child, c->path));
    c->overrides = ar__alloc((size_t)cJSON_GetArraySize(groups), sizeof *c->overrides);
    if (!c->overrides) return AR_ERR_MEMORY;
    for (const cJSON *group = groups->child->next; group; group = group->next) {
        ar_packed_override *o = &c->overrides[c->override_count++];
        o->name = group->string;
        AR_TRY(read_group(&o->scheme, group, c->path));
    }
    return AR_OK;
}

ar_status ar__packed_config_open(ar_packed_config *c, const char *folder) {
    static const char *const methods[] = {"gptq", "auto-round", "awq", "compressed-tensors", NULL};
    static ar_status (*const readers[])(ar_packed_config * c, const ar_json *q) = {read_gptq, read_auto_round,
                                                                                   read_awq, read_compressed};
    int32_t method;
    AR_TRY(ar_path_join(&c->path, folder, "config.json"));
    AR_TRY(ar_json_open(&c->json, c->path, CONFIG_BYTES));
    const ar_json *q = ar_json_get(c->json, "quantization_config");
    if (!cJSON_IsObject(q))
        return ar__fail(AR_ERR_FORMAT, "%s: quantization_config: found none, expected an object", c->path);
    AR_TRY(read_choice(&method, q, "quant_method", "", methods, "gptq, auto-round, awq or compressed-tensors",
                       c->path));
    return readers[method](c, q);
}

void ar__packed_config_close(ar_packed_config *c) {
    ar_json_close(c->json);
    free(c->path);
    free(c->overrides);
}
