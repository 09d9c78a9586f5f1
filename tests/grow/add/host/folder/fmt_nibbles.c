/* nibbles: a packed folder of 4 bits with tensors, an order of values and a config of its own. */
#include "fmt_packed.h"

static const uint8_t backwards[8] = {7, 6, 5, 4, 3, 2, 1, 0};
static const ar_packing packing = {.codes = "nibbles",
                                   .zeros = "middles",
                                   .scales = "steps",
                                   .shape = "sizes",
                                   .scales_output_first = true,
                                   .order = backwards};

static void describe(cJSON *c, const ar_write_source *src) {
    ar__packed_add_scheme(c, &src->plan->scheme);
    cJSON_AddStringToObject(c, "quant_method", "nibbles");
    const ar_method_options *o = src->options;
    for (const ar_stored_option *s = o ? o->method->stored : NULL; s && s->option; s++)
        cJSON_AddNumberToObject(c, s->key, ar_method_options_rule(o, s->option, &src->plan->scheme));
}

static const ar_packed_format nibbles = {
    .name = "nibbles", .packing = &packing, .bits_mask = 1 << 4, .n_multiple = 32, .describe = describe};

static ar_status storage(ar_storage *s, const ar_output_plan *plan) {
    return ar__packed_storage(s, plan, &nibbles);
}

static ar_status write_folder(const char *path, const ar_write_source *src) {
    return ar__packed_write(path, src, &nibbles);
}

static ar_status size(ar_output_size *to, const ar_write_source *src) {
    return ar__packed_size(to, src, &nibbles);
}

static ar_status read(ar_packed_config *c, const ar_json *q) {
    c->packing = &packing;
    c->method = "nibbles";
    return ar__packed_default(c, q);
}

const ar_format ar__format_nibbles = {.name = "nibbles",
                                      .help = "a packed folder of our own",
                                      .is_folder = true,
                                      .storage = storage,
                                      .write = write_folder,
                                      .verify = ar__packed_verify,
                                      .accepts = ar__packed_accepts_linears,
                                      .quant_method = "nibbles",
                                      .read_config = read,
                                      .size = size};
