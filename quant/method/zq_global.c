/* zq-global: the weights themselves tuned block by block through the quantizer, to the float block's output
 * (ZeroQuant's distillation of layers, arXiv 2206.01861 and 2303.08302; engine/weights.c). With --minmax
 * it is EfficientQAT's Block-AP (arXiv 2407.11062). */
#include "zq.h"

static const ar_option_row rows[] = {
    AR__ROW_ITERS("rtn"),           AR__ROW_BATCH,       AR__ZQ_ROWS_OF_RATES,
    AR__ROW_QUANTIZED_INPUT,        AR__ROWS_OF_WINDOWS, AR__ROWS_OF_SELECTION(AR_LOSS_SHIFT, "shift"),
    AR__ROWS_OF_SAMPLES(128, 2048),
};

static const ar__tuning tuning = {
    &ar__method_zq_global, {&ar__trainable_weights, &ar__loss_block_mse}, ar__zq_describe};

AR__TUNING_RUNS

#define COUNT(list) ((int32_t)(sizeof(list) / sizeof *(list)))
const ar_method ar__method_zq_global = {.name = "zq-global",
                                        .help = "weights tuned through the quantizer, block by block",
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
