/* fake: an ordinary float Hugging Face folder holding W' in F32, for schemes that no packed format holds (any
 * bits, any group, short last groups). */
#include "hf_folder.h"
#include <stdlib.h>
#include <string.h>

static ar_status storage(ar_storage *s, const ar_output_plan *plan) {
    (void)plan;
    *s = (ar_storage){
        .bits_mask = 0x1fc, .sym = true, .asym = true, .asym_zero = AR_ZERO_INT, .short_group = true};
    return AR_OK;
}

static ar_status declare(ar_hf_tensors *out, const ar_scheme *scheme, int64_t O, int64_t I, const void *ctx) {
    (void)scheme;
    (void)ctx;
    *out = (ar_hf_tensors){.count = 1};
    out->list[0] = (ar_hf_tensor){"weight", "F32", 2, {O, I}, NULL, (size_t)O * (size_t)I * 4};
    return AR_OK;
}

static ar_status fill(ar_hf_tensors *out, const ar_qlinear *q, const void *ctx) {
    (void)ctx;
    float *values = ar__alloc(1, out->list[0].bytes);
    if (!values) return AR_ERR_MEMORY;
    ar_qlinear_dequant(values, q);
    out->list[0].data = values;
    return AR_OK;
}

static ar_status config(cJSON *root, const ar_write_source *src, const void *ctx) {
    (void)src;
    (void)ctx;
    cJSON_DeleteItemFromObjectCaseSensitive(root, "quantization_config");
    const char *key = cJSON_GetObjectItemCaseSensitive(root, "dtype") ? "dtype" : "torch_dtype";
    cJSON_DeleteItemFromObjectCaseSensitive(root, key);
    ar_json_add_string(root, key, "float32");
    return AR_OK;
}

static const ar_hf_layout layout = {.declare = declare, .fill = fill, .config = config, .as_source = true};

static ar_status write(const char *path, const ar_write_source *src) {
    return ar__hf_folder_write(path, src, &layout);
}

static ar_status size(ar_output_size *s, const ar_write_source *src) {
    return ar__hf_folder_size(s, src, &layout);
}

static ar_status verify(const char *path, const ar_write_source *src) {
    ar_weights w = {0};
    AR_TRY(ar_weights_open_safetensors(&w, path));
    ar_status status = ar__hf_verify_linears(&w, path, src, false);
    if (status == AR_OK) status = ar__hf_verify_floats(&w, path, src, NULL);
    if (status == AR_OK) status = ar__hf_verify_copies(path, src);
    ar_weights_close(&w);
    return status;
}

const ar_format ar__format_fake = {.name = "fake",
                                   .help = "a float Hugging Face folder holding the quantized values",
                                   .is_folder = true,
                                   .storage = storage,
                                   .write = write,
                                   .verify = verify,
                                   .size = size,
                                   .is_mixed = true,
                                   .holds_supers = true,
                                   .holds_values = true};
