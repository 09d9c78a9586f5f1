/* LoRC (arXiv 2303.08302): what a quantization leaves over of the weights, by matrices of small rank. */
#ifndef AR_LORC_H
#define AR_LORC_H
#include "adapter.h"

/* Writes the adapter of W - W' for every quantized linear of src, as it was quantized by whatever method, and
 * reads it back. *share: what is left of the sum of squares of all W - W'. Errors: USAGE where nothing is
 * quantized; UNSUPPORTED for a model or a factor that the file has no form for; CHECK; IO; INTERRUPTED. */
ar_status ar__lorc_write(const char *path, double *share, const ar_write_source *src, int32_t rank,
                         const ar_observer *observer);
#endif
