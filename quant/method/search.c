/* search: round to nearest on grids searched for the smallest error weighted by the inputs' second moments
 * (docs/methods.md, search): llama-quantize's role with an importance matrix. Seconds; needs samples. */
#include "loss.h"
#include "methods.h"
#include "trainable.h"

static const ar_option_row rows[] = {AR__ROW_QUANTIZED_INPUT, AR__ROWS_OF_SAMPLES(128, 2048)};

static ar__tune_desc describe(const ar_method_options *o) {
    ar__tune_desc desc = ar__tuning_describe(o); /* no iters: the start is the result */
    desc.searches = ar__method_search.searches;
    return desc;
}

static const ar__tuning tuning = {&ar__method_search, {&ar__trainable_soft, &ar__loss_block_mse}, describe};

AR__TUNING_RUNS

#define COUNT(list) ((int32_t)(sizeof(list) / sizeof *(list)))
static const ar_recipe recipes[] = {
    {"default", "128 samples", {{"seqlen", 2048, NULL}, {"samples", 128, NULL}}}};
static const ar_stored_option stored[] = {{"samples", "nsamples"}, {"seqlen", "seqlen"}, {NULL, NULL}};
const ar_method ar__method_search = {.name = "search",
                                     .help = "round to nearest on searched grids, weighted by the inputs",
                                     .run = run,
                                     .measure = measure,
                                     .needs = AR_NEEDS_SAMPLES | AR_NEEDS_MOMENTS,
                                     .searches = true,
                                     .taps = AR__TAP(importance),
                                     .options = rows,
                                     .option_count = COUNT(rows),
                                     .recipes = recipes,
                                     .recipe_count = COUNT(recipes),
                                     .recipe = "default",
                                     .stored = stored};
