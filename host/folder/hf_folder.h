/* Writing a Hugging Face folder: config.json with changes, the tokenizer's files, model.safetensors in
 * shards. The folder appears under its name only when it is complete. */
#ifndef AR_HF_FOLDER_H
#define AR_HF_FOLDER_H
#include "formats.h"
#include <cjson/cJSON.h>

#define AR_HF_NAME 200
/* Among the metadata of our tensors: only a folder of ours may be replaced. */
#define AR_HF_WRITER_KEY "writer"
#define AR_HF_WRITER     "anyround"
extern const char *const ar__hf_copied[]; /* the files taken over from a source that is a folder; NULL ends */

/* How a format stores one quantized linear: up to 8 tensors P.<suffix>, made in memory. */
typedef struct ar_hf_tensor {
    char suffix[24], dtype[8];
    int32_t dim_count;
    int64_t dims[2];
    void *data;
    size_t bytes;
} ar_hf_tensor;
typedef struct ar_hf_tensors {
    ar_hf_tensor list[8];
    int32_t count;
} ar_hf_tensors;

typedef struct ar_hf_layout {
    const char *float_dtype; /* dtype of tensors that stay float; NULL = as in the source */
    /* Declares (data NULL, bytes set) the tensors of a linear of shape (O, I). */
    ar_status (*declare)(ar_hf_tensors *out, const ar_scheme *scheme, int64_t O, int64_t I, const void *ctx);
    /* Fills them: each data is malloc'ed here and freed by the caller. */
    ar_status (*fill)(ar_hf_tensors *out, const ar_qlinear *q, const void *ctx);
    /* Edits config.json's root: adds quantization_config, sets the dtype. */
    ar_status (*config)(cJSON *root, const ar_write_source *src, const void *ctx);
    const void *ctx;
    bool as_source;       /* the one tensor is F32 and laid out as a float one: (I, O) for a Conv1D */
    uint64_t shard_bytes; /* a file of tensors grows no larger, unless by its first; 0 = 5 GB */
} ar_hf_layout;

/* Replaces an older output at path, which stays as it was until the new one is complete. Errors: IO also when
 * something else is there: a file, the source itself, a folder with anything that we did not write (the
 * metadata of tensors say who did);
 * UNSUPPORTED: a value has no finite F16, or the source is a file and its family's config.json or its
 * tokenizer cannot be made. */
ar_status ar__hf_folder_write(const char *path, const ar_write_source *src, const ar_hf_layout *layout);
/* What that would write; files of JSON are estimated by the source's. Errors: IO, MEMORY. */
ar_status ar__hf_folder_size(ar_output_size *size, const ar_write_source *src, const ar_hf_layout *layout);
/* Those of these errors that can be told beforehand: before hours of tuning. */
ar_status ar__hf_folder_check(const char *path, const char *model_path);
/* Puts the complete folder `made` in the place of path; what was there is removed last. */
ar_status ar__hf_folder_place(const char *path, const char *made);
/* "model.layers.3.self_attn.q_proj" of linear i of a block. */
void ar__hf_linear_name(char out[AR_HF_NAME], const ar_block *block, int32_t i);
/* *values (O, I), malloc'ed f32, becomes (I, O). Errors: MEMORY. */
ar_status ar__hf_transpose(void **values, int64_t O, int64_t I);
/* A float weight that a folder holds the other way round than the source: (I, O), a Conv1D's. */
bool ar__hf_is_turned(const ar_open_model *m, const char *weight);
/* Is the weight one that the source gives codes of? */
bool ar__hf_is_coded(const ar_write_source *src, const char *weight);
/* What a float tensor is stored as: `wanted`, or where that is NULL its own type, F32 where it has another.
 */
const char *ar__hf_float_dtype(const ar_weight *w, const char *wanted);
/* CHECK unless tensor index of w holds the very values of q, or their transpose. */
ar_status ar__hf_compare_values(const ar_weights *w, int64_t index, const char *name, const ar_qlinear *q,
                                bool transposed);
/* Compares every linear of the source with what w gives: dequantized rows bit for bit, and codes, scales and
 * zeros when codes is set; without codes, w is laid out as a float folder. CHECK names the first difference.
 */
ar_status ar__hf_verify_linears(const ar_weights *w, const char *path, const ar_write_source *src,
                                bool codes);
/* Is there a folder at path whose config.json has that model_type? */
bool ar__hf_is_type(const char *path, const char *type);
/* Files of the folder dir; read back, CHECK names the first byte that differs. */
ar_status ar__hf_write_text(const char *dir, const char *name, const char *text);
ar_status ar__hf_write_json(const char *dir, const char *name, const cJSON *root);
/* Takes over the files ar__hf_copied that the source, a folder, has. */
ar_status ar__hf_copy_files(const char *path, const ar_write_source *src);
/* CHECK unless the files taken over from a source that is a folder (ar__hf_copied) are in path as they are
 * there. */
ar_status ar__hf_verify_copies(const char *path, const ar_write_source *src);
/* The same for every tensor that has no codes, stored as ar__hf_float_dtype says of float_dtype. */
ar_status ar__hf_verify_floats(const ar_weights *w, const char *path, const ar_write_source *src,
                               const char *float_dtype);
/* Compares values read back with those they were rounded from, to F32, F16 or BF16. CHECK names the first
 * difference. */
ar_status ar__hf_compare_rounded(const float *got, const float *from, int64_t count, ar_dtype dtype,
                                 const char *path, const char *name);
#endif
