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
} ar__loss;

/* sum weight (y - target)^2 / (N hidden): ar_op_mse */
extern const ar__loss ar__loss_block_mse;
#endif
