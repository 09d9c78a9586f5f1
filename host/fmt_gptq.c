/* gptq and auto_round: Hugging Face folders whose linears are packed in the GPTQ layout (docs/formats.md).
 * Codes, scales and zero points are stored as the tuner made them; nothing is divided again. The two differ
 * in the zero points (gptq and symmetric auto_round store zp - 1), in g_idx (gptq only) and in config.json.
 */
#include "fmt_gptq.h"
#include "hf_folder.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_VALUES 32 /* values that make a whole number of words at any bit width */

typedef struct flavour {
    bool is_gptq;
} flavour;
static const flavour gptq = {true}, auto_round = {false};

static bool stores_minus_one(const flavour *f, const ar_scheme *scheme) {
    return f->is_gptq || scheme->zero == AR_ZERO_SYM;
}

/* ---- tensors ---- */

void ar__gptq_pack(uint32_t *dst, int64_t dst_step, const uint8_t *src, int64_t src_step, int64_t count,
                   int32_t bits) {
    for (int64_t from = 0; from < count; from += WORD_VALUES, dst += bits * dst_step) {
        uint32_t words[9] = {0};
        for (int32_t j = 0; j < WORD_VALUES; j++) {
            uint32_t value = src[(from + j) * src_step];
            int32_t at = j * bits, shift = at % 32;
            words[at / 32] |= value << shift;
            if (shift + bits > 32) words[at / 32 + 1] |= value >> (32 - shift);
        }
        for (int32_t w = 0; w < bits; w++) dst[w * dst_step] = words[w];
    }
}

static void add_tensor(ar_hf_tensors *out, const char *suffix, const char *dtype, int64_t rows,
                       int64_t width) {
    ar_hf_tensor *t = &out->list[out->count++];
    *t = (ar_hf_tensor){.dim_count = rows ? 2 : 1, .dims = {rows ? rows : width, width}};
    strcpy(t->suffix, suffix);
    strcpy(t->dtype, dtype);
    t->bytes = (size_t)(rows ? rows : 1) * (size_t)width * (strcmp(dtype, "F16") == 0 ? 2 : 4);
}

static ar_status declare(ar_hf_tensors *out, const ar_scheme *scheme, int64_t O, int64_t I, const void *ctx) {
    int64_t groups = ar_scheme_groups(scheme, I);
    *out = (ar_hf_tensors){0};
    add_tensor(out, "qweight", "I32", I / WORD_VALUES * scheme->bits, O);
    add_tensor(out, "qzeros", "I32", groups, O / WORD_VALUES * scheme->bits);
    add_tensor(out, "scales", "F16", groups, O);
    if (((const flavour *)ctx)->is_gptq) add_tensor(out, "g_idx", "I32", 0, I);
    return AR_OK;
}

/* A zero point of 0 has no stored form as zp - 1: plans that need it tune with zero_min = 1. */
static ar_status pack_zeros(uint32_t *dst, const ar_qlinear *q, bool minus_one) {
    int32_t bits = q->scheme.bits;
    uint8_t *row = ar__alloc((size_t)q->O, 1);
    if (!row) return AR_ERR_MEMORY;
    ar_status status = AR_OK;
    for (int64_t g = 0; status == AR_OK && g < q->groups; g++) {
        for (int64_t o = 0; o < q->O; o++) {
            uint8_t zero = q->zeros[o * q->groups + g];
            if (minus_one && zero == 0)
                status = ar__fail(AR_ERR_CHECK, "zero point of row %lld: found 0, expected at least 1",
                                  (long long)o);
            row[o] = (uint8_t)(zero - minus_one) & (uint8_t)((1 << bits) - 1);
        }
        ar__gptq_pack(dst + g * (q->O / WORD_VALUES * bits), 1, row, 1, q->O, bits);
    }
    free(row);
    return status;
}

