/* Scales alpha between norms and the linears that they feed, as Quadapter has them (arXiv 2211.16912,
 * docs/quadapter.md): norm' = alpha norm, W' = W / alpha column by column, which changes nothing until inputs
 * or weights are quantized. The weights themselves stay. */
#ifndef AR_QUANT_CHANNELS_H
#define AR_QUANT_CHANNELS_H
#include "engine.h"

/* Of one block. Zeros are none; deinit in any case. */
typedef struct ar__channels {
    int32_t of[AR_MAX_LINEARS]; /* the norm before linear i; -1 = it is not scaled */
    float *alpha[AR_MAX_NORMS]; /* (I), owned, positive; NULL = that norm is not scaled */
} ar__channels;
void ar__channels_deinit(ar__channels *c);
/* Finds alpha for the one tuned block of the unit, whose input is the float chain: from desc->scaling in
 * desc->iters steps of Adam on theta = log alpha at rate desc->lr, along the error of the block's output with
 * inputs and weights quantized, each input by the range that it has in the batch. The state of the least
 * held-out error is taken, as desc->select says. report and history (iters) as in ar__tune. Errors: FORMAT
 * where no loss is finite; INTERRUPTED, DEVICE_MEMORY where a batch does not fit, MEMORY, the device's. */
ar_status ar__channels_learn(ar__channels *c, ar_block_report *report, float *history,
                             const ar__tune_unit *unit, ar_device *device, const ar__tune_desc *desc,
                             const ar_observer *observer);
/* Puts alpha into the weights on the device, with the bits that AR_SCALE_EXTRA's reader gives a file. */
ar_status ar__channels_fold(const ar__channels *c, const ar_block_weights *w);
/* Whether the block still gives what it gave, but for roundings. Errors: CHECK. */
ar_status ar__channels_check(const ar_chain *target, const ar_chain *found, const ar_block *block);
/* Adds alpha to the results of the linears that are there. */
ar_status ar__channels_deliver(const ar__channels *c, ar_qlinear *const *list, const ar_block *block);
#endif
