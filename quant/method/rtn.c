/* rtn: round to nearest. Every weight is quantized from its own numbers, no calibration (V = 0, coefficients
 * 1; docs/methods.md). The floor every other method has to beat. */
#include "ar_error.h"
#include "measure.h"
#include "methods.h"

/* Samples are looked at where the ranges of inputs are to be theirs. */
static ar_status describe(ar__tune_desc *walk, const ar_samples **samples, const ar_quant_desc *desc) {
    bool looks = ar__needs_ranges(&desc->acts);
    if (looks && (!*samples || (*samples)->count < 1))
        return ar__fail(AR_ERR_ARG, "static ranges of inputs need calibration samples: found none");
    if (!looks) *samples = NULL;
    *walk = (ar__tune_desc){.scheme = desc->scheme,
                            .choose = desc->choose,
                            .choose_ctx = desc->choose_ctx,
                            .spill_dir = desc->spill_dir,
                            .spill_above_bytes = desc->spill_above_bytes,
                            .acts = desc->acts,
                            .acts_share = desc->acts_share};
    return AR_OK;
}

static ar_status run(const ar_model *model, ar_device *device, const ar_samples *samples,
                     const ar_quant_desc *desc, const ar_sink *sink, const ar_observer *observer) {
    ar__tune_desc walk;
    AR_TRY(describe(&walk, &samples, desc));
    return ar__walk_blocks(model, device, samples, &walk, sink, observer, NULL);
}

static ar_status measure(ar_quant_cost *cost, const ar_model *model, ar_device *device,
                         const ar_samples *samples, const ar_quant_desc *desc, const ar_observer *observer) {
    ar__tune_desc walk;
    AR_TRY(describe(&walk, &samples, desc));
    return ar__measure(cost, model, device, samples, &walk, NULL, observer);
}

const ar_method ar__method_rtn = {.name = "rtn",
                                  .help = "round to nearest; no calibration data",
                                  .run = run,
                                  .needs = AR_NEEDS_NOTHING,
                                  .measure = measure};
