/* What tuning lowers. */
#ifndef AR_QUANT_LOSS_H
#define AR_QUANT_LOSS_H
#include "ar_backend.h"

/* Records *loss (1) f32 of what the last block of a unit gives, y (N, hidden), against its target (N, hidden)
 * on the float chain; the graph finds its gradient. weight (N): what a position counts, at least 0. */
typedef struct ar__loss {
    const char *name;
    ar_status (*record)(ar_graph *g, ar_tensor **loss, ar_tensor *y, const ar_tensor *target,
                        const ar_tensor *weight);
    /* Not of the unit but of each tuned linear by itself, added up: y is what it gives, target what its float
     * weights would give of the same inputs; no gradient passes from one linear to another. */
    bool is_local;
} ar__loss;

/* sum weight (y - target)^2 / (N hidden): ar_op_mse */
extern const ar__loss ar__loss_block_mse;
/* The same of each linear. */
extern const ar__loss ar__loss_linear_mse;
#endif
