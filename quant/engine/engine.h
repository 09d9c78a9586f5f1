/* The tuning engine and the walk over a model's blocks; methods configure them. */
#ifndef AR_QUANT_ENGINE_H
#define AR_QUANT_ENGINE_H
#include "tap.h"

/* BATCH last: methods that do not know it offer the others. */
typedef enum ar_select { AR_SELECT_HELDOUT, AR_SELECT_LAST, AR_SELECT_BATCH } ar_select;
typedef enum ar_optimizer { AR_OPTIMIZER_SIGN, AR_OPTIMIZER_ADAM } ar_optimizer;
/* How far outlier positions rule the loss: bits (positions.h). */
typedef enum ar_loss {
    AR_LOSS_PLAIN = 0, /* every position counts 1 */
    AR_LOSS_ROOT = 1,  /* as the root of its energy's share of the median */
    AR_LOSS_SHIFT = 2, /* an outlying error at the input stays in the target */
    AR_LOSS_ROOT_SHIFT = AR_LOSS_ROOT | AR_LOSS_SHIFT
} ar_loss;
typedef enum ar_state_kind { AR_STATE_AUTO, AR_STATE_F32, AR_STATE_I32, AR_STATE_I16 } ar_state_kind;

/* Scales between norms and linears (channels.h): none, or where they start. */
typedef enum ar__scaling { AR__SCALING_NONE, AR__SCALING_ONES, AR__SCALING_SMOOTH } ar__scaling;

/* What stands in the weights' place, and what it lowers: trainable.h, loss.h. */
typedef struct ar__goal {
    const struct ar__trainable *trainable;
    const struct ar__loss *loss;
} ar__goal;

/* What a method makes of its options for the walk and the engine. */
typedef struct ar__tune_desc {
    ar_scheme scheme; /* this and choose, spill: as in ar_quant_desc */
    bool (*choose)(void *ctx, const ar_block *block, int32_t i, ar_scheme *scheme);
    void *choose_ctx;
    ar_status (*moments)(void *ctx, float *dst, const ar_block *block, int32_t i); /* likewise */
    void *moments_ctx;
    ar_status (*start)(void *ctx, ar_qlinear **q, const ar_block *block, int32_t i); /* likewise */
    void *start_ctx;
    int32_t iters;       /* steps of a block; 0 = what the trainable starts from */
    int32_t batch;       /* samples per step, at most what is trained on; 0 = 8 */
    float lr, minmax_lr; /* 0 = ar__default_rate / iters; 0 = lr, lr/16 in double-quantized schemes */
    bool no_minmax, no_quantized_input;
    ar_select select;
    int32_t heldout; /* set aside for selection, fewer than all; 0 = count/16, at least 1, at most 8 */
    ar_loss loss;
    ar_optimizer optimizer;
    ar_state_kind state; /* adam: f32 (auto) only */
    uint64_t seed;
    const int32_t *order; /* tests: (iters, batch) sample indices for every block; NULL = own sampler */
    const char *spill_dir;
    uint64_t spill_above_bytes;
    int32_t block_limit;              /* tune this many blocks (0 = all); the rest is rtn */
    ar_window window;                 /* 0 blocks = 1, 1, 0 */
    uint32_t taps;                    /* ar_method.taps */
    const ar_method_options *options; /* for the method's own ar__block_method: the engine reads none */
    const ar__goal *goal;             /* for the same; ar__tune is told its own */
    ar_acts_scheme acts;              /* this and acts_share: as in ar_quant_desc */
    double acts_share;
    bool searches; /* the start is a search in every scheme: taps of double-quantized ones are for all */
    ar__scaling scaling;     /* of blocks by themselves, learned in iters steps at rate lr */
    struct ar__probe *probe; /* NULL = tune */
} ar__tune_desc;

/* ---- tune.c: the tuning engine; methods configure it ---- */

typedef struct ar__tuned_block {
    const ar_block_weights *weights; /* float weights on the device */
    const bool *skip;                /* per linear: stays float */
    const ar_scheme *schemes;        /* per linear */
    const ar__taps *taps;            /* what they saw of its linears' inputs; NULL = nothing */
    const ar_acts_block *acts;       /* how inputs are quantized; 0 bits = they are not */
    ar_qlinear *q;                   /* per linear: the result, initialised where !skip[i] */
    ar_qlinear *const *start;        /* per linear: codes to start from; NULL = the trainable's own start */
    ar_qlinear *const *before;       /* per linear: where an earlier unit left it; NULL = this is the first */
    bool goes_on;                    /* a later unit is to go on from q, which gets extras for that */
} ar__tuned_block;

