/* Part of ar_quant.h: scales at the end (quant/engine/finish.c, docs/frozen.md). */
#ifndef AR_FINISH_H
#define AR_FINISH_H
#include "ar_backend.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef struct ar_model ar_model;
typedef struct ar_observer ar_observer;
typedef struct ar_qlinear ar_qlinear;
typedef struct ar_quant_cost ar_quant_cost;
typedef struct ar_samples ar_samples;

/* What the values at the end lower, in nats a position: the divergence of the logits from the float model's,
 * or the samples' own cross-entropy. */
typedef enum ar_finish_loss { AR_FINISH_KL, AR_FINISH_CE } ar_finish_loss;
typedef struct ar_finish_desc {
    int32_t steps; /* 0 = 60; of scales between norms and linears 100 */
    double rate;   /* of Adam's longest step; 0 = .002, of those .02 */
    ar_finish_loss loss;
    ar_acts_scheme acts; /* of inputs; ar_finish_channels alone */
    uint64_t seed;
    const char *spill_dir; /* as in ar_quant_desc */
    uint64_t spill_above_bytes;
} ar_finish_desc;
/* Losses on the samples held out (the last eighth, at most 8; of one sample that one). */
typedef struct ar_finish_report {
    double loss_first, loss_best, seconds;
    int32_t best_step, step_count; /* best_step 0: nothing is better than the start, which stays */
    uint64_t device_bytes;
    int64_t parameters;    /* that were moved */
    uint64_t weights_hash; /* ar_finish_channels: of the blocks' weights, before and after */
} ar_finish_report;
/* Tunes the scales of a quantized model (minima too, d and dmin of double-quantized linears) by Adam along
 * the gradient of the loss, codes staying as they are; what was best on the samples held out, maybe the
 * start, stands in linears (block_count, AR_MAX_LINEARS), NULL = float, then. Errors: ARG without samples;
 * UNSUPPORTED for extras; INTERRUPTED; FORMAT for logits that are not finite or scales fp16 does not hold. */
ar_status ar_finish_scales(ar_finish_report *report, ar_qlinear *const *linears, const ar_model *model,
                           ar_device *device, const ar_samples *samples, const ar_finish_desc *desc,
                           const ar_observer *observer);
/* Quadapter's second phase (arXiv 2211.16912, docs/quadapter.md): tunes the scales between norms and linears
 * that linears have as AR_SCALE_EXTRA, straight through the quantizers of weights, which are rounded to
 * nearest, and of inputs by the static ranges (AR_ACTS_EXTRA) that they have. What was best on the samples
 * held out replaces scales and codes in linears; ranges and the weights themselves stay. Errors: ARG without
 * samples, static ranges or, of CE, a second token; CHECK where the weights did not stay; INTERRUPTED, FORMAT
 * as above. */
ar_status ar_finish_channels(ar_finish_report *report, ar_qlinear *const *linears, const ar_model *model,
                             ar_device *device, const ar_samples *samples, const ar_finish_desc *desc,
                             const ar_observer *observer);

/* FLOPs of the former two (channels: the second) with so many samples of T tokens, steps as in the
 * description, and seconds at the pace that c has of tuning; 0 where that tunes nothing. */
void ar_finish_cost(double *flops, double *seconds, const ar_quant_cost *c, const ar_model *model,
                    const ar_samples *samples, int32_t steps, bool channels);

#ifdef __cplusplus
}
#endif
#endif
