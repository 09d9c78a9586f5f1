/* How much each input of a linear counts: the mean square of what reaches it. */
#ifndef AR_QUANT_IMPORTANCE_H
#define AR_QUANT_IMPORTANCE_H
#include "core.h"

/* list[i] (I_i): the mean square of linear i's inputs, divided by its mean over i and at least 2^-20; NULL
 * where not wanted. Run the block forward through `hook` over the data (a last, incomplete batch counts its
 * old rows again), then finish. */
typedef struct ar__importance {
    ar_tensor *list[AR_MAX_LINEARS];
    const ar_block_weights *weights;
    ar_hook hook;
} ar__importance;
/* On failure deinit is due all the same. */
ar_status ar__importance_init(ar__importance *m, ar_device *device, const ar_block_weights *weights,
                              const bool *wanted);
ar_status ar__importance_finish(ar__importance *m);
void ar__importance_deinit(ar__importance *m);
#endif
