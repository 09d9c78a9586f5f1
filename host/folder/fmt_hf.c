/* hf: an ordinary float Hugging Face folder, F32, F16 or BF16; `convert` writes it. Nothing in it is
 * quantized. */
#include "hf_folder.h"
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES ((int64_t)8 << 20)

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
    (void)src;
    cJSON_DeleteItemFromObjectCaseSensitive(root, "quantization_config");
    cJSON_DeleteItemFromObjectCaseSensitive(root, key);
    ar_json_add_string(root, key, ctx);
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

/* A Conv1D's float product (I, O) against the source's (O, I). */
static ar_status verify_turned(const ar_weights *w, const ar_weights *from, int64_t i, const char *path,
                               ar_dtype dtype) {
    const ar_weight *t = from->vtable->at(from->impl, i);
    int64_t O = t->dims[0], I = t->dims[1], index = ar_weights_find(w, t->name);
    float *want = ar__alloc((size_t)O * 2 + 1, (size_t)I * sizeof *want), *got = want ? want + O * I : NULL;
    ar_status status = want ? from->vtable->read(from->impl, want, i, 0, O) : AR_ERR_MEMORY;
    float *row = want ? got + O * I : NULL; /* (I): one of want, put together from what was written */
    if (status == AR_OK) status = w->vtable->read(w->impl, got, index, 0, I);
    for (int64_t o = 0; status == AR_OK && o < O; o++) {
        for (int64_t k = 0; k < I; k++) row[k] = got[k * O + o];
        status = ar__hf_compare_rounded(row, want + o * I, I, dtype, path, t->name);
    }
    free(want);
    return status;
}

/* Tensor i of the source against what was written of it. */
static ar_status verify_tensor(const ar_weights *w, const ar_write_source *src, int64_t i, const char *path,
                               ar_dtype dtype) {
    const ar_open_model *m = src->model;
    const ar_weights *from = &m->weights;
    const ar_weight *t = from->vtable->at(from->impl, i);
    bool is_turned = ar__hf_is_turned(m, t->name);
    int64_t index = ar_weights_find(w, t->name), rows = t->dim_count > 1 ? t->dims[0] : 1, width = 1;
    for (int32_t d = t->dim_count > 1 ? 1 : 0; d < t->dim_count; d++) width *= t->dims[d];
    if (index < 0) return ar__fail(AR_ERR_CHECK, "%s: tensor %s missing after writing", path, t->name);
    if (is_turned) return verify_turned(w, from, i, path, dtype);
    int64_t step = CHUNK_BYTES / (4 * width + 4) + 1;
    if (step > rows) step = rows;
    float *values = ar__alloc((size_t)step * 2, (size_t)width * sizeof *values);
    ar_status status = values ? AR_OK : AR_ERR_MEMORY;
    for (int64_t row = 0; row < rows && status == AR_OK; row += step) {
        int64_t n = rows - row < step ? rows - row : step;
        float *got = values + n * width;
        status = from->vtable->read(from->impl, values, i, row, n);
        if (status == AR_OK) status = w->vtable->read(w->impl, got, index, row, n);
        if (status == AR_OK) status = ar__hf_compare_rounded(got, values, n * width, dtype, path, t->name);
        if (status == AR_OK) status = ar__source_advance(src, n * width);
    }
    free(values);
    return status;
}

static ar_status verify(const char *path, const ar_write_source *src) {
    ar_weights w = {0};
    int32_t k;
    AR_TRY(find_dtype(&k, src->plan));
    AR_TRY(ar_weights_open_safetensors(&w, path));
    ar_status status = AR_OK;
    const ar_weights *from = &src->model->weights;
    for (int64_t i = 0; status == AR_OK && i < from->vtable->count(from->impl); i++)
        status = verify_tensor(&w, src, i, path, k == 0 ? AR_F32 : k == 1 ? AR_F16 : AR_BF16);
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
