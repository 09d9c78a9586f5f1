/* Runs signround or rtn as the engine's description has it: what tests vary is a field of ar__tune_desc. */
#ifndef AR_TUNE_METHOD_H
#define AR_TUNE_METHOD_H
#include "loss.h"
#include "methods.h"
#include "trainable.h"
#include <stdio.h>
#include <string.h>

static inline void tune_options(ar_method_options *o, const ar__tune_desc *d) {
    ar_method_options_init(o, &ar__method_signround);
    ar_method_options_put(o, "iters", d->iters);
    ar_method_options_put(o, "batch", d->batch);
    ar_method_options_put(o, "lr", (double)d->lr);
    ar_method_options_put(o, "minmax_lr", (double)d->minmax_lr);
    ar_method_options_put(o, "minmax", !d->no_minmax);
    ar_method_options_put(o, "quantized_input", !d->no_quantized_input);
    ar_method_options_put(o, "select", d->select);
    ar_method_options_put(o, "heldout", d->heldout);
    ar_method_options_put(o, "loss", d->loss);
    ar_method_options_put(o, "optimizer", d->optimizer);
    ar_method_options_put(o, "state", d->state);
    ar_method_options_put(o, "seed", (double)d->seed);
    ar_method_options_put(o, "blocks", d->block_limit);
    if (d->window.blocks > 0) ar_method_options_put(o, "window_blocks", d->window.blocks);
    ar_method_options_put(o, "stride", d->window.stride);
    ar_method_options_put(o, "lookahead", d->window.ahead);
}

static inline ar_status tune_rounding(ar_block_report *report, float *history, const ar__tune_unit *unit,
                                      ar_device *device, const ar__tune_desc *desc,
                                      const ar_observer *observer) {
    const ar__goal goal = {&ar__trainable_rounding, &ar__loss_block_mse};
    return ar__tune(report, history, unit, &goal, device, desc, observer);
}

/* A given order is no option: with one, the walk is called as signround calls it. */
static inline ar_status tune_method(const char *method, const ar_model *model, ar_device *device,
                                    const ar_samples *samples, const ar__tune_desc *d, const ar_sink *sink,
                                    const ar_observer *observer) {
    if (d->order) return ar__walk_blocks(model, device, samples, d, sink, observer, tune_rounding);
    ar_method_options options;
    tune_options(&options, d);
    ar_quant_desc desc = {.scheme = d->scheme,
                          .choose = d->choose,
                          .choose_ctx = d->choose_ctx,
                          .spill_dir = d->spill_dir,
                          .spill_above_bytes = d->spill_above_bytes,
                          .options = strcmp(method, "signround") == 0 ? &options : NULL};
    return ar_method_find(method)->run(model, device, samples, &desc, sink, observer);
}
#endif
