/* anneal: soft codes annealed to hard ones block by block along their true gradient (engine/soft.c; after
 * GSQ, arXiv 2604.18556, without its noise), from a searched grid. The walk, the losses and
 * the selection are SignRound's; held-out samples see the nearest codes, so that no step is kept that is
 * worse than the start. */
#include "loss.h"
#include "methods.h"
#include "trainable.h"
#include <math.h>

static double lr_rule(const ar_method_options *o, const ar_scheme *scheme);
static double scale_rule(const ar_method_options *o, const ar_scheme *scheme);

static const ar_option_row rows[] = {
    AR__ROW_ITERS("search"),
    AR__ROW_BATCH,
    {AR__RATE("lr"), .help = "first step of a weight among the codes (by steps and tokens)", .rule = lr_rule},
    {AR__RATE("minmax_lr"), .help = "first step of the factors of scales (0.04/iters)", .rule = scale_rule},
    {.name = "minmax", .preset = 1, .help = "tune codes only, not the scales", .record = "minmax"},
    AR__ROW_QUANTIZED_INPUT,
    AR__ROWS_OF_WINDOWS,
    AR__ROWS_OF_SOFT_SELECTION(AR_LOSS_SHIFT, "shift"),
    AR__ROWS_OF_SAMPLES(128, 2048),
};

/* The whole way a place may go, in codes: with more steps and tokens a step's sign is more often right.
 * Measured: docs/methods.md. */
static double lr_rule(const ar_method_options *o, const ar_scheme *scheme) {
    double iters = ar_method_options_get(o, "iters"),
           seen = iters * ar_method_options_get(o, "batch") * ar_method_options_get(o, "seqlen");
    double way = 0.5 * sqrt(seen / 20480.0);
    (void)scheme;
    return fmin(fmax(way, 0.25), 2.0) / fmax(iters, 1.0);
}
static double scale_rule(const ar_method_options *o, const ar_scheme *scheme) {
    (void)scheme;
    return 0.04 / fmax(ar_method_options_get(o, "iters"), 1.0);
}

static ar__tune_desc describe(const ar_method_options *o) {
    return ar__tuning_describe_soft(o, &ar__method_anneal, lr_rule, scale_rule);
}

static const ar__tuning tuning = {&ar__method_anneal, {&ar__trainable_soft, &ar__loss_block_mse}, describe};

AR__TUNING_RUNS

#define COUNT(list) ((int32_t)(sizeof(list) / sizeof *(list)))
const ar_method ar__method_anneal = {.name = "anneal",
                                     .help = "soft codes annealed to hard ones, from a searched grid",
                                     .run = run,
                                     .measure = measure,
                                     .needs = AR_NEEDS_SAMPLES,
                                     .starts = true,
                                     .searches = true,
                                     .taps = AR__TAP(importance),
                                     .options = rows,
                                     .option_count = COUNT(rows),
                                     .recipes = ar__tuning_recipes,
                                     .recipe_count = AR__TUNING_RECIPES,
                                     .recipe = "default",
                                     .stored = ar__tuning_stored,
                                     .settle = ar__tuning_settle_soft};
