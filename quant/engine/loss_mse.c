/* The error of a block's output, as SignRound takes it (arXiv 2309.05516), weighted by position. */
#include "loss.h"

static ar_status record(ar_graph *g, ar_tensor **loss, ar_tensor *y, const ar_tensor *target,
                        const ar_tensor *weight) {
    return ar_op_mse(g, loss, y, target, weight);
}

const ar__loss ar__loss_block_mse = {"block_mse", record, false};
