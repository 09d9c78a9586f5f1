/* auto_round and auto_round_awq: Hugging Face folders as auto-round writes them (docs/formats.md), in the
 * GPTQ layout and in AWQ's. */
#include "fmt_packed.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_extra_config(cJSON *list, const char *name, const ar_scheme *scheme) {
    cJSON *row = ar_json_add_object(list, name);
    if (scheme) {
        ar__packed_add_scheme(row, scheme);
        return;
    }
    ar_json_add_number(row, "bits", 16);
    ar_json_add_string(row, "data_type", "float");
}

/* The shortest decimal that is the float: 0.005, not 0.004999999888. */
static void add_float(cJSON *config, const char *key, float value) {
    char text[32];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value) break;
    }
    ar_json_add_number(config, key, strtod(text, NULL));
}

/* "model.layers" */
static void add_blocks_name(cJSON *c, const ar_block *block) {
    char name[AR_HF_NAME];
    snprintf(name, sizeof name, "%.*s", (int)(strrchr(block->name, '.') - block->name), block->name);
    ar_json_add_string(c, "block_name_to_quantize", name);
}

static void describe(cJSON *c, const ar_write_source *src, const char *packing_format) {
    ar__packed_add_scheme(c, &src->plan->scheme);
    ar_json_add_string(c, "quant_method", "auto-round");
    ar_json_add_string(c, "data_type", "int");
    ar_json_add_string(c, "packing_format", packing_format);
    add_blocks_name(c, &src->model->model.blocks[0]);
    ar__packed_add_others(c, "extra_config", src, add_extra_config);
    const ar_method_options *o = src->options;
    for (const ar_stored_option *s = o ? o->method->stored : NULL; s && s->option; s++)
        add_float(c, s->key, (float)ar_method_options_rule(o, s->option, &src->plan->scheme));
}

static void describe_gptq(cJSON *c, const ar_write_source *src) {
    describe(c, src, src->plan->scheme.zero == AR_ZERO_SYM ? "auto_round:auto_gptq" : "auto_round");
}
static void describe_awq(cJSON *c, const ar_write_source *src) { describe(c, src, "auto_round:auto_awq"); }

static const ar_packed_format in_gptq = {.name = "auto_round",
                                         .packing = &ar__packing_gptq,
                                         .bits_mask = 1 << 2 | 1 << 3 | 1 << 4 | 1 << 8,
                                         .n_multiple = 32,
                                         .sym_minus_one = true,
                                         .sym_zeros = true,
                                         .describe = describe_gptq};
static const ar_packed_format in_awq = {.name = "auto_round_awq",
                                        .packing = &ar__packing_awq,
                                        .bits_mask = 1 << 4,
                                        .n_multiple = 32,
                                        .sym_zeros = true,
                                        .whole_groups = true,
                                        .describe = describe_awq};

static ar_status gptq_storage(ar_storage *s, const ar_output_plan *plan) {
    return ar__packed_storage(s, plan, &in_gptq);
}
static ar_status gptq_write(const char *path, const ar_write_source *src) {
    return ar__packed_write(path, src, &in_gptq);
}
static ar_status gptq_size(ar_output_size *s, const ar_write_source *src) {
    return ar__packed_size(s, src, &in_gptq);
}
static ar_status awq_storage(ar_storage *s, const ar_output_plan *plan) {
    return ar__packed_storage(s, plan, &in_awq);
}
static ar_status awq_write(const char *path, const ar_write_source *src) {
    return ar__packed_write(path, src, &in_awq);
}
static ar_status awq_size(ar_output_size *s, const ar_write_source *src) {
    return ar__packed_size(s, src, &in_awq);
}

/* ---- reading ---- */

static ar_status read(ar_packed_config *c, const ar_json *q) {
    static const char *const packings[] = {
        "auto_round:auto_gptq", "auto_round:gptq", "auto_round", "auto_round:gptqmodel",
        "auto_round:auto_awq",  "auto_round:awq",  NULL};
    static const char *const types[] = {"int", NULL};
    int32_t packing, type;
    int64_t act_bits;
    AR_TRY(ar__packed_choice(&packing, q, "packing_format", packings[0], packings,
                             "auto_round, auto_round:auto_gptq, auto_round:gptqmodel or auto_round:auto_awq",
                             c->path));
    AR_TRY(ar__packed_choice(&type, q, "data_type", "int", types, "int", c->path));
    AR_TRY(ar_json_int_or(&act_bits, q, "act_bits", 16, 0, 32, c->path));
    if (act_bits < 16)
        return ar__fail(AR_ERR_FORMAT, "%s: act_bits: found %d, expected at least 16", c->path,
                        (int)act_bits);
    c->scheme.minus_one = packing < 2;
    c->packing = packing < 4 ? &ar__packing_gptq : &ar__packing_awq;
    c->method = "auto_round";
    AR_TRY(ar__packed_default(c, q));
    AR_TRY(ar__packed_overrides(c, q, "extra_config"));
    return packing < 4 ? AR_OK : ar__packed_check_awq(c);
}

/* ---- the rows ---- */

const ar_format ar__format_auto_round = {.name = "auto_round",
                                         .help = "a Hugging Face folder in auto-round's layout",
                                         .is_folder = true,
                                         .storage = gptq_storage,
                                         .write = gptq_write,
                                         .verify = ar__packed_verify,
                                         .quant_method = "auto-round",
                                         .read_config = read,
                                         .size = gptq_size,
                                         .is_mixed = true};
const ar_format ar__format_auto_round_awq = {.name = "auto_round_awq",
                                             .help = "auto-round's folder in the AWQ layout",
                                             .is_folder = true,
                                             .storage = awq_storage,
                                             .write = awq_write,
                                             .verify = ar__packed_verify,
                                             .size = awq_size,
                                             .accepts = ar__packed_accepts_linears};