static ar_status fill(ar_hf_tensors *out, const ar_qlinear *q, const void *ctx) {
    for (int32_t i = 0; i < out->count; i++) {
        out->list[i].data = ar__alloc(1, out->list[i].bytes);
        if (!out->list[i].data) return AR_ERR_MEMORY;
    }
    for (int64_t o = 0; o < q->O; o++)
        ar__gptq_pack((uint32_t *)out->list[0].data + o, q->O, q->codes + o * q->I, 1, q->I, q->scheme.bits);
    AR_TRY(pack_zeros(out->list[1].data, q, stores_minus_one(ctx, &q->scheme)));
    uint16_t *scales = out->list[2].data;
    for (int64_t o = 0; o < q->O; o++)
        for (int64_t g = 0; g < q->groups; g++) scales[g * q->O + o] = q->scales[o * q->groups + g];
    if (out->count < 4) return AR_OK;
    int32_t *group_of = out->list[3].data;
    int64_t group = q->groups == 1 ? q->I : q->scheme.group;
    for (int64_t i = 0; i < q->I; i++) group_of[i] = (int32_t)(i / group);
    return AR_OK;
}

/* ---- config.json ---- */

/* Calls add for every linear that stays float. */
static void each_float_linear(cJSON *list, const ar_write_source *src,
                              void (*add)(cJSON *list, const char *name)) {
    const ar_model *m = &src->model->model;
    char name[AR_HF_NAME];
    for (int32_t b = 0; b < m->block_count; b++) {
        for (int32_t i = 0; i < m->blocks[b].linear_count; i++) {
            if (ar_output_plan_holds(src->plan, m->blocks[b].linears[i].O, m->blocks[b].linears[i].I))
                continue;
            ar__hf_linear_name(name, &m->blocks[b], i);
            add(list, name);
        }
    }
}

static void add_extra_config(cJSON *list, const char *name) {
    cJSON *row = cJSON_AddObjectToObject(list, name);
    cJSON_AddNumberToObject(row, "bits", 16);
    cJSON_AddStringToObject(row, "data_type", "float");
}

/* gptqmodel's `dynamic` maps regular expressions; "-:" leaves what matches alone. */
static void add_dynamic(cJSON *list, const char *name) {
    char key[2 * AR_HF_NAME + 8] = "-:^";
    size_t n = strlen(key);
    for (; *name; name++) {
        if (*name == '.') key[n++] = '\\';
        key[n++] = *name;
    }
    memcpy(key + n, "$", 2);
    cJSON_AddItemToObject(list, key, cJSON_CreateObject());
}

static void add_float_linears(cJSON *config, const char *key, const ar_write_source *src,
                              void (*add)(cJSON *list, const char *name)) {
    cJSON *list = cJSON_CreateObject();
    each_float_linear(list, src, add);
    if (list && list->child)
        cJSON_AddItemToObject(config, key, list);
    else
        cJSON_Delete(list);
}

/* The shortest decimal that is the float: 0.005, not 0.004999999888. */
static void add_float(cJSON *config, const char *key, float value) {
    char text[32];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value) break;
    }
    cJSON_AddNumberToObject(config, key, strtod(text, NULL));
}

static void describe_auto_round(cJSON *c, const ar_write_source *src) {
    cJSON_AddStringToObject(c, "quant_method", "auto-round");
    cJSON_AddStringToObject(c, "data_type", "int");
    cJSON_AddStringToObject(c, "packing_format",
                            src->plan->scheme.zero == AR_ZERO_SYM ? "auto_round:auto_gptq" : "auto_round");
    cJSON_AddStringToObject(c, "block_name_to_quantize", "model.layers");
    add_float_linears(c, "extra_config", src, add_extra_config);
    if (src->iters == 0) return;
    float lr = src->lr; /* 0 = signround's default */
    if (lr == 0.0f)
        lr = (src->iters >= 1000 && src->plan->scheme.bits <= 3 ? 2.0f : 1.0f) / (float)src->iters;
    cJSON_AddNumberToObject(c, "iters", src->iters);
    add_float(c, "lr", lr);
    add_float(c, "minmax_lr", src->minmax_lr > 0.0f ? src->minmax_lr : lr);
    cJSON_AddNumberToObject(c, "nsamples", src->sample_count);
    cJSON_AddNumberToObject(c, "seqlen", src->T);
    cJSON_AddNumberToObject(c, "batch_size", src->batch);
}

