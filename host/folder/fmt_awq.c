/* awq: a Hugging Face folder in AWQ's GEMM layout (docs/formats.md), 4 bits. */
#include "fmt_packed.h"

/* zero_point says that qzeros counts, which it always does: the symmetric scheme's are all 8. */
static void describe(cJSON *c, const ar_write_source *src) {
    ar_json_add_string(c, "quant_method", "awq");
    ar_json_add_string(c, "version", "gemm");
    ar_json_add_number(c, "bits", src->plan->scheme.bits);
    ar_json_add_number(c, "group_size", src->plan->scheme.group);
    ar_json_add_bool(c, "zero_point", true);
    cJSON *list = ar_json_add_list(c, "modules_to_not_convert");
    ar__packed_add_head(list, src);
    ar__packed_each_other(list, src, ar__packed_add_float);
    ar_json_add_string(c, "provider", "anyround");
}

static const ar_packed_format awq = {.name = "awq",
                                     .packing = &ar__packing_awq,
                                     .bits_mask = 1 << 4,
                                     .n_multiple = 8,
                                     .sym_zeros = true,
                                     .whole_groups = true,
                                     .describe = describe};

static ar_status storage(ar_storage *s, const ar_output_plan *plan) {
    return ar__packed_storage(s, plan, &awq);
}
static ar_status write_folder(const char *path, const ar_write_source *src) {
    return ar__packed_write(path, src, &awq);
}
static ar_status size(ar_output_size *s, const ar_write_source *src) { return ar__packed_size(s, src, &awq); }

/* ---- reading ---- */

static ar_status read(ar_packed_config *c, const ar_json *q) {
    static const char *const versions[] = {"gemm", "GEMM", NULL};
    int32_t version;
    const char *key = ar_json_get(q, "version") ? "version" : "format";
    bool zero_point;
    AR_TRY(ar__packed_choice(&version, q, key, "gemm", versions, "gemm", c->path));
    AR_TRY(ar_json_bool_or(&zero_point, q, "zero_point", true, c->path));
    c->packing = &ar__packing_awq;
    c->method = "awq";
    AR_TRY(ar__packed_default(c, q));
    c->scheme.sym = !zero_point;
    return ar__packed_check_awq(c);
}

/* ---- the row ---- */

const ar_format ar__format_awq = {.name = "awq",
                                  .help = "a Hugging Face folder in AWQ's GEMM layout",
                                  .is_folder = true,
                                  .storage = storage,
                                  .write = write_folder,
                                  .verify = ar__packed_verify,
                                  .quant_method = "awq",
                                  .read_config = read,
                                  .size = size,
                                  .accepts = ar__packed_accepts_linears};
