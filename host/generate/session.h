/* Generation of several sequences at once; ar_session is the case of one.
 *   resident.c   the weights of a block on the device, and the hook that evaluates it with them
 *   decoder.c    caches and recorded steps
 *   session.c    one sequence with the prefix it has seen */
#ifndef AR_SESSION_H
#define AR_SESSION_H
#include "ar_host.h"

typedef struct ar_decoder ar_decoder;
/* All weights and the key/value caches of B sequences on the device. *C tokens each; 0 = as many as the model
 * knows and the memory holds, which is then told. Errors: DEVICE_MEMORY, saying for how many tokens there
 * would be room. */
ar_status ar__decoder_create(ar_decoder **d, const ar_open_model *m, ar_device *device, int32_t B,
                             int32_t *C);
void ar__decoder_destroy(ar_decoder *d);
/* Extends every sequence, which all have reached position pos, by T tokens: ids (B, T). logits (B, V) after
 * the last one; NULL = only extend the caches. */
ar_status ar__decoder_step(ar_decoder *d, float *logits, const int32_t *ids, int32_t T, int32_t pos);
/* The sequences are going to have so many tokens: long ones may turn otherwise (longrope). True = those
 * cached so far were turned otherwise and are to be taken in again. */
bool ar__decoder_set_length(ar_decoder *d, int64_t tokens);
/* Bytes of weights that one token reads. */
uint64_t ar__decoder_weight_bytes(const ar_decoder *d);
#endif
