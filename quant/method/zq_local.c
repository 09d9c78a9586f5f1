/* zq-local: the weights themselves tuned through the quantizer, every linear to what its float weights give
 * of the same inputs (ZeroQuant's distillation, one linear at a time: arXiv 2303.08302; engine/weights.c,
 * engine/loss_local.c). */
#include "zq.h"

/* What of the errors of a block's input does not reach the linears' targets. */
static const char *const losses[] = {"plain", "root", NULL};

static const ar_option_row rows[] = {
    AR__ROW_ITERS("rtn"),
    AR__ROW_BATCH,
    {AR__RATE("lr"), .help = "first step, in root mean squares of a linear's weights (4/(2^bits - 1)/iters)",
     .rule = ar__zq_rate},
    {.name = "minmax",
     .help = "tune the ranges too, by coefficients, as Block-AP tunes scales",
     .record = "minmax"},
    {AR__RATE("minmax_lr"), .help = "first step of those coefficients (0.04/iters)",
     .rule = ar__zq_range_rate},
    AR__ROW_QUANTIZED_INPUT,
    AR__ROWS_OF_CHOSEN_STEP,
    {.name = "loss",
     .kind = AR_VALUE_CHOICE,
     .choice = losses,
     .value = "L",
     .help = "outlier positions: root (they weigh less) or plain (plain)",
     .record = "loss"},
    AR__ROWS_OF_SAMPLES(128, 2048),
};

static const ar__tuning tuning = {
    &ar__method_zq_local, {&ar__trainable_weights, &ar__loss_linear_mse}, ar__zq_describe};

static ar_status run(const ar_model *model, ar_device *device, const ar_samples *samples,
                     const ar_quant_desc *desc, const ar_sink *sink, const ar_observer *observer) {
    return ar__tuning_run(&tuning, model, device, samples, desc, sink, observer);
}

static ar_status measure(ar_quant_cost *cost, const ar_model *model, ar_device *device,
                         const ar_samples *samples, const ar_quant_desc *desc, const ar_observer *observer) {
    return ar__tuning_measure(cost, &tuning, model, device, samples, desc, observer);
}

#define COUNT(list) ((int32_t)(sizeof(list) / sizeof *(list)))
const ar_method ar__method_zq_local = {.name = "zq-local",
                                       .help = "weights tuned through the quantizer, every linear by itself",
                                       .run = run,
                                       .measure = measure,
                                       .needs = AR_NEEDS_SAMPLES,
                                       .taps = AR__TAP(importance),
                                       .options = rows,
                                       .option_count = COUNT(rows),
                                       .recipes = ar__zq_recipes,
                                       .recipe_count = AR__ZQ_RECIPES,
                                       .recipe = "default",
                                       .stored = ar__tuning_stored,
                                       .settle = ar__zq_settle};
