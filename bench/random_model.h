/* A Llama of any size whose weights are computed when read: nothing is stored, so it can be larger than
 * memory. */
#ifndef AR_RANDOM_MODEL_H
#define AR_RANDOM_MODEL_H
#include "ar_host.h"

/* config names the sizes (family "llama"). Weights are uniform in +-sqrt(3 / I), norms 1. Errors: FORMAT,
 * MEMORY. */
ar_status ar_random_model_open(ar_open_model **m, const ar_config *config, uint64_t seed);
/* The same with matrices stored as type, not GROUP: random blocks, whose values are any finite numbers.
 * Errors: also SHAPE (rows that are no whole blocks). */
ar_status ar_random_model_open_as(ar_open_model **m, const ar_config *config, ar_qtype type, uint64_t seed);
/* Whether one of these made m. */
bool ar_random_model_is(const ar_open_model *m);
void ar_random_model_close(ar_open_model *m);
#endif
