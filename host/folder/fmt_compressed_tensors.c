/* compressed_tensors: a Hugging Face folder in compressed-tensors' "pack-quantized" form (docs/formats.md).
 * Its codes and zero points are signed there, and biased by 2^(bits-1) when they are packed: what is stored
 * is ours. 8-bit weights beside quantized inputs are "int-quantized": signed bytes. */
#include "ar_error.h"
#include "fmt_packed.h"
#include <stdio.h>

static void describe_weights(cJSON *weights, const ar_scheme *s) {
    ar_json_add_number(weights, "num_bits", s->bits);
    ar_json_add_string(weights, "type", "int");
    ar_json_add_bool(weights, "symmetric", s->zero == AR_ZERO_SYM);
    if (s->group > 0)
        ar_json_add_number(weights, "group_size", s->group);
    else
        ar_json_add_null(weights, "group_size");
    ar_json_add_string(weights, "strategy", s->group > 0 ? "group" : "channel");
    ar_json_add_null(weights, "block_structure");
    ar_json_add_bool(weights, "dynamic", false);
    ar_json_add_null(weights, "actorder");
}

static void describe_inputs(cJSON *group, const ar_acts *a) {
    if (!a) {
        ar_json_add_null(group, "input_activations");
        return;
    }
    bool is_token = a->scheme.range == AR_ACTS_TOKEN;
    cJSON *inputs = ar_json_add_object(group, "input_activations");
    ar_json_add_number(inputs, "num_bits", a->scheme.bits);
    ar_json_add_string(inputs, "type", "int");
    ar_json_add_bool(inputs, "symmetric", !a->scheme.asym);
    ar_json_add_null(inputs, "group_size");
    ar_json_add_string(inputs, "strategy", is_token ? "token" : "tensor");
    ar_json_add_null(inputs, "block_structure");
    ar_json_add_bool(inputs, "dynamic", a->scheme.range != AR_ACTS_STATIC);
    ar_json_add_null(inputs, "actorder");
}

/* The group of linears under this scheme; a new one has no targets yet. */
static cJSON *group_of(cJSON *groups, const char *name, const ar_scheme *s) {
    cJSON *group = cJSON_GetObjectItemCaseSensitive(groups, name);
    if (group) return group;
    group = ar_json_add_object(groups, name);
    ar_json_add_list(group, "targets");
    describe_weights(ar_json_add_object(group, "weights"), s);
    return group;
}

/* A name goes before the class that all linears have. */
static void add_group(cJSON *groups, const char *name, const ar_scheme *scheme) {
    char key[48];
    if (!scheme) return;
    snprintf(key, sizeof key, "group_%d_%d", (int)scheme->bits, (int)scheme->group);
    cJSON *group = group_of(groups, key, scheme);
    ar__packed_add_float(cJSON_GetObjectItemCaseSensitive(group, "targets"), name, NULL);
}

static bool is_bytes(const ar_write_source *src) { return src->acts && src->plan->scheme.bits == 8; }

static const char *form_of(const ar_write_source *src) {
    return is_bytes(src) ? "int-quantized" : "pack-quantized";
}

static void describe(cJSON *c, const ar_write_source *src) {
    ar_json_add_string(c, "quant_method", "compressed-tensors");
    ar_json_add_string(c, "format", form_of(src));
    ar_json_add_string(c, "quantization_status", "compressed");
    cJSON *groups = ar_json_add_object(c, "config_groups");
    cJSON *first = group_of(groups, "group_0", &src->plan->scheme);
    ar__packed_add_float(cJSON_GetObjectItemCaseSensitive(first, "targets"), "Linear", NULL);
    ar__packed_each_other(groups, src, add_group);
    for (cJSON *group = groups ? groups->child : NULL; group; group = group->next) {
        /* by the group's schemes alone the library takes 4 bits for bytes */
        if (src->acts) ar_json_add_string(group, "format", form_of(src));
        describe_inputs(group, src->acts);
        ar_json_add_null(group, "output_activations");
    }
    cJSON *list = ar_json_add_list(c, "ignore");
    ar__packed_add_head(list, src);
    ar__packed_each_other(list, src, ar__packed_add_float);
    ar_json_add_null(c, "kv_cache_scheme");
}

