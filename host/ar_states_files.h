/* Part of ar_host.h: nets of few states (docs/maqd.md). Shapes and errors as there. */
#ifndef AR_STATES_FILES_H
#define AR_STATES_FILES_H
#include "ar_quant.h"
#ifdef __cplusplus
extern "C" {
#endif

/* The whole numbers of a net that `anyround train --recipe maqd` left in folder; ar_states_classify runs
 * them. Errors: FORMAT names key or tensor, found and expected; IO, MEMORY. */
ar_status ar_states_open(ar_states_model *m, const char *folder);
/* Bytes that its file takes without its header: codes packed, folded norms in f32. */
int64_t ar_states_bytes(const ar_states_model *m);

#ifdef __cplusplus
}
#endif
#endif
