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

/* ---- channels_hook.c ---- */

/* What records a block with norms times exp(theta), what they feed divided by it, weights rounded to nearest
 * and inputs quantized; theta has gradients, straight through both. */
typedef struct ar__channels_hook {
    const ar_block_weights *weights;
    const int32_t *of;          /* as in ar__channels */
    ar_tensor *const *theta;    /* (AR_MAX_NORMS) of (I); NULL = that norm is not scaled */
    const bool *skip;           /* per linear: stays float, as its inputs do */
    const ar_scheme *schemes;   /* per linear */
    ar_acts_scheme acts;        /* inputs by the range that they have in the batch; or */
    const ar_acts_block *fixed; /* as this has them, with the gradient 1 in its range */
    const ar_tensor *seen;      /* own, as the rest: the last input that was quantized */
    ar_tensor *made;            /* and what came of it */
    ar_hook hook;
} ar__channels_hook;
/* The hook to use for one recording. Errors of it: those of the ops. */
const ar_hook *ar__channels_hook_init(ar__channels_hook *h);

/* ---- channels_learn.c, channels.c ---- */

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
