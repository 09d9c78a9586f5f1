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

/* ---- options ---- */

/* In the order of the enumerations of engine.h. */
static const char *const optimizers[] = {"sign", "adam", NULL}, *const states[] = {"auto", "f32", "i32",
                                                                                   "i16", NULL};

static double lr_rule(const ar_method_options *o, const ar_scheme *scheme);
static double minmax_lr_rule(const ar_method_options *o, const ar_scheme *scheme);

static const ar_option_row rows[] = {
    AR__ROW_ITERS("rtn"),
    AR__ROW_BATCH,
    {AR__RATE("lr"),
     .help = "step size of rounding offsets (1/iters; up to 3 bits from 1000 steps on 2/iters; light 0.005)",
     .rule = lr_rule},
    {AR__RATE("minmax_lr"), .help = "step size of the range coefficients (= lr; K types lr/16)",
     .rule = minmax_lr_rule},
    {.name = "minmax", .preset = 1, .help = "tune rounding only, not the ranges", .record = "minmax"},
    AR__ROW_QUANTIZED_INPUT,
    AR__ROWS_OF_WINDOWS,
    AR__ROWS_OF_SELECTION(AR_LOSS_SHIFT, "shift"),
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

/* A rate belongs to its steps. */
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

/* ---- options to the engine's description ---- */

static ar__tune_desc describe(const ar_method_options *o) {
    ar__tune_desc desc = ar__tuning_describe(o);
    desc.optimizer = (ar_optimizer)ar_method_options_get(o, "optimizer");
    desc.state = (ar_state_kind)ar_method_options_get(o, "state");
    return desc;
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
    return AR_OK;
}

static ar_status settle(ar_method_options *o, const ar_observer *observer) {
    ar__tune_desc desc = describe(o);
    AR_TRY(check(o, &desc));
    return ar__tuning_settle(o, &desc, observer);
}

/* ---- the run ---- */

static const ar__tuning tuning = {
    &ar__method_signround, {&ar__trainable_rounding, &ar__loss_block_mse}, describe};

AR__TUNING_RUNS

#define COUNT(list) ((int32_t)(sizeof(list) / sizeof *(list)))
const ar_method ar__method_signround = {.name = "signround",
                                        .help = "rounding and ranges tuned by signed gradient descent",
                                        .run = run,
                                        .measure = measure,
                                        .needs = AR_NEEDS_SAMPLES,
                                        .taps = AR__TAP(importance),
                                        .options = rows,
                                        .option_count = COUNT(rows),
                                        .recipes = recipes,
                                        .recipe_count = COUNT(recipes),
                                        .recipe = "default",
                                        .stored = ar__tuning_stored,
                                        .settle = settle};
