/* quadapter: scales between norms and the linears behind them, learned block by block so that quantized
 * inputs lose least (arXiv 2211.16912; docs/quadapter.md), folded into both; codes are then rounded to
 * nearest. The second phase, over all blocks, is ar_finish_channels. Without steps, from the closed form, it
 * is SmoothQuant (arXiv 2211.10438). */
#include "ar_error.h"
#include "measure.h"
#include "methods.h"
#include <math.h>

static const char *const starts[] = {"ones", "smooth", NULL}, *const ends[] = {"none", "kl", "ce", NULL};

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
    AR__ROWS_OF_SAMPLES_AND_END(ends,
                                "second phase, all scales behind the last block: by kl, the float model's "
                                "logits, or ce, the text (none)",
                                100, 0.02, "its longest step of a scale's logarithm", 128, 512),
};

static ar_status settle(ar_method_options *o, const ar_observer *observer) {
    ar__tune_desc desc = ar__tuning_describe(o);
    bool goes_on = ar_method_options_get(o, "finish") > 0.0;
    if (desc.iters == 0 && ar_method_options_get(o, "scales") == 0.0 && !goes_on)
        return ar__fail(AR_ERR_USAGE,
                        "--iters 0 leaves scales as they are without --scales smooth or --finish");
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

/* ---- what it takes ---- */

static ar_status hear(void *ctx, const ar_block *block, ar_qlinear *const *linears,
                      const ar_block_report *report) {
    (void)block;
    (void)linears;
    *(double *)ctx = report->seconds;
    return AR_OK;
}

/* Seconds of the first block in so many steps, none held out. */
static ar_status time_block(double *seconds, const ar_model *model, ar_device *device, const ar_samples *few,
                            const ar__tune_desc *walk, int32_t iters) {
    ar_model first = *model;
    ar__tune_desc d = *walk;
    ar_sink sink = {.block = hear, .ctx = seconds};
    first.block_count = 1;
    d.iters = iters;
    d.select = AR_SELECT_LAST;
    return ar__walk_blocks(&first, device, few, &d, &sink, NULL, NULL);
}

static void add_up(ar_quant_cost *c, const ar_model *model, const ar__tune_desc *d,
                   const ar_sample_split *split, const ar_samples *samples, const double *seconds) {
    /* where noise is all there is between them, a step takes no more than its share of all */
    double step = seconds[1] > seconds[0] ? (seconds[1] - seconds[0]) / 2.0 : seconds[1] / 3.0,
           passes = d->iters > 16 ? 18.0 : d->iters + 1.0;
    const ar_block *b = &model->blocks[0];
    if (split->select != AR_SELECT_HELDOUT) passes = 0.0;
    c->tuned_blocks =
        d->block_limit > 0 && d->block_limit < model->block_count ? d->block_limit : model->block_count;
    c->steps = d->iters;
    c->batch = split->batch;
    c->window = d->window;
    c->micro_batches = 1;
    c->work = ar_window_work(&(ar_window_span){.count = 1, .done = 1, .is_tuned = true});
    for (int32_t i = 0; i < b->linear_count; i++)
        c->flops += 6.0 * (double)(b->linears[i].O * b->linears[i].I);
    c->flops *= (double)split->batch * samples->T;
    if (step > 0.0) c->pace = c->flops / step;
    c->flops *= (double)d->iters * c->tuned_blocks;
    /* a pass forward takes a third of a step */
    if (d->iters > 0) c->step = step * (1.0 + passes * split->held / (3.0 * split->batch * d->iters));
    c->tuned_lead = fmax(seconds[0] - step, 0.0) * samples->count / c->measured;
}

/* The first time compiles. */
static ar_status measure(ar_quant_cost *cost, const ar_model *model, ar_device *device,
                         const ar_samples *samples, const ar_quant_desc *desc, const ar_observer *observer) {
    ar__tune_desc walk;
    ar_sample_split split;
    ar_samples few;
    ar_memory_stats memory;
    double seconds[2] = {0.0, 0.0};
    AR_TRY(describe(&walk, samples, desc));
    AR_TRY(ar__sample_split_make(&split, &walk, samples->count));
    AR_TRY(ar__measure(cost, model, device, samples, &walk, NULL, observer));
    few = *samples;
    if (few.count > split.batch) few.count = split.batch;
    cost->measured = few.count;
    AR_TRY(time_block(&seconds[0], model, device, &few, &walk, 1));
    AR_TRY(time_block(&seconds[0], model, device, &few, &walk, 1));
    AR_TRY(time_block(&seconds[1], model, device, &few, &walk, 3));
    add_up(cost, model, &walk, &split, samples, seconds);
    ar_device_memory(device, &memory);
    cost->device_bytes = memory.high_water;
    return AR_OK;
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
