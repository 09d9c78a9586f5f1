/* The error of every linear by itself: of what it gives in the quantized block, against what its float
 * weights would give of the same inputs. The engine adds them up (tune.c, tuned_linear). */
#include "loss.h"

static ar_status record(ar_graph *g, ar_tensor **loss, ar_tensor *y, const ar_tensor *target,
                        const ar_tensor *weight) {
    return ar_op_mse(g, loss, y, target, weight);
}

const ar__loss ar__loss_linear_mse = {"linear_mse", record, true};
