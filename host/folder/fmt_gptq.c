/* gptq and gptq_v2: Hugging Face folders in the GPTQ layout (docs/formats.md). They differ in the zero
 * points: gptq stores zp - 1. */
#include "fmt_packed.h"
#include <string.h>

/* gptqmodel's `dynamic` maps regular expressions; "-:" leaves what matches alone, "+:" gives it a scheme. */
static void add_dynamic(cJSON *list, const char *name, const ar_scheme *scheme) {
    char key[2 * AR_HF_NAME + 8];
    strcpy(key, scheme ? "+:^" : "-:^");
    size_t n = strlen(key);
    for (; *name; name++) {
        if (*name == '.') key[n++] = '\\';
        key[n++] = *name;
    }
    memcpy(key + n, "$", 2);
    cJSON *row = ar_json_add_object(list, key);
    if (scheme) ar__packed_add_scheme(row, scheme);
}

static void describe(cJSON *c, const ar_write_source *src, const char *checkpoint_format) {
    ar__packed_add_scheme(c, &src->plan->scheme);
    ar_json_add_string(c, "quant_method", "gptq");
    ar_json_add_string(c, "checkpoint_format", checkpoint_format);
    ar_json_add_bool(c, "desc_act", false);
    ar_json_add_bool(c, "true_sequential", false);
    ar_json_add_number(c, "damp_percent", 0.01);
    ar_json_add_bool(c, "lm_head", false);
    ar_json_add_string(c, "provider", "anyround");
    ar__packed_add_others(c, "dynamic", src, add_dynamic);
}

static void describe_v1(cJSON *c, const ar_write_source *src) { describe(c, src, "gptq"); }
static void describe_v2(cJSON *c, const ar_write_source *src) { describe(c, src, "gptq_v2"); }

static const ar_packed_format v1 = {.name = "gptq",
                                    .packing = &ar__packing_gptq,
                                    .bits_mask = 1 << 2 | 1 << 3 | 1 << 4 | 1 << 8,
                                    .n_multiple = 32,
                                    .sym_minus_one = true,
                                    .asym_minus_one = true,
                                    .sym_zeros = true,
                                    .g_idx = true,
                                    .describe = describe_v1};
static const ar_packed_format v2 = {.name = "gptq_v2",
                                    .packing = &ar__packing_gptq,
                                    .bits_mask = 1 << 2 | 1 << 3 | 1 << 4 | 1 << 8,
                                    .n_multiple = 32,
                                    .sym_zeros = true,
                                    .g_idx = true,
                                    .describe = describe_v2};

static ar_status v1_storage(ar_storage *s, const ar_output_plan *plan) {
    return ar__packed_storage(s, plan, &v1);
}
static ar_status v1_write(const char *path, const ar_write_source *src) {
    return ar__packed_write(path, src, &v1);
}
static ar_status v1_size(ar_output_size *s, const ar_write_source *src) {
    return ar__packed_size(s, src, &v1);
}
static ar_status v2_storage(ar_storage *s, const ar_output_plan *plan) {
    return ar__packed_storage(s, plan, &v2);
}
static ar_status v2_write(const char *path, const ar_write_source *src) {
    return ar__packed_write(path, src, &v2);
}
static ar_status v2_size(ar_output_size *s, const ar_write_source *src) {
    return ar__packed_size(s, src, &v2);
}

/* ---- reading ---- */

static ar_status read(ar_packed_config *c, const ar_json *q) {
    static const char *const formats[] = {"gptq", "gptq_v2", NULL};
    int32_t format;
    const char *key = ar_json_get(q, "checkpoint_format") ? "checkpoint_format" : "format";
    AR_TRY(ar__packed_choice(&format, q, key, "gptq", formats, "gptq or gptq_v2", c->path));
    AR_TRY(ar_json_bool_or(&c->desc_act, q, "desc_act", false, c->path));
    bool marlin; /* how AutoGPTQ said so before checkpoint_format */
    AR_TRY(ar_json_bool_or(&marlin, q, "is_marlin_format", false, c->path));
    if (marlin) return ar__fail(AR_ERR_FORMAT, "%s: is_marlin_format: found true, expected false", c->path);
    c->scheme.minus_one = format == 0;
    c->packing = &ar__packing_gptq;
    c->method = "gptq";
    AR_TRY(ar__packed_default(c, q));
    return ar__packed_overrides(c, q, "dynamic");
}

/* ---- the rows ---- */

const ar_format ar__format_gptq = {.name = "gptq",
                                   .help = "a Hugging Face folder in the GPTQ layout",
                                   .is_folder = true,
                                   .storage = v1_storage,
                                   .write = v1_write,
                                   .verify = ar__packed_verify,
                                   .quant_method = "gptq",
                                   .read_config = read,
                                   .size = v1_size,
                                   .is_mixed = true};
const ar_format ar__format_gptq_v2 = {.name = "gptq_v2",
                                      .help = "the same with zero points as they are",
                                      .is_folder = true,
                                      .storage = v2_storage,
                                      .write = v2_write,
                                      .verify = ar__packed_verify,
                                      .size = v2_size,
                                      .is_mixed = true};
