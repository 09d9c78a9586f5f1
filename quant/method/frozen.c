/* frozen: codes between the two around each weight, decided in twenty stages block by block along their true
 * gradient (engine/soft.c; after TesseraQ, arXiv 2410.19103), from a searched grid. The walk, the losses and
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
    {AR__RATE("lr"), .help = "step of a weight between its codes, in logits (by steps and tokens)",
     .rule = lr_rule},
    {AR__RATE("minmax_lr"), .help = "step of the scales' logits (by steps and tokens, at most 1/iters)",
     .rule = scale_rule},
    {.name = "minmax", .preset = 1, .help = "tune codes only, not the scales", .record = "minmax"},
    AR__ROW_QUANTIZED_INPUT,
    AR__ROWS_OF_WINDOWS,
    AR__ROWS_OF_SOFT_SELECTION(AR_LOSS_SHIFT, "shift"),
    AR__ROWS_OF_SAMPLES(128, 2048),
};

/* The way that a logit may go: with more steps and tokens a step's direction is more often right.
 * Measured: docs/frozen.md. */
static double way(const ar_method_options *o) {
    double seen = ar_method_options_get(o, "iters") * ar_method_options_get(o, "batch") *
                  ar_method_options_get(o, "seqlen");
    return fmin(fmax(sqrt(seen / 20480.0), 0.5), 4.0);
}
static double lr_rule(const ar_method_options *o, const ar_scheme *scheme) {
    (void)scheme;
    return fmin(1.5 * way(o), 4.0) / fmax(ar_method_options_get(o, "iters"), 1.0);
}
static double scale_rule(const ar_method_options *o, const ar_scheme *scheme) {
    (void)scheme;
    return 0.25 * way(o) / fmax(ar_method_options_get(o, "iters"), 1.0);
}

static ar__tune_desc describe(const ar_method_options *o) {
    return ar__tuning_describe_soft(o, &ar__method_frozen, lr_rule, scale_rule);
}

static const ar__tuning tuning = {
    &ar__method_frozen, {&ar__trainable_between, &ar__loss_block_mse}, describe};

AR__TUNING_RUNS

#define COUNT(list) ((int32_t)(sizeof(list) / sizeof *(list)))
const ar_method ar__method_frozen = {.name = "frozen",
                                     .help = "codes between two, decided in stages, from a searched grid",
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