/* One unit of tuning: blocks tuned together, and float blocks behind them through which their error is seen
 * (look-ahead). */
typedef struct ar__tune_unit {
    const ar__tuned_block *tuned;
    const ar_block_weights *const *frozen;
    int32_t tuned_count, frozen_count; /* at least 1; 0 = none */
    const ar_chain *input;       /* what the first tuned block sees: the quantized chain, or the float one */
    const ar_chain *target;      /* the float chain behind the last block */
    const ar_samples *samples;   /* which positions count */
    const ar_chain *float_input; /* the float chain where `input` stands; NULL = input is that one */
    int32_t block_count;         /* the model's, for progress */
    int32_t window, window_count;
} ar__tune_unit;

/* What a method does with a unit: fills the q of its tuned blocks, as ar__tune does. */
typedef ar_status (*ar__block_method)(ar_block_report *report, float *history, const ar__tune_unit *unit,
                                      ar_device *device, const ar__tune_desc *desc,
                                      const ar_observer *observer);

/* What ar__tune, given one as desc->probe, does instead of desc->iters steps, and what it took. */
typedef struct ar__probe {
    ar__block_method method; /* which calls ar__tune */
    int32_t count;           /* of the samples there are to be: the device holds as much as with them */
    bool is_timed;           /* else one step and one held-out pass, so that what is timed next is compiled */
    double step, heldout;    /* seconds of one */
    double data;             /* of preparing the data on the host */
    double forward[2];       /* of a chain of one batch through the block, and of two */
    double spent;            /* on steps, passes and chains timed */
    int32_t more_passes;     /* held-out ones before the first step */
    int32_t micro_count;
    bool is_resident;
    bool goes_on;         /* results have what a later unit goes on from */
    uint64_t visit_bytes; /* of one block's */
} ar__probe;

/* Tunes one unit and delivers the kept state in its q. report and history (iters), which report->history
 * names, are the unit's. Errors: any. */
ar_status ar__tune(ar_block_report *report, float *history, const ar__tune_unit *unit, const ar__goal *goal,
                   ar_device *device, const ar__tune_desc *desc, const ar_observer *observer);

/* ---- rounding.c ---- */

/* The units of one linear's offsets and coefficients under desc->lr and minmax_lr, or what stands for them.
 */
ar_fq_desc ar__linear_units(const ar__tune_desc *desc, const ar_scheme *scheme);

/* ---- sampler.c: which samples each step sees ---- */

/* What tuning under desc makes of `count` samples: so many are held out (the last ones), the rest are trained
 * on, so many a step, and the step is selected so. Errors: USAGE for a desc->heldout above AR_MAX_HELDOUT or
 * that leaves nothing to train on. One sample cannot be split and is selected by its batch; neither is
 * anything held out under a given order. */
#define AR_MAX_HELDOUT 64
typedef struct ar_sample_split {
    int32_t held, train, batch;
    ar_select select;
} ar_sample_split;
ar_status ar__sample_split_make(ar_sample_split *s, const ar__tune_desc *desc, int32_t count);

/* order (iters, batch): indices below count, shuffled anew for every pass over the samples (the last
 * incomplete slice of a pass is not used), keyed by (seed, block). */
ar_status ar__sample_order(int32_t *order, int32_t iters, int32_t batch, int32_t count, uint64_t seed,
                           int32_t block);

/* ---- results.c, windows.c ---- */

/* W' of every linear that there is replaces the float weight on the device. */
ar_status ar__results_place(ar_block_weights *w, ar_qlinear *const *q);
/* Errors: those of ar_qlinear_check_scales. */
ar_status ar__results_check(ar_qlinear *const *list, const ar_block *block);
/* Errors: ARG for a window out of bounds. */
ar_status ar__window_check(const ar_window *v);

/* ---- walk.c: the walk of all block-by-block methods ---- */

/* Walks the blocks, desc->window at a time: float chain, quantized chain, tune (method NULL = rtn), deliver
 * to sink. A block that is in several windows is tuned on in each from where the one before left it, and
 * delivered once, by the last. Errors: also ARG for a window out of bounds. */
ar_status ar__walk_blocks(const ar_model *model, ar_device *device, const ar_samples *samples,
                          const ar__tune_desc *desc, const ar_sink *sink, const ar_observer *observer,
                          ar__block_method method);

/* measure.c: of one token in one pass of a block of sequences of T tokens: products, and attention over all
 * before it. */
double ar__block_flops(const ar_block *b, int32_t T);
#endif
