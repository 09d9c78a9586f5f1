/* What methods of the tuning engine share: rows of options to the engine's description, what they come to for
 * so many samples, and the walk. */
#include "measure.h"
#include "methods.h"
#include "trainable.h"
#include <stdio.h>

const char *const ar__select_names[] = {"heldout", "last", "batch", NULL},
                  *const ar__soft_select_names[] = {"heldout", "last", NULL},
                  *const ar__loss_names[] = {"plain", "root", "shift", "root+shift", NULL},
                  *const ar__finish_names[] = {"none", "scales", NULL};

const ar_stored_option ar__tuning_stored[] = {{"iters", "iters"},
                                              {"lr", "lr"},
                                              {"minmax_lr", "minmax_lr"},
                                              {"samples", "nsamples"},
                                              {"seqlen", "seqlen"},
                                              {"batch", "batch_size"},
                                              {NULL, NULL}};

const ar_recipe ar__tuning_recipes[AR__TUNING_RECIPES] = {
    {"light",
     "50 steps",
     {{"batch", 8, NULL}, {"iters", 50, NULL}, {"seqlen", 2048, NULL}, {"samples", 128, NULL}}},
    {"default",
     "200",
     {{"batch", 8, NULL}, {"iters", 200, NULL}, {"seqlen", 2048, NULL}, {"samples", 128, NULL}}},
    {"best",
     "1000",
     {{"batch", 8, NULL}, {"iters", 1000, NULL}, {"seqlen", 2048, NULL}, {"samples", 512, NULL}}},
};

/* A method without such options has 0 blocks, and none to settle. */
static ar_window window_of(const ar_method_options *o) {
    ar_window w = {(int32_t)ar_method_options_get(o, "window_blocks"),
                   (int32_t)ar_method_options_get(o, "stride"),
                   (int32_t)ar_method_options_get(o, "lookahead")};
    if (w.stride == 0) w.stride = w.blocks;
    return w;
}

ar__tune_desc ar__tuning_describe(const ar_method_options *o) {
    return (ar__tune_desc){.iters = (int32_t)ar_method_options_get(o, "iters"),
                           .batch = (int32_t)ar_method_options_get(o, "batch"),
                           .lr = (float)ar_method_options_get(o, "lr"),
                           .minmax_lr = (float)ar_method_options_get(o, "minmax_lr"),
                           .no_minmax = ar_method_options_get(o, "minmax") == 0.0,
                           .no_quantized_input = ar_method_options_get(o, "quantized_input") == 0.0,
                           .select = (ar_select)ar_method_options_get(o, "select"),
                           .heldout = (int32_t)ar_method_options_get(o, "heldout"),
                           .loss = (ar_loss)ar_method_options_get(o, "loss"),
                           .seed = (uint64_t)ar_method_options_get(o, "seed"),
                           .block_limit = (int32_t)ar_method_options_get(o, "blocks"),
                           .window = window_of(o)};
}

static ar_status check(const ar_method_options *o, const ar__tune_desc *desc) {
    if (desc->no_quantized_input && desc->loss & AR_LOSS_SHIFT && ar_method_options_given(o, "loss"))
        return ar__fail(AR_ERR_USAGE, "--loss: found %s, expected plain or root with --no-quantized-input",
                        ar__loss_names[desc->loss]);
    if (desc->window.stride > desc->window.blocks)
        return ar__fail(AR_ERR_USAGE, "--stride: found %d, expected at most the %d of --window-blocks",
                        (int)desc->window.stride, (int)desc->window.blocks);
    if (desc->select != AR_SELECT_HELDOUT && ar_method_options_given(o, "heldout"))
        return ar__fail(AR_ERR_USAGE, "--heldout has no effect with --select %s",
                        ar__select_names[desc->select]);
    return AR_OK;
}

ar_status ar__tuning_settle(ar_method_options *o, const ar__tune_desc *desc, const ar_observer *observer) {
    ar_sample_split split;
    char line[160];
    int32_t count = (int32_t)ar_method_options_get(o, "samples");
    bool tells = observer && observer->warn;
    AR_TRY(check(o, desc));
    AR_TRY(ar__sample_split_make(&split, desc, count));
    if (split.select != desc->select && tells)
        observer->warn(observer->ctx,
                       "one sample leaves none to hold out: no held-out loss selects the step");
    if (split.batch < desc->batch && ar_method_options_given(o, "batch") && tells) {
        snprintf(line, sizeof line,
                 "--batch: %d samples a step, not %d: there are %d, and %d of them held out",
                 (int)split.batch, (int)desc->batch, (int)count, (int)split.held);
        observer->warn(observer->ctx, line);
    }
    if (desc->no_quantized_input) ar_method_options_put(o, "loss", desc->loss & AR_LOSS_ROOT);
    ar_method_options_put(o, "select", split.select);
    ar_method_options_put(o, "heldout", split.held);
    ar_method_options_put(o, "batch", split.batch);
    ar_method_options_put(o, "stride", desc->window.stride);
    return AR_OK;
}

