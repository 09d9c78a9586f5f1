/* signround: rounding offsets and clip ranges tuned block by block with signed gradient descent (Cheng et
 * al., arXiv 2309.05516). For each decoder block, in order: target  y  = block(x_float) float chain predict
 * y' = block_W'(x_quantized)              W' = fake_quant(W; V, min, max), straight-through gradients loss =
 * mean (y' - y)^2, masked; p <- p - lr_t sign(dloss/dp), lr_t = lr (1 - t/T) The best state is kept, taken
 * after the loss and before the update; the block's codes go to the sink and the quantized chain moves on
 * through W'. iters = 0 is rtn. The engine is tune.c, what is tuned rounding.c; this file
 * only configures them. */
#include "loss.h"
#include "methods.h"
#include "trainable.h"

static ar_status tune_unit(ar_block_report *report, float *history, const ar__tune_unit *unit,
                           ar_device *device, const ar__tune_desc *desc, const ar_observer *observer) {
    const ar__goal goal = {&ar__trainable_rounding, &ar__loss_block_mse};
    return ar__tune(report, history, unit, &goal, device, desc, observer);
}

static ar_status run(const ar_model *model, ar_device *device, const ar_samples *samples,
                     const ar_quant_desc *desc, const ar_sink *sink, const ar_observer *observer) {
    if (desc->iters == 0) return ar__method_rtn.run(model, device, NULL, desc, sink, observer);
    if (!samples || samples->count < 1)
        return ar__fail(AR_ERR_ARG, "signround needs calibration samples: found none");
    return ar__walk_blocks(model, device, samples, desc, sink, observer, tune_unit);
}

const ar_method ar__method_signround = {"signround", "rounding and ranges tuned by signed gradient descent",
                                        true, run, NULL};