void ar__compressed_describe_floats(cJSON *c, const ar_write_source *src) {
    ar_json_add_string(c, "quant_method", "compressed-tensors");
    ar_json_add_string(c, "format", "dense");
    ar_json_add_string(c, "quantization_status", "compressed");
    cJSON *group = ar_json_add_object(ar_json_add_object(c, "config_groups"), "group_0");
    ar__packed_add_float(ar_json_add_list(group, "targets"), "Linear", NULL);
    ar_json_add_null(group, "weights");
    ar_json_add_string(group, "format", "dense");
    describe_inputs(group, src->acts);
    ar_json_add_null(group, "output_activations");
    ar__packed_add_head(ar_json_add_list(c, "ignore"), src);
    ar_json_add_null(c, "kv_cache_scheme");
}

static const ar_packed_format compressed = {.name = "compressed_tensors",
                                            .packing = &ar__packing_compressed,
                                            .bits_mask = 1 << 4 | 1 << 8,
                                            .n_multiple = 8,
                                            .whole_groups = true,
                                            .describe = describe};

static ar_status storage(ar_storage *s, const ar_output_plan *plan) {
    return ar__packed_storage(s, plan, &compressed);
}
/* As bytes all linears are: they have one format. */
static ar_packed_format format_of(const ar_write_source *src) {
    ar_packed_format f = compressed;
    if (is_bytes(src)) f.packing = &ar__packing_bytes;
    f.acts = src->acts ? &src->acts->scheme : NULL;
    return f;
}
static ar_status write_folder(const char *path, const ar_write_source *src) {
    const ar_packed_format f = format_of(src);
    return ar__packed_write(path, src, &f);
}
static ar_status size(ar_output_size *s, const ar_write_source *src) {
    const ar_packed_format f = format_of(src);
    return ar__packed_size(s, src, &f);
}

/* ---- reading ---- */

/* A key whose meaning is not implemented: null, missing, or an empty object or list. */
static ar_status expect_none(const ar_json *q, const char *key, const char *what) {
    const cJSON *item = ar_json_get(q, key);
    bool none =
        !item || cJSON_IsNull(item) || ((cJSON_IsObject(item) || cJSON_IsArray(item)) && !item->child);
    return none ? AR_OK : ar__fail(AR_ERR_FORMAT, "%s: %s: found a value, expected null", what, key);
}

static ar_status read_inputs(ar_acts_scheme *a, const ar_json *group, const char *what) {
    static const char *const types[] = {"int", NULL}, *const strategies[] = {"token", "tensor", NULL};
    const ar_json *in = ar_json_get(group, "input_activations");
    int32_t choice, strategy;
    int64_t bits;
    bool is_dynamic, sym;
    *a = (ar_acts_scheme){0};
    if (!in || cJSON_IsNull(in)) return AR_OK;
    AR_TRY(ar_json_int(&bits, in, "num_bits", 2, 8, what));
    AR_TRY(ar__packed_choice(&choice, in, "type", "int", types, "int", what));
    AR_TRY(ar__packed_choice(&strategy, in, "strategy", "tensor", strategies, "token or tensor", what));
    AR_TRY(ar_json_bool_or(&sym, in, "symmetric", true, what));
    AR_TRY(ar_json_bool_or(&is_dynamic, in, "dynamic", false, what));
    if (strategy == 0 && !is_dynamic)
        return ar__fail(AR_ERR_FORMAT, "%s: input_activations: found static ranges of tokens, expected %s",
                        what, "dynamic ones");
    *a = (ar_acts_scheme){.bits = (int32_t)bits,
                          .range = !is_dynamic     ? AR_ACTS_STATIC
                                   : strategy == 0 ? AR_ACTS_TOKEN
                                                   : AR_ACTS_TENSOR,
                          .asym = !sym};
    return AR_OK;
}

