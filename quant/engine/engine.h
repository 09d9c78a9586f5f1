/* The tuning engine and the walk over a model's blocks; methods configure them. */
#ifndef AR_QUANT_ENGINE_H
#define AR_QUANT_ENGINE_H
#include "core.h"

/* What the engine is told of a run. */
typedef ar_quant_desc ar__tune_desc;

/* ---- tune.c: the tuning engine; methods configure it ---- */

typedef struct ar__tuned_block {
    const ar_block_weights *weights; /* float weights on the device */
    const bool *skip;                /* per linear: stays float */
    const ar_scheme *schemes;        /* per linear */
    ar_tensor *const *importance;    /* per linear: of its inputs, for double-quantized schemes; NULL = 1 */
    ar_qlinear *q;                   /* per linear: the result, initialised where !skip[i] */
} ar__tuned_block;

/* One unit of tuning: blocks tuned together, and float blocks behind them through which their error is seen
 * (look-ahead). */
typedef struct ar__tune_unit {
    const ar__tuned_block *tuned;
    const ar_block_weights *const *frozen;
    int32_t tuned_count, frozen_count; /* at least 1; 0 = none */
    const ar_chain *input;     /* what the first tuned block sees: the quantized chain, or the float one */
    const ar_chain *target;    /* the float chain behind the last block */
    const ar_samples *samples; /* for the mask */
} ar__tune_unit;

/* What stands in the weights' place, and what it lowers: trainable.h, loss.h. */
typedef struct ar__goal {
    const struct ar__trainable *trainable;
    const struct ar__loss *loss;
} ar__goal;

/* Tunes one unit and delivers the kept state in its q. report and history (iters), which report->history
 * names, are the unit's. Errors: any. */
ar_status ar__tune(ar_block_report *report, float *history, const ar__tune_unit *unit, const ar__goal *goal,
                   ar_device *device, const ar__tune_desc *desc, const ar_observer *observer);

/* ---- rounding.c ---- */

/* The units of one linear's offsets and coefficients under desc->lr and minmax_lr, or what stands for them.
 */
ar_fq_desc ar__linear_units(const ar__tune_desc *desc, const ar_scheme *scheme);

/* ---- sampler.c: which samples each step sees ---- */

/* order (iters, batch): indices below count, shuffled anew for every pass over the samples (the last
 * incomplete slice of a pass is not used), keyed by (seed, block). */
ar_status ar__sample_order(int32_t *order, int32_t iters, int32_t batch, int32_t count, uint64_t seed,
                           int32_t block);

/* ---- walk.c: the walk of all block-by-block methods ---- */

/* What a method does with a unit: fills the q of its tuned blocks, as ar__tune does. */
typedef ar_status (*ar__block_method)(ar_block_report *report, float *history, const ar__tune_unit *unit,
                                      ar_device *device, const ar__tune_desc *desc,
                                      const ar_observer *observer);
/* How many blocks are tuned together, by how many the window moves on (what it does not move past is tuned
 * anew, from the start), and how many float blocks behind it the loss looks through: 1, 1, 0 is block by
 * block. */
typedef struct ar__window {
    int32_t blocks, stride, ahead; /* 1 <= stride <= blocks, 0 <= ahead */
} ar__window;
/* As ar__walk_blocks, window by window; each block is delivered once, with its last window's report. Errors:
 * also ARG for a window out of bounds. */
ar_status ar__walk_windows(const ar_model *model, ar_device *device, const ar_samples *samples,
                           const ar__tune_desc *desc, const ar_sink *sink, const ar_observer *observer,
                           ar__block_method method, const ar__window *window);
/* Walks the blocks: float chain, quantized chain, tune (method NULL = rtn), deliver to sink. */
ar_status ar__walk_blocks(const ar_model *model, ar_device *device, const ar_samples *samples,
                          const ar__tune_desc *desc, const ar_sink *sink, const ar_observer *observer,
                          ar__block_method method);
#endif
