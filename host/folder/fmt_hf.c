/* hf: an ordinary float Hugging Face folder, F32, F16 or BF16; `convert` writes it. Nothing in it is
 * quantized. */
#include "fmt_packed.h"
#include "hf_folder.h"
#include <stdlib.h>
#include <string.h>

/* The plan's float --type in the three spellings these files have. */
static const struct {
    const char *type, *safetensors, *torch;
} dtypes[] = {{"f32", "F32", "float32"}, {"f16", "F16", "float16"}, {"bf16", "BF16", "bfloat16"}};

static ar_status find_dtype(int32_t *k, const ar_output_plan *plan) {
    for (*k = 0; *k < 3; ++*k)
        if (strcmp(dtypes[*k].type, plan->type) == 0) return AR_OK;
    return ar__fail(AR_ERR_USAGE, "type: found '%s', expected f32, f16 or bf16", plan->type);
}

static ar_status storage(ar_storage *s, const ar_output_plan *plan) {
    (void)plan;
    *s = (ar_storage){0};
    return AR_OK;
}

static ar_status config(cJSON *root, const ar_write_source *src, const void *ctx) {
    const char *key = cJSON_GetObjectItemCaseSensitive(root, "dtype") ? "dtype" : "torch_dtype";
    /* loaders know no Conv1D, and static ranges are the passport's alone */
    bool says_acts = src->acts && !src->acts->grids && !src->model->config.is_conv1d;
    cJSON_DeleteItemFromObjectCaseSensitive(root, "quantization_config");
    cJSON_DeleteItemFromObjectCaseSensitive(root, key);
    ar_json_add_string(root, key, ctx);
    if (says_acts) ar__compressed_describe_floats(ar_json_add_object(root, "quantization_config"), src);
    return AR_OK;
}

static ar_hf_layout layout_of(int32_t k) {
    return (ar_hf_layout){.float_dtype = dtypes[k].safetensors, .config = config, .ctx = dtypes[k].torch};
}

static ar_status write(const char *path, const ar_write_source *src) {
    int32_t k;
    AR_TRY(find_dtype(&k, src->plan));
    ar_hf_layout layout = layout_of(k);
    return ar__hf_folder_write(path, src, &layout);
}

static ar_status size(ar_output_size *s, const ar_write_source *src) {
    int32_t k;
    AR_TRY(find_dtype(&k, src->plan));
    ar_hf_layout layout = layout_of(k);
    return ar__hf_folder_size(s, src, &layout);
}

static ar_status verify(const char *path, const ar_write_source *src) {
    ar_weights w = {0};
    int32_t k;
    AR_TRY(find_dtype(&k, src->plan));
    AR_TRY(ar_weights_open_safetensors(&w, path));
    ar_status status = ar__hf_verify_floats(&w, path, src, dtypes[k].safetensors);
    if (status == AR_OK) status = ar__hf_verify_copies(path, src);
    ar_weights_close(&w);
    return status;
}

const ar_format ar__format_hf = {.name = "hf",
                                 .help = "a float Hugging Face folder (anyround convert)",
                                 .is_folder = true,
                                 .storage = storage,
                                 .write = write,
                                 .verify = verify,
                                 .size = size,
                                 .holds_floats = true};