static ar_status read_group(ar_packed_scheme *s, ar_acts_scheme *acts, const ar_json *group,
                            const char *what) {
    static const char *const types[] = {"int", NULL}, *const strategies[] = {"group", "channel", NULL};
    int32_t choice, strategy;
    int64_t bits, size = -1;
    AR_TRY(read_inputs(acts, group, what));
    AR_TRY(expect_none(group, "output_activations", what));
    const ar_json *w = ar_json_get(group, "weights");
    if (acts->bits > 0 && (!w || cJSON_IsNull(w))) {
        *s = (ar_packed_scheme){.bits = 16, .group = -1, .sym = true};
        return AR_OK;
    }
    if (!cJSON_IsObject(w))
        return ar__fail(AR_ERR_FORMAT, "%s: config_groups: weights: found no object, expected one", what);
    AR_TRY(ar_json_int(&bits, w, "num_bits", 1, 32, what));
    AR_TRY(ar__packed_choice(&choice, w, "type", "int", types, "int", what));
    AR_TRY(ar__packed_choice(&strategy, w, "strategy", ar_json_get(w, "group_size") ? "group" : "channel",
                             strategies, "group or channel", what));
    AR_TRY(ar_json_bool_or(&s->sym, w, "symmetric", true, what));
    if (strategy == 0) AR_TRY(ar_json_int(&size, w, "group_size", -1, INT32_MAX, what));
    AR_TRY(ar__packed_check_scheme(bits < 16 ? bits : 0, size, what));
    s->bits = (int32_t)bits;
    s->group = (int32_t)size;
    return AR_OK;
}

/* Signed bytes are read where they are codes of 8 bits. */
static ar_status check_bytes(const ar_packed_config *c) {
    for (int32_t i = -1; c->packing->is_bytes && i < c->override_count; i++) {
        int32_t bits = i < 0 ? c->scheme.bits : c->overrides[i].scheme.bits;
        if (bits != 8)
            return ar__fail(AR_ERR_FORMAT, "%s: num_bits: found %d, expected 8 (int-quantized)", c->path,
                            (int)bits);
    }
    return AR_OK;
}

/* The first group of linears is the default, the others are overrides: shapes tell which one a linear has. */
static ar_status read(ar_packed_config *c, const ar_json *q) {
    static const char *const formats[] = {"pack-quantized", "int-quantized", "dense", NULL};
    static const char *const unsupported[] = {"kv_cache_scheme", "transform_config"};
    int32_t format;
    AR_TRY(ar__packed_choice(&format, q, "format", "", formats, "pack-quantized, int-quantized or dense",
                             c->path));
    c->packing = format == 1 ? &ar__packing_bytes : &ar__packing_compressed;
    c->method = format == 1 ? "int" : "pack";
    for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++)
        AR_TRY(expect_none(q, unsupported[i], c->path));
    const ar_json *sparsity = ar_json_get(q, "sparsity_config");
    static const char *const dense[] = {"dense", NULL};
    if (cJSON_IsObject(sparsity))
        AR_TRY(ar__packed_choice(&format, sparsity, "format", "dense", dense, "dense", c->path));
    const cJSON *groups = ar_json_get(q, "config_groups");
    if (!cJSON_IsObject(groups) || !groups->child)
        return ar__fail(AR_ERR_FORMAT, "%s: config_groups: found none, expected an object of groups",
                        c->path);
    AR_TRY(read_group(&c->scheme, &c->acts, groups->child, c->path));
    c->overrides = ar__alloc((size_t)cJSON_GetArraySize(groups), sizeof *c->overrides);
    if (!c->overrides) return AR_ERR_MEMORY;
    for (const cJSON *group = groups->child->next; group; group = group->next) {
        ar_acts_scheme acts;
        ar_packed_override *o = &c->overrides[c->override_count++];
        o->name = group->string;
        AR_TRY(read_group(&o->scheme, &acts, group, c->path));
        if (acts.bits != c->acts.bits || acts.range != c->acts.range || acts.asym != c->acts.asym)
            return ar__fail(AR_ERR_FORMAT,
                            "%s: config_groups: %s: found other input_activations, expected %s", c->path,
                            o->name, "those of the first group");
    }
    return check_bytes(c);
}

/* ---- the row ---- */

const ar_format ar__format_compressed_tensors = {
    .name = "compressed_tensors",
    .help = "a Hugging Face folder in compressed-tensors' packed form",
    .is_folder = true,
    .storage = storage,
    .write = write_folder,
    .verify = ar__packed_verify,
    .quant_method = "compressed-tensors",
    .read_config = read,
    .size = size,
    .accepts = ar__packed_accepts_linears,
    .is_mixed = true};
