/* search: round to nearest on grids searched for the smallest error weighted by the inputs' second moments
 * (docs/methods.md, search): llama-quantize's role with an importance matrix. Seconds; needs samples. */
#include "loss.h"
#include "methods.h"
#include "trainable.h"

static const ar_option_row rows[] = {AR__ROW_QUANTIZED_INPUT, AR__ROWS_OF_SAMPLES(128, 2048)};

static ar_status search_unit(ar_block_report *report, float *history, const ar__tune_unit *unit,
                             ar_device *device, const ar__tune_desc *desc, const ar_observer *observer) {
    const ar__goal goal = {&ar__trainable_soft, &ar__loss_block_mse};
    return ar__tune(report, history, unit, &goal, device, desc, observer);
}

static ar__tune_desc describe_run(const ar_quant_desc *desc) {
    ar_method_options options;
    ar_method_options_init(&options, &ar__method_search);
    if (desc->options) options = *desc->options;
    ar__tune_desc tune = ar__tuning_describe(&options);
    tune.iters = 0; /* the start is the result */
    tune.searches = true;
    return tune;
}

static ar_status run(const ar_model *model, ar_device *device, const ar_samples *samples,
                     const ar_quant_desc *desc, const ar_sink *sink, const ar_observer *observer) {
    ar__tune_desc tune = describe_run(desc);
    return ar__tuning_run(&ar__method_search, &tune, search_unit, model, device, samples, desc, sink,
                          observer);
}

static ar_status measure(ar_quant_cost *cost, const ar_model *model, ar_device *device,
                         const ar_samples *samples, const ar_quant_desc *desc, const ar_observer *observer) {
    ar__tune_desc tune = describe_run(desc);
    return ar__tuning_measure(cost, &ar__method_search, &tune, search_unit, model, device, samples, desc,
                              observer);
}

#define COUNT(list) ((int32_t)(sizeof(list) / sizeof *(list)))
static const ar_recipe recipes[] = {
    {"default", "128 samples", {{"seqlen", 2048, NULL}, {"samples", 128, NULL}}}};
static const ar_stored_option stored[] = {{"samples", "nsamples"}, {"seqlen", "seqlen"}, {NULL, NULL}};
const ar_method ar__method_search = {.name = "search",
                                     .help = "round to nearest on searched grids, weighted by the inputs",
                                     .run = run,
                                     .measure = measure,
                                     .needs = AR_NEEDS_SAMPLES,
                                     .taps = AR__TAP(importance),
                                     .options = rows,
                                     .option_count = COUNT(rows),
                                     .recipes = recipes,
                                     .recipe_count = COUNT(recipes),
                                     .recipe = "default",
                                     .stored = stored};