static void describe_gptq(cJSON *c, const ar_write_source *src) {
    cJSON_AddStringToObject(c, "quant_method", "gptq");
    cJSON_AddStringToObject(c, "checkpoint_format", "gptq");
    cJSON_AddBoolToObject(c, "desc_act", false);
    cJSON_AddBoolToObject(c, "true_sequential", false);
    cJSON_AddNumberToObject(c, "damp_percent", 0.01);
    cJSON_AddBoolToObject(c, "lm_head", false);
    cJSON_AddStringToObject(c, "provider", "anyround");
    add_float_linears(c, "dynamic", src, add_dynamic);
}

static ar_status config(cJSON *root, const ar_write_source *src, const void *ctx) {
    const char *key = cJSON_GetObjectItemCaseSensitive(root, "dtype") ? "dtype" : "torch_dtype";
    cJSON_DeleteItemFromObjectCaseSensitive(root, key);
    cJSON_AddStringToObject(root, key, "float16");
    cJSON_DeleteItemFromObjectCaseSensitive(root, "quantization_config");
    cJSON *c = cJSON_AddObjectToObject(root, "quantization_config");
    cJSON_AddNumberToObject(c, "bits", src->plan->scheme.bits);
    cJSON_AddNumberToObject(c, "group_size", src->plan->scheme.group);
    cJSON_AddBoolToObject(c, "sym", src->plan->scheme.zero == AR_ZERO_SYM);
    (((const flavour *)ctx)->is_gptq ? describe_gptq : describe_auto_round)(c, src);
    return AR_OK;
}

/* ---- formats ---- */

static ar_status check_storage(ar_storage *s, const ar_output_plan *plan, const ar_format *f,
                               int32_t zero_min) {
    *s = (ar_storage){.bits_mask = 1 << 2 | 1 << 3 | 1 << 4 | 1 << 8,
                      .sym = true,
                      .asym = true,
                      .asym_zero = AR_ZERO_INT,
                      .zero_min = zero_min,
                      .k_multiple = WORD_VALUES,
                      .n_multiple = WORD_VALUES};
    int32_t group = plan->scheme.group;
    if (group > 0 && group < 16)
        return ar__fail(AR_ERR_USAGE, "--format %s cannot store --group %d, expected at least 16, or -1",
                        f->name, (int)group);
    return AR_OK;
}

static ar_status gptq_storage(ar_storage *s, const ar_output_plan *plan) {
    return check_storage(s, plan, &ar__format_gptq, 1);
}

static ar_status auto_round_storage(ar_storage *s, const ar_output_plan *plan) {
    return check_storage(s, plan, &ar__format_auto_round, 0);
}

static ar_status write_folder(const char *path, const ar_write_source *src, const flavour *f) {
    return ar__hf_folder_write(
        path, src,
        &(ar_hf_layout){.float_dtype = "F16", .declare = declare, .fill = fill, .config = config, .ctx = f});
}

static ar_status gptq_write(const char *path, const ar_write_source *src) {
    return write_folder(path, src, &gptq);
}

static ar_status auto_round_write(const char *path, const ar_write_source *src) {
    return write_folder(path, src, &auto_round);
}

static ar_status verify(const char *path, const ar_write_source *src) {
    ar_weights w = {0};
    AR_TRY(ar_weights_open_packed(&w, path));
    ar_status status = ar__hf_verify_linears(&w, path, src, true);
    ar_weights_close(&w);
    return status;
}

const ar_format ar__format_gptq = {
    "gptq", "a Hugging Face folder in the GPTQ layout", true, gptq_storage, gptq_write, verify};
const ar_format ar__format_auto_round = {
    "auto_round", "a Hugging Face folder in auto-round's layout", true, auto_round_storage, auto_round_write,
    verify};
