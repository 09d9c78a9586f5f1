/* rtn: round to nearest. Every weight is quantized from its own numbers, no calibration (V = 0, coefficients
 * 1; docs/methods.md). The floor every other method has to beat. */
#include "methods.h"

static ar_status run(const ar_model *model, ar_device *device, const ar_samples *samples,
                     const ar_quant_desc *desc, const ar_sink *sink, const ar_observer *observer) {
    (void)samples;
    return ar__walk_blocks(model, device, NULL, desc, sink, observer, NULL);
}

const ar_method ar__method_rtn = {"rtn", "round to nearest; no calibration data", false, run, NULL};
