/* compressed_tensors: a Hugging Face folder in compressed-tensors' "pack-quantized" form (docs/formats.md).
 * Its codes and zero points are signed there, and biased by 2^(bits-1) when they are packed: what is stored
 * is ours. */
#include "fmt_packed.h"

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

static void describe(cJSON *c, const ar_write_source *src) {
    cJSON_AddStringToObject(c, "quant_method", "compressed-tensors");
    cJSON_AddStringToObject(c, "format", "pack-quantized");
    cJSON_AddStringToObject(c, "quantization_status", "compressed");
    cJSON *group = cJSON_AddObjectToObject(cJSON_AddObjectToObject(c, "config_groups"), "group_0");
    ar__packed_add_name(cJSON_AddArrayToObject(group, "targets"), "Linear");
    describe_weights(cJSON_AddObjectToObject(group, "weights"), &src->plan->scheme);
    cJSON_AddNullToObject(group, "input_activations");
    cJSON_AddNullToObject(group, "output_activations");
    cJSON *list = cJSON_AddArrayToObject(c, "ignore");
    ar__packed_add_head(list, src);
    ar__packed_each_float(list, src, ar__packed_add_name);
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

const ar_format ar__format_compressed_tensors = {"compressed_tensors",
                                                 "a Hugging Face folder in compressed-tensors' packed form",
                                                 true,
                                                 storage,
                                                 write_folder,
                                                 ar__packed_verify,
                                                 ar__packed_accepts_linears};
