/* signround: rounding offsets and clip ranges tuned block by block with signed gradient descent (Cheng et
 * al., arXiv 2309.05516). For each decoder block, in order:
 *   target  y  = block(x_float)                float chain
 *   predict y' = block_W'(x_quantized)         W' = fake_quant(W; V, min, max), straight-through gradients
 *   loss       = mean w (y' - y)^2;            p <- p - lr_t sign(dloss/dp), lr_t = lr (1 - t/T)
 * The best state is kept, taken after the loss and before the update; the block's codes go to the sink and
 * the quantized chain moves on through W'. The engine is engine/tune.c, what is tuned engine/rounding.c; this
 * file owns the options and configures them. */
#include "loss.h"
#include "methods.h"
#include "optimizer.h"
#include "trainable.h"
#include <stdio.h>

/* ---- options ---- */

/* In the order of the enumerations of engine.h. */
static const char *const selects[] = {"heldout", "batch", "last", NULL},
                         *const losses[] = {"plain", "root", "shift", "root+shift", NULL},
                         *const optimizers[] = {"sign", "adam", NULL},
                         *const states[] = {"auto", "f32", "i32", "i16", NULL};

static double lr_rule(const ar_method_options *o, const ar_scheme *scheme);
static double minmax_lr_rule(const ar_method_options *o, const ar_scheme *scheme);

static const ar_option_row rows[] = {
    {.name = "iters",
     .kind = AR_VALUE_INT,
     .preset = 200,
     .lo = 0,
     .hi = 5792,
     .value = "N",
     .help = "steps per block (200); 0 = rtn",
     .record = "iters",
     .zero_is = "rtn"},
    {.name = "batch",
     .kind = AR_VALUE_INT,
     .preset = 8,
     .lo = 1,
     .hi = 4096,
     .value = "N",
     .help = "samples per step, at most those not set aside (8)",
     .record = "batch"},
    {.name = "lr",
     .kind = AR_VALUE_REAL,
     .lo = 1e-9,
     .hi = 10,
     .value = "X",
     .help = "step size of rounding offsets (1/iters)",
     .record = "lr",
     .rule = lr_rule},
    {.name = "minmax_lr",
     .kind = AR_VALUE_REAL,
     .lo = 1e-9,
     .hi = 10,
     .value = "X",
     .help = "step size of the range coefficients (= lr; K types lr/16)",
     .record = "minmax_lr",
     .rule = minmax_lr_rule},
    {.name = "minmax", .preset = 1, .help = "tune rounding only, not the ranges", .record = "minmax"},
    AR__ROW_QUANTIZED_INPUT,
    {.name = "select",
     .kind = AR_VALUE_CHOICE,
     .choice = selects,
     .value = "S",
     .help = "which step is kept: heldout (default), batch or last",
     .record = "select"},
    {.name = "heldout",
     .kind = AR_VALUE_INT,
     .lo = 1,
     .hi = AR_MAX_HELDOUT,
     .value = "N",
     .help = "samples, of those, set aside to select the step (1/16, at most 8)",
     .record = " held out "},
    {.name = "loss",
     .kind = AR_VALUE_CHOICE,
     .choice = losses,
     .preset = AR_LOSS_ROOT_SHIFT,
     .value = "L",
     .help = "outlier positions: root (they weigh less), shift (they keep inherited errors), root+shift "
             "(default) or plain",
     .record = "loss"},
    {.name = "optimizer",
     .kind = AR_VALUE_CHOICE,
     .choice = optimizers,
     .value = "O",
     .help = "sign (default: signed gradient descent) or adam",
     .record = "optimizer"},
    {.name = "state",
     .kind = AR_VALUE_CHOICE,
     .choice = states,
     .value = "S",
     .help = "auto, f32, i32 or i16: how tuned values are kept",
     .record = "state"},
    AR__ROWS_OF_SAMPLES(128, 2048),
};

/* A rate belongs to its steps. Measured in docs/tutorial.md. */
static const ar_recipe recipes[] = {
    {"light",
     "50 steps",
     {{"batch", 8, NULL},
      {"iters", 50, NULL},
      {"seqlen", 2048, NULL},
      {"samples", 128, NULL},
      {"lr", 5e-3, "iters"}}},
    {"default",
     "200",
     {{"batch", 8, NULL}, {"iters", 200, NULL}, {"seqlen", 2048, NULL}, {"samples", 128, NULL}}},
    {"best",
     "1000",
     {{"batch", 8, NULL}, {"iters", 1000, NULL}, {"seqlen", 2048, NULL}, {"samples", 512, NULL}}},
};

static const ar_stored_option stored[] = {{"iters", "iters"},
                                          {"lr", "lr"},
                                          {"minmax_lr", "minmax_lr"},
                                          {"samples", "nsamples"},
                                          {"seqlen", "seqlen"},
                                          {"batch", "batch_size"},
                                          {NULL, NULL}};

/* ---- options to the engine's description ---- */

