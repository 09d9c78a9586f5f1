/* Generation of several sequences at once; ar_session is the case of one. */
#ifndef AR_SESSION_H
#define AR_SESSION_H
#include "ar_host.h"

typedef struct ar_decoder ar_decoder;
/* All weights and the key/value caches of B sequences of at most C tokens on the device. Errors: DEVICE_MEMORY. */
ar_status ar__decoder_create(ar_decoder **d, const ar_open_model *m, ar_device *device, int32_t B, int32_t C);
void ar__decoder_destroy(ar_decoder *d);
/* logits (B, V) after ids (B) at position pos, which every sequence has reached; NULL logits = only extend the
 * caches. */
ar_status ar__decoder_step(ar_decoder *d, float *logits, const int32_t *ids, int32_t pos);
#endif
