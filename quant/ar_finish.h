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
typedef struct ar_samples ar_samples;

typedef struct ar_finish_desc {
    int32_t steps; /* 0 = 60 */
    uint64_t seed;
    const char *spill_dir; /* as in ar_quant_desc */
    uint64_t spill_above_bytes;
} ar_finish_desc;
/* Divergences of the logits from the float model's on the samples held out (the last eighth, at most 8; of
 * one sample that one), in nats a position. */
typedef struct ar_finish_report {
    double kl_first, kl_best, seconds;
    int32_t best_step, step_count;
    uint64_t device_bytes;
} ar_finish_report;
/* Tunes the scales of a quantized model (minima too, d and dmin of double-quantized linears) by Adam along
 * the gradient of that divergence, codes staying as they are; what was best on the samples held out, maybe
 * the start, stands in linears (block_count, AR_MAX_LINEARS), NULL = float, then. Errors: ARG without
 * samples; UNSUPPORTED for extras; INTERRUPTED; FORMAT for logits that are not finite or scales fp16 does not
 * hold. */
ar_status ar_finish_scales(ar_finish_report *report, ar_qlinear *const *linears, const ar_model *model,
                           ar_device *device, const ar_samples *samples, const ar_finish_desc *desc,
                           const ar_observer *observer);

#ifdef __cplusplus
}
#endif
#endif
