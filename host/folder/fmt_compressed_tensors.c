/* compressed_tensors: a Hugging Face folder in compressed-tensors' "pack-quantized" form (docs/formats.md).
 * Its codes and zero points are signed there, and biased by 2^(bits-1) when they are packed: what is stored
 * is ours. */
#include "fmt_packed.h"
#include <stdio.h>

static void describe_weights(cJSON *weights, const ar_scheme *s) {
    cJSON_AddNumberToObject(weights, "num_bits", s->bits);
    cJSON_AddStringToObject(weights, "type", "int");
    cJSON_AddBoolToObject(weights, "symmetric", s->zero == AR_ZERO_SYM);
    if (s->group > 0)
        cJSON_AddNumberToObject(weights, "group_size", s->group);
    else
        cJSON_AddNullToObject(weights, "group_size");
    cJSON_AddStringToObject(weights, "strategy", s->group > 0 ? "group" : "channel");
    cJSON_AddNullToObject(weights, "block_structure");
    cJSON_AddBoolToObject(weights, "dynamic", false);
    cJSON_AddNullToObject(weights, "actorder");
}

/* The group of linears under this scheme; a new one has no targets yet. */
static cJSON *group_of(cJSON *groups, const char *name, const ar_scheme *s) {
    cJSON *group = cJSON_GetObjectItemCaseSensitive(groups, name);
    if (group) return group;
    group = cJSON_AddObjectToObject(groups, name);
    cJSON_AddArrayToObject(group, "targets");
    describe_weights(cJSON_AddObjectToObject(group, "weights"), s);
    cJSON_AddNullToObject(group, "input_activations");
    cJSON_AddNullToObject(group, "output_activations");
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

static void describe(cJSON *c, const ar_write_source *src) {
    cJSON_AddStringToObject(c, "quant_method", "compressed-tensors");
    cJSON_AddStringToObject(c, "format", "pack-quantized");
    cJSON_AddStringToObject(c, "quantization_status", "compressed");
    cJSON *groups = cJSON_AddObjectToObject(c, "config_groups");
    cJSON *first = group_of(groups, "group_0", &src->plan->scheme);
    ar__packed_add_float(cJSON_GetObjectItemCaseSensitive(first, "targets"), "Linear", NULL);
    ar__packed_each_other(groups, src, add_group);
    cJSON *list = cJSON_AddArrayToObject(c, "ignore");
    ar__packed_add_head(list, src);
    ar__packed_each_other(list, src, ar__packed_add_float);
    cJSON_AddNullToObject(c, "kv_cache_scheme");
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
static ar_status write_folder(const char *path, const ar_write_source *src) {
    return ar__packed_write(path, src, &compressed);
}

const ar_format ar__format_compressed_tensors = {
    .name = "compressed_tensors",
    .help = "a Hugging Face folder in compressed-tensors' packed form",
    .is_folder = true,
    .storage = storage,
    .write = write_folder,
    .verify = ar__packed_verify,
    .accepts = ar__packed_accepts_linears,
    .is_mixed = true};
