/* The tuning engine and the walk over a model's blocks; methods configure them. */
#ifndef AR_QUANT_ENGINE_H
#define AR_QUANT_ENGINE_H
#include "core.h"

/* ---- tune.c: the tuning engine; methods configure it ---- */

/* One unit of tuning: a block, its two inputs and its float target. */
typedef struct ar__tune_unit {
    const ar_block *block;
    ar_block_weights *weights;    /* float weights on the device */
    const ar_chain *input;        /* what the tuned block sees: the quantized chain, or the float one */
    const ar_chain *target;       /* block(float chain) */
    const ar_samples *samples;    /* for the mask */
    const bool *skip;             /* per linear: stays float */
    const ar_scheme *schemes;     /* per linear */
    ar_tensor *const *importance; /* per linear: of its inputs, for double-quantized schemes; NULL = 1 */
} ar__tune_unit;

/* SignRound on one unit: tunes V and the min/max coefficients, returns the kept state's codes in q[i] (an
 * initialised ar_qlinear where !skip[i]). report->history is filled into history (iters). Errors: any. */
ar_status ar__tune_block(ar_qlinear *q, ar_block_report *report, float *history, const ar__tune_unit *unit,
                         ar_device *device, const ar_quant_desc *desc, const ar_observer *observer);
/* The units of one linear's offsets and coefficients under desc->lr and minmax_lr, or what stands for them.
 */
ar_fq_desc ar__linear_units(const ar_quant_desc *desc, const ar_scheme *scheme);
/* ---- sampler.c: which samples each step sees ---- */

/* order (iters, batch): indices below count, shuffled anew for every pass over the samples (the last
 * incomplete slice of a pass is not used), keyed by (seed, block). */
ar_status ar__sample_order(int32_t *order, int32_t iters, int32_t batch, int32_t count, uint64_t seed,
                           int32_t block);

/* ---- walk.c: the walk of all block-by-block methods ---- */

typedef ar_status (*ar__block_method)(ar_qlinear *q, ar_block_report *report, float *history,
                                      const ar__tune_unit *unit, ar_device *device, const ar_quant_desc *desc,
                                      const ar_observer *observer);
/* Walks the blocks: float chain, quantized chain, tune (method NULL = rtn), deliver to sink. */
ar_status ar__walk_blocks(const ar_model *model, ar_device *device, const ar_samples *samples,
                          const ar_quant_desc *desc, const ar_sink *sink, const ar_observer *observer,
                          ar__block_method method);
#endif
