/* What quantizing takes, measured: the walk over a model's first window and the block behind it, the window
 * tuned for a few steps as if there were all the samples, the other rounded to nearest. */
#ifndef AR_QUANT_MEASURE_H
#define AR_QUANT_MEASURE_H
#include "engine.h"

/* cost of ar__walk_blocks(model, device, samples, desc, ..., method): with samples a method that calls
 * ar__tune; without, any, NULL = every block is rounded to nearest. desc says what samples->count comes to
 * (ar__sample_split_make). Tells observer stage "measure" when the most memory is in use. Errors: those of
 * the walk, INTERRUPTED. */
ar_status ar__measure(ar_quant_cost *cost, const ar_model *model, ar_device *device,
                      const ar_samples *samples, const ar__tune_desc *desc, ar__block_method method,
                      const ar_observer *observer);
#endif