static ar_status tune_unit(ar_block_report *report, float *history, const ar__tune_unit *unit,
                           ar_device *device, const ar__tune_desc *desc, const ar_observer *observer) {
    return ar__tune(report, history, unit, desc->goal, device, desc, observer);
}

void ar__tuning_take(ar__tune_desc *full, const ar_quant_desc *desc) {
    full->scheme = desc->scheme;
    full->choose = desc->choose;
    full->choose_ctx = desc->choose_ctx;
    full->moments = desc->moments;
    full->moments_ctx = desc->moments_ctx;
    full->start = desc->start;
    full->start_ctx = desc->start_ctx;
    full->spill_dir = desc->spill_dir;
    full->spill_above_bytes = desc->spill_above_bytes;
    full->acts = desc->acts;
    full->acts_share = desc->acts_share;
}

/* *full: what the engine is told; or *other: the method that the options come to, run as `plain` says. */
static ar_status complete(ar__tune_desc *full, const ar_method **other, ar_quant_desc *plain,
                          const ar__tuning *t, const ar_samples *samples, const ar_quant_desc *desc) {
    ar_method_options options;
    ar_method_options_init(&options, t->method);
    if (desc->options) options = *desc->options;
    const ar_method *method = ar_method_options_method(&options, NULL);
    if (desc->start && !t->goal.trainable->adopt)
        return ar__fail(AR_ERR_ARG, "%s starts from no codes: found some", t->method->name);
    *other = method != t->method ? method : NULL;
    *plain = *desc;
    plain->options = NULL;
    if (*other) return AR_OK;
    bool is_seen = !desc->moments || !(method->needs & AR_NEEDS_MOMENTS) || ar__needs_ranges(&desc->acts);
    if (is_seen && (!samples || samples->count < 1))
        return ar__fail(AR_ERR_ARG, "%s needs calibration samples: found none", method->name);
    *full = t->describe(&options);
    ar__tuning_take(full, desc);
    full->taps = method->taps;
    full->options = desc->options;
    full->goal = &t->goal;
    return AR_OK;
}

/* A window of more blocks than are tuned is one of all those. */
static void tell_window(const ar_window *w, const ar_model *model, int32_t limit, const ar_observer *o) {
    char line[160];
    int32_t most = limit > 0 && limit < model->block_count ? limit : model->block_count;
    if (w->blocks <= most || !o || !o->warn) return;
    snprintf(line, sizeof line, "--window-blocks: %d blocks are tuned together, not %d: there are no more",
             (int)most, (int)w->blocks);
    o->warn(o->ctx, line);
}

ar_status ar__tuning_run(const ar__tuning *t, const ar_model *model, ar_device *device,
                         const ar_samples *samples, const ar_quant_desc *desc, const ar_sink *sink,
                         const ar_observer *observer) {
    ar__tune_desc full;
    ar_quant_desc plain;
    const ar_method *other;
    AR_TRY(complete(&full, &other, &plain, t, samples, desc));
    if (other) return other->run(model, device, samples, &plain, sink, observer);
    tell_window(&full.window, model, full.block_limit, observer);
    return ar__walk_blocks(model, device, samples, &full, sink, observer, tune_unit);
}

ar_status ar__tuning_measure(ar_quant_cost *cost, const ar__tuning *t, const ar_model *model,
                             ar_device *device, const ar_samples *samples, const ar_quant_desc *desc,
                             const ar_observer *observer) {
    ar__tune_desc full;
    ar_quant_desc plain;
    const ar_method *other;
    AR_TRY(complete(&full, &other, &plain, t, samples, desc));
    if (other) return other->measure(cost, model, device, samples, &plain, observer);
    return ar__measure(cost, model, device, samples, &full, tune_unit, observer);
}

ar__tune_desc ar__tuning_describe_soft(const ar_method_options *o, const ar_method *method, ar__rate_rule lr,
                                       ar__rate_rule minmax_lr) {
    ar__tune_desc desc = ar__tuning_describe(o);
    if (!(desc.lr > 0.0f)) desc.lr = (float)lr(o, NULL);
    if (!(desc.minmax_lr > 0.0f)) desc.minmax_lr = (float)minmax_lr(o, NULL);
    desc.searches = method->searches;
    return desc;
}

ar_status ar__tuning_settle_soft(ar_method_options *o, const ar_observer *observer) {
    ar__tune_desc desc = ar__tuning_describe(o);
    if (desc.no_minmax && ar_method_options_given(o, "minmax_lr"))
        return ar__fail(AR_ERR_USAGE, "--minmax-lr has no effect with --no-minmax");
    AR_TRY(ar__tuning_settle(o, &desc, observer));
    if ((ar_select)ar_method_options_get(o, "select") == AR_SELECT_BATCH)
        ar_method_options_put(o, "select", AR_SELECT_LAST);
    return AR_OK;
}
