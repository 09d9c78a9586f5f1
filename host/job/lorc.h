/* LoRC (arXiv 2303.08302): what a quantization leaves over of the weights, by matrices of small rank. */
#ifndef AR_LORC_H
#define AR_LORC_H
#include "adapter.h"

typedef struct ar__lorc_desc {
    int32_t rank, bits; /* bits of a factor: 8 or 16 (ar__adapter_round) */
} ar__lorc_desc;
/* Can a file of this name hold factors of so many bits? Errors: USAGE. */
ar_status ar__lorc_accepts(const char *path, int32_t bits);
/* Has the model a linear of so high a rank? Errors: USAGE. */
ar_status ar__lorc_fits(const ar_model *m, int32_t rank);
/* Writes the adapter of W - W' for every quantized linear of src, as it was quantized by whatever method, and
 * reads it back: tensors where path ends in .safetensors, else GGUF. *share: what is left of the sum of
 * squares of all W - W'. Errors: USAGE where nothing is quantized, and as above; UNSUPPORTED for a model or a
 * factor that the file has no form for; CHECK; IO; INTERRUPTED. */
ar_status ar__lorc_write(const char *path, double *share, const ar_write_source *src,
                         const ar__lorc_desc *desc, const ar_observer *observer);
#endif
