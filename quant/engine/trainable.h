/* What is tuned in place of a linear's weight: one file and one row in trainables.def each. */
#ifndef AR_QUANT_TRAINABLE_H
#define AR_QUANT_TRAINABLE_H
#include "engine.h"
#include "optimizer.h"

/* One linear of a tuned block. */
typedef struct ar__site {
    const ar_tensor *weight;     /* (O, I) f32 on the device */
    const ar_tensor *importance; /* (I), of its inputs; NULL = 1 */
    ar_scheme scheme;
    const ar_qlinear *start; /* codes to start from, in that scheme; NULL = the trainable's own start */
} ar__site;

/* What every site of a unit shares. */
typedef struct ar__training {
    ar_device *device;
    const ar__tune_desc *desc;
    const ar__optimizer *optimizer;
    bool keeps_best; /* deliver gives what keep kept; else the last state */
} ar__training;

/* In call order; `state` is the trainable's own, of any kind. training and site outlive it. */
typedef struct ar__trainable {
    const char *name;
    /* What the block sees during a step is not what would be delivered: a step's own loss selects nothing,
     * and without held-out samples the last state is kept. */
    bool is_soft;
    bool from_nearest; /* it starts from round to nearest: ar__starts_nearest */
    /* Errors: USAGE for what it cannot do under desc. */
    ar_status (*check)(const ar__tune_desc *desc);
    /* Tensors of one site, where tuning starts. On failure destroy is due for a *state that is not NULL. */
    ar_status (*create)(void **state, const ar__training *training, const ar__site *site);
    /* Records what is computed once, before the first step. */
    ar_status (*start)(void *state, ar_graph *g);
    /* Records *W (O, I): what the block sees in the weight's place; needs a gradient unless it is to be what
     * would be delivered. *memo: what update wants to see again, of the same graph; may be NULL. */
    ar_status (*replace)(const void *state, ar_graph *g, ar_tensor **W, ar_tensor **memo, bool delivered);
    /* Records one step along the gradient dW (O, I) of *W; any positive factor of it may be lost. */
    ar_status (*update)(void *state, ar_graph *g, const ar_tensor *dW, const ar_tensor *memo);
    /* Records the snapshot that is taken where improved (ar_op_best) says so. */
    ar_status (*keep)(void *state, ar_graph *g, const ar_tensor *improved);
    /* Fills the initialised q. */
    ar_status (*deliver)(ar_qlinear *q, const void *state);
    /* Where windows overlap: what another unit is to go on from becomes extras of the delivered q; and, after
     * start, a state goes on from there, its optimizer anew. */
    ar_status (*leave)(ar_qlinear *q, const void *state);
    ar_status (*resume)(void *state, const ar_qlinear *q);
    void (*destroy)(void *state);
    /* What the host does before each step, with nothing of the last one under way; NULL = nothing. */
    ar_status (*before_step)(void *state, int32_t step);
    /* After start, where a site has codes to start from: they are what would be delivered now. NULL = it
     * knows no such start. */
    ar_status (*adopt)(void *state);
    /* update along dW = dy^T x, dy (N, O), x (N, I), where that needs no dW: *taken. NULL = it always does.
     */
    ar_status (*update_product)(void *state, ar_graph *g, bool *taken, const ar_tensor *dy,
                                const ar_tensor *x, const ar_tensor *memo);
} ar__trainable;

#define AR_TRAINABLE(name) extern const ar__trainable ar__trainable_##name;
#include "trainables.def"
#undef AR_TRAINABLE
/* For leave and resume: a tensor of a state as an extra, and back. Errors: FORMAT where q has none like it.
 */
ar_status ar__leave_tensor(ar_qlinear *q, const char *name, const ar_tensor *t);
ar_status ar__resume_tensor(ar_tensor *t, const ar_qlinear *q, const char *name);
/* Whether tuning of a site starts from round to nearest: not where the start is searched, or weighted by
 * importance as double-quantized schemes have it. */
bool ar__starts_nearest(const ar__trainable *trainable, const ar__site *site);
/* Records *W (O, I), the site's weight rounded to nearest as method rtn does: with the same bits. */
ar_status ar__record_nearest(ar_graph *g, ar_tensor **W, const ar__site *site);
/* weights.c: the first step of a weight where none is given, in root mean squares of its linear: all of them
 * take it about half a step of its scale far. */
double ar__weight_rate(int32_t iters, int32_t bits);
/* The rows by index; NULL past the end. */
const ar__trainable *ar__trainable_at(int32_t index);
#endif
