/* rtn: round to nearest. Every weight is quantized from its own numbers, no calibration (V = 0, coefficients
 * 1; docs/methods.md). The floor every other method has to beat. */
#include "measure.h"
#include "methods.h"

static ar_status run(const ar_model *model, ar_device *device, const ar_samples *samples,
                     const ar_quant_desc *desc, const ar_sink *sink, const ar_observer *observer) {
    (void)samples;
    ar__tune_desc walk = {.scheme = desc->scheme, .choose = desc->choose, .choose_ctx = desc->choose_ctx};
    return ar__walk_blocks(model, device, NULL, &walk, sink, observer, NULL);
}

static ar_status measure(ar_quant_cost *cost, const ar_model *model, ar_device *device,
                         const ar_samples *samples, const ar_quant_desc *desc, const ar_observer *observer) {
    (void)samples;
    ar__tune_desc walk = {.scheme = desc->scheme, .choose = desc->choose, .choose_ctx = desc->choose_ctx};
    return ar__measure(cost, model, device, NULL, &walk, NULL, observer);
}

const ar_method ar__method_rtn = {.name = "rtn",
                                  .help = "round to nearest; no calibration data",
                                  .run = run,
                                  .needs = AR_NEEDS_NOTHING,
                                  .measure = measure};