static ar__tune_desc describe(const ar_method_options *o) {
    return (ar__tune_desc){.iters = (int32_t)ar_method_options_get(o, "iters"),
                           .batch = (int32_t)ar_method_options_get(o, "batch"),
                           .lr = (float)ar_method_options_get(o, "lr"),
                           .minmax_lr = (float)ar_method_options_get(o, "minmax_lr"),
                           .no_minmax = ar_method_options_get(o, "minmax") == 0.0,
                           .no_quantized_input = ar_method_options_get(o, "quantized_input") == 0.0,
                           .select = (ar_select)ar_method_options_get(o, "select"),
                           .heldout = (int32_t)ar_method_options_get(o, "heldout"),
                           .loss = (ar_loss)ar_method_options_get(o, "loss"),
                           .optimizer = (ar_optimizer)ar_method_options_get(o, "optimizer"),
                           .state = (ar_state_kind)ar_method_options_get(o, "state"),
                           .seed = (uint64_t)ar_method_options_get(o, "seed"),
                           .block_limit = (int32_t)ar_method_options_get(o, "blocks")};
}

static double lr_rule(const ar_method_options *o, const ar_scheme *scheme) {
    int32_t iters = (int32_t)ar_method_options_get(o, "iters");
    return ar__default_rate(iters, scheme->bits) / iters;
}

/* As many times smaller as the engine has more units of it. */
static double minmax_lr_rule(const ar_method_options *o, const ar_scheme *scheme) {
    ar__tune_desc desc = describe(o);
    desc.no_minmax = false;
    ar_fq_desc units = ar__linear_units(&desc, scheme);
    return ar_method_options_rule(o, "lr", scheme) * (double)(units.v_div / units.m_div);
}

static ar_status check(const ar_method_options *o, const ar__tune_desc *desc) {
    if (desc->no_minmax && ar_method_options_given(o, "minmax_lr"))
        return ar__fail(AR_ERR_USAGE, "--minmax-lr has no effect with --no-minmax");
    if (desc->optimizer == AR_OPTIMIZER_ADAM && desc->state > AR_STATE_F32)
        return ar__fail(AR_ERR_USAGE, "--state: found %s, expected auto or f32 with --optimizer adam",
                        states[desc->state]);
    if (desc->no_quantized_input && desc->loss & AR_LOSS_SHIFT && ar_method_options_given(o, "loss"))
        return ar__fail(AR_ERR_USAGE, "--loss: found %s, expected plain or root with --no-quantized-input",
                        losses[desc->loss]);
    if (desc->select != AR_SELECT_HELDOUT && ar_method_options_given(o, "heldout"))
        return ar__fail(AR_ERR_USAGE, "--heldout has no effect with --select %s", selects[desc->select]);
    return AR_OK;
}

static ar_status settle(ar_method_options *o, const ar_observer *observer) {
    ar__tune_desc desc = describe(o);
    ar_sample_split split;
    char line[160];
    int32_t count = (int32_t)ar_method_options_get(o, "samples");
    bool tells = observer && observer->warn;
    AR_TRY(check(o, &desc));
    AR_TRY(ar__sample_split_make(&split, &desc, count));
    if (split.select != desc.select && tells)
        observer->warn(observer->ctx,
                       "one sample leaves none to hold out: the step is selected by its own loss");
    if (split.batch < desc.batch && ar_method_options_given(o, "batch") && tells) {
        snprintf(line, sizeof line,
                 "--batch: %d samples a step, not %d: there are %d, and %d of them held out",
                 (int)split.batch, (int)desc.batch, (int)count, (int)split.held);
        observer->warn(observer->ctx, line);
    }
    if (desc.no_quantized_input) ar_method_options_put(o, "loss", desc.loss & AR_LOSS_ROOT);
    ar_method_options_put(o, "select", split.select);
    ar_method_options_put(o, "heldout", split.held);
    ar_method_options_put(o, "batch", split.batch);
    return AR_OK;
}

/* ---- the run ---- */

static ar_status tune_unit(ar_block_report *report, float *history, const ar__tune_unit *unit,
                           ar_device *device, const ar__tune_desc *desc, const ar_observer *observer) {
    const ar__goal goal = {&ar__trainable_rounding, &ar__loss_block_mse};
    return ar__tune(report, history, unit, &goal, device, desc, observer);
}

static ar_status run(const ar_model *model, ar_device *device, const ar_samples *samples,
                     const ar_quant_desc *desc, const ar_sink *sink, const ar_observer *observer) {
    ar_method_options options;
    ar_method_options_init(&options, &ar__method_signround);
    if (desc->options) options = *desc->options;
    const ar_method *method = ar_method_options_method(&options, NULL);
    if (method != &ar__method_signround) {
        ar_quant_desc other = *desc;
        other.options = NULL;
        return method->run(model, device, samples, &other, sink, observer);
    }
    if (!samples || samples->count < 1)
        return ar__fail(AR_ERR_ARG, "signround needs calibration samples: found none");
    ar__tune_desc tune = describe(&options);
    tune.scheme = desc->scheme;
    tune.choose = desc->choose;
    tune.choose_ctx = desc->choose_ctx;
    tune.spill_dir = desc->spill_dir;
    tune.spill_above_bytes = desc->spill_above_bytes;
    tune.taps = ar__method_signround.taps;
    return ar__walk_blocks(model, device, samples, &tune, sink, observer, tune_unit);
}

#define COUNT(list) ((int32_t)(sizeof(list) / sizeof *(list)))
const ar_method ar__method_signround = {.name = "signround",
                                        .help = "rounding and ranges tuned by signed gradient descent",
                                        .run = run,
                                        .needs = AR_NEEDS_SAMPLES,
                                        .taps = AR__TAP(importance),
                                        .options = rows,
                                        .option_count = COUNT(rows),
                                        .recipes = recipes,
                                        .recipe_count = COUNT(recipes),
                                        .recipe = "default",
                                        .stored = stored,
                                        .settle = settle};
