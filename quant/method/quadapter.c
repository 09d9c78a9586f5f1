/* quadapter: scales between norms and the linears behind them, learned block by block so that quantized
 * inputs lose least (arXiv 2211.16912; docs/quadapter.md), folded into both; codes are then rounded to
 * nearest. Without steps, from the closed form, it is SmoothQuant (arXiv 2211.10438). */
#include "ar_error.h"
#include "measure.h"
#include "methods.h"

static const char *const starts[] = {"ones", "smooth", NULL};

static const ar_option_row rows[] = {
    {.name = "iters",
     .kind = AR_VALUE_INT,
     .preset = 200,
     .lo = 0,
     .hi = 5792,
     .value = "N",
     .help = "steps per block (200); 0 = the start as it is",
     .record = "iters"},
    AR__ROW_BATCH,
    {AR__RATE("lr"), .preset = 0.05, .help = "first step of a scale's logarithm (0.05)"},
    {.name = "scales",
     .kind = AR_VALUE_CHOICE,
     .choice = starts,
     .value = "S",
     .help = "where scales start: ones (default), or smooth, SmoothQuant's closed form",
     .record = "scales"},
    AR__ROWS_OF_CHOSEN_STEP_BY(ar__soft_select_names, "heldout (default) or last"),
    AR__ROWS_OF_SAMPLES(128, 512),
};

static ar_status settle(ar_method_options *o, const ar_observer *observer) {
    ar__tune_desc desc = ar__tuning_describe(o);
    if (desc.iters == 0 && ar_method_options_get(o, "scales") == 0.0)
        return ar__fail(AR_ERR_USAGE, "--iters 0 leaves scales as they are without --scales smooth");
    AR_TRY(ar__tuning_settle(o, &desc, observer));
    if ((ar_select)ar_method_options_get(o, "select") == AR_SELECT_BATCH)
        ar_method_options_put(o, "select", AR_SELECT_LAST);
    return AR_OK;
}

static ar_status describe(ar__tune_desc *walk, const ar_samples *samples, const ar_quant_desc *desc) {
    ar_method_options o;
    ar_method_options_init(&o, &ar__method_quadapter);
    if (desc->options) o = *desc->options;
    if (desc->acts.bits == 0)
        return ar__fail(AR_ERR_ARG, "quadapter: found inputs that stay floats, expected quantized ones");
    if (!samples || samples->count < 1)
        return ar__fail(AR_ERR_ARG, "quadapter needs calibration samples: found none");
    *walk = ar__tuning_describe(&o);
    ar__tuning_take(walk, desc);
    walk->scaling = ar_method_options_get(&o, "scales") == 1.0 ? AR__SCALING_SMOOTH : AR__SCALING_ONES;
    walk->window = (ar_window){1, 1, 0};
    walk->no_quantized_input = true; /* every block by itself */
    if (!(walk->lr > 0.0f)) walk->lr = 0.05f;
    return AR_OK;
}

static ar_status run(const ar_model *model, ar_device *device, const ar_samples *samples,
                     const ar_quant_desc *desc, const ar_sink *sink, const ar_observer *observer) {
    ar__tune_desc walk;
    AR_TRY(describe(&walk, samples, desc));
    return ar__walk_blocks(model, device, samples, &walk, sink, observer, NULL);
}

static ar_status measure(ar_quant_cost *cost, const ar_model *model, ar_device *device,
                         const ar_samples *samples, const ar_quant_desc *desc, const ar_observer *observer) {
    ar__tune_desc walk;
    AR_TRY(describe(&walk, samples, desc));
    return ar__measure(cost, model, device, samples, &walk, NULL, observer);
}

#define COUNT(list) ((int32_t)(sizeof(list) / sizeof *(list)))
static const ar_recipe recipes[] = {
    {"default",
     "128 samples of 512 tokens",
     {{"batch", 8, NULL}, {"iters", 200, NULL}, {"seqlen", 512, NULL}, {"samples", 128, NULL}}}};
static const ar_stored_option stored[] = {{"iters", "iters"},      {"lr", "lr"},
                                          {"samples", "nsamples"}, {"seqlen", "seqlen"},
                                          {"batch", "batch_size"}, {NULL, NULL}};
const ar_method ar__method_quadapter = {.name = "quadapter",
                                        .help = "scales between norms and linears, for quantized inputs",
                                        .run = run,
                                        .measure = measure,
                                        .settle = settle,
                                        .needs = AR_NEEDS_SAMPLES,
                                        .scales = true,
                                        .options = rows,
                                        .option_count = COUNT(rows),
                                        .recipes = recipes,
                                        .recipe_count = COUNT(recipes),
                                        .recipe = "default",
                                        .stored = stored};
