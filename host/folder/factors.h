/* Corrections of small rank as tensors beside a folder's weights (docs/lorc.md). */
#ifndef AR_FACTORS_H
#define AR_FACTORS_H
#include "adapter.h"

#define AR__FACTORS_FILE "lorc.safetensors" /* in folders; read with the model */

/* Writes the parts of a, rounded to `bits` (8 or 16) already: P.lorc_a (rank, I) and P.lorc_b (O, rank) for
 * every linear P, F16, or I8 with F16 scales P.lorc_a_scale and P.lorc_b_scale (rank). Errors: IO, MEMORY. */
ar_status ar__factors_write(const char *path, const ar_adapter *a, const ar_model *m, int32_t bits);
/* Reads them for a model, whose linears name the tensors; untrusted input. Errors: FORMAT names the tensor
 * that is missing, of another shape or type, not finite, or of no linear; IO, MEMORY. *a is NULL then. */
ar_status ar__factors_read(ar_adapter **a, const char *path, const ar_model *m);
/* The same for a file that may be one: *is = false for one that does not begin as safetensors does. */
ar_status ar__factors_is_file(bool *is, const char *path);
#endif
