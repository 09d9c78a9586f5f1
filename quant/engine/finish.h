/* What follows the last block's codes: a few values of a whole model moved along the gradient of a loss of
 * its logits. finish.c goes through samples, steps and selection; what moves is a goal (finish_scales.c,
 * finish_channels.c). */
#ifndef AR_QUANT_FINISH_H
#define AR_QUANT_FINISH_H
#include "engine.h"

#define AR__SCALE_STEPS   60  /* where the caller says nothing */
#define AR__CHANNEL_STEPS 100 /* likewise */

typedef struct ar__finish ar__finish;

typedef struct ar__finish_goal {
    const char *what; /* moves, for errors */
    int32_t steps;    /* where the caller says nothing */
    double rate;      /* likewise: of Adam */
    /* Of block b, whose float weights are at f->weights[b]: keeps what it needs, of the linears
     * (AR_MAX_LINEARS) that the method delivered. */
    ar_status (*take)(void *ctx, ar__finish *f, int32_t b);
    /* Records block b; with gradients, what they come to is added up on the way. */
    ar_status (*block)(void *ctx, const ar__finish *f, ar_graph *g, ar_tensor **y, ar_tensor *x, int32_t b,
                       bool gradients);
    /* Records Adam's step along what was added up, which is 0 again behind it. */
    ar_status (*update)(void *ctx, const ar__finish *f, ar_graph *g);
    /* Records that values are kept where improved is true. */
    ar_status (*keep)(void *ctx, const ar__finish *f, ar_graph *g, const ar_tensor *improved);
    /* Puts what was kept into the linears; nothing moved in the report's best step 0. */
    ar_status (*deliver)(void *ctx, const ar__finish *f, ar_finish_report *report);
} ar__finish_goal;

struct ar__finish {
    const ar__finish_goal *goal;
    void *ctx;
    const ar_finish_desc *desc;
    const ar_model *model;
    ar_device *device;
    const ar_samples *samples;
    ar_block_weights *weights; /* (block_count): norms, biases, and what the goal left of linears */
    ar_head head;
    ar_chain input, target;
    int32_t train, held, steps, batch; /* held: the last samples */
    int32_t at_once;                   /* samples: divides batch and those looked at */
    ar_tensor *in, *to, *labels, *step, *rates, *sum, *best, *history, *held_at;
    ar_graph *part, *update, *look, *choose;
};
ar_status ar__finish_run(ar_finish_report *report, const ar__finish_goal *goal, void *ctx,
                         const ar_model *model, ar_device *device, const ar_samples *samples,
                         const ar_finish_desc *desc, const ar_observer *observer);
#endif
