/* zq-local: the weights themselves tuned through the quantizer, every linear to what its float weights give
 * of the same inputs (ZeroQuant's distillation, one linear at a time: arXiv 2303.08302; engine/weights.c,
 * engine/loss_local.c). */
#include "zq.h"

/* What of the errors of a block's input does not reach the linears' targets. */
static const char *const losses[] = {"plain", "root", NULL};

static const ar_option_row rows[] = {
    AR__ROW_ITERS("rtn"),
    AR__ROW_BATCH,
    AR__ZQ_ROWS_OF_RATES,
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

AR__TUNING_RUNS

#define COUNT(list) ((int32_t)(sizeof(list) / sizeof *(list)))
const ar_method ar__method_zq_local = {.name = "zq-local",
                                       .help = "weights tuned through the quantizer, every linear by itself",
                                       .run = run,
                                       .measure = measure,
                                       .needs = AR_NEEDS_SAMPLES,
                                       .taps = AR__TAP(importance),
                                       .options = rows,
                                       .option_count = COUNT(rows),
                                       .recipes = ar__tuning_recipes,
                                       .recipe_count = AR__TUNING_RECIPES,
                                       .recipe = "default",
                                       .stored = ar__tuning_stored,
                                       .settle = ar__zq_settle};
