/* A Llama of any size whose weights are computed when read: nothing is stored, so it can be larger than
 * memory. */
#ifndef AR_RANDOM_MODEL_H
#define AR_RANDOM_MODEL_H
#include "ar_host.h"

/* config names the sizes (family "llama"). Weights are uniform in +-sqrt(3 / I), norms 1. Errors: FORMAT,
 * MEMORY. */
ar_status ar_random_model_open(ar_open_model **m, const ar_config *config, uint64_t seed);
void ar_random_model_close(ar_open_model *m);
#endif
