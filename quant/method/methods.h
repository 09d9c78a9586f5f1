/* The table of methods that methods.def makes, and rows of options that they share. */
#ifndef AR_QUANT_METHODS_H
#define AR_QUANT_METHODS_H
#include "engine.h"

#define AR_METHOD(name) extern const ar_method ar__method_##name;
#include "methods.def"
#undef AR_METHOD

/* Included in a method's table of ar_option_row, in this order: the first where the chains are described, the
 * others last. The program sets seed, and samples and seqlen to those there are. */
#define AR__ROW_QUANTIZED_INPUT                                                                              \
    {                                                                                                        \
        .name = "quantized_input", .preset = 1, .help = "feed blocks from the float chain",                  \
        .record = "quantized_input"                                                                          \
    }
#define AR__ROW_ITERS(zero)                                                                                  \
    {                                                                                                        \
        .name = "iters", .kind = AR_VALUE_INT, .preset = 200, .lo = 0, .hi = 5792, .value = "N",             \
        .help = "steps per block (200); 0 = " zero, .record = "iters", .zero_is = zero                       \
    }
#define AR__ROWS_OF_WINDOWS                                                                                  \
    {.name = "window_blocks",                                                                                \
     .kind = AR_VALUE_INT,                                                                                   \
     .preset = 1,                                                                                            \
     .lo = 1,                                                                                                \
     .hi = 1 << 20,                                                                                          \
     .value = "K",                                                                                           \
     .help = "blocks tuned together (1); all where the model has no more",                                   \
     .record = "window_blocks"},                                                                             \
        {.name = "stride",                                                                                   \
         .kind = AR_VALUE_INT,                                                                               \
         .lo = 1,                                                                                            \
         .hi = 1 << 20,                                                                                      \
         .value = "S",                                                                                       \
         .help = "blocks that the window moves on by (K); fewer: windows overlap, and tune on",              \
         .record = "stride"},                                                                                \
    {                                                                                                        \
        .name = "lookahead", .kind = AR_VALUE_INT, .lo = 0, .hi = 1 << 20, .value = "A",                     \
        .help = "float blocks behind the window that its loss looks through, as far as there are any (0)",   \
        .record = "lookahead"                                                                                \
    }
/* .help and .rule follow. */
#define AR__RATE(row) .name = row, .kind = AR_VALUE_REAL, .lo = 1e-9, .hi = 10, .value = "X", .record = row
#define AR__ROW_BATCH                                                                                        \
    {                                                                                                        \
        .name = "batch", .kind = AR_VALUE_INT, .preset = 8, .lo = 1, .hi = 4096, .value = "N",               \
        .help = "samples per step, at most those not set aside (8)", .record = "batch"                       \
    }
#define AR__ROWS_OF_CHOSEN_STEP_BY(names, words)                                                             \
    {.name = "select",                                                                                       \
     .kind = AR_VALUE_CHOICE,                                                                                \
     .choice = names,                                                                                        \
     .value = "S",                                                                                           \
     .help = "which step is kept: " words,                                                                   \
     .record = "select"},                                                                                    \
    {                                                                                                        \
        .name = "heldout", .kind = AR_VALUE_INT, .lo = 1, .hi = AR_MAX_HELDOUT, .value = "N",                \
        .help = "samples, of those, set aside to select the step (1/16, at most 8)", .record = " held out "  \
    }
#define AR__ROWS_OF_CHOSEN_STEP                                                                              \
    AR__ROWS_OF_CHOSEN_STEP_BY(ar__select_names, "heldout (default), batch or last")
#define AR__ROW_LOSS(loss, loss_name)                                                                        \
    {                                                                                                        \
        .name = "loss", .kind = AR_VALUE_CHOICE, .choice = ar__loss_names, .preset = loss, .value = "L",     \
        .help = "outlier positions: root (they weigh less), shift (they keep inherited errors), "            \
                "root+shift or plain (" loss_name ")",                                                       \
        .record = "loss"                                                                                     \
    }
#define AR__ROWS_OF_SELECTION(loss, loss_name) AR__ROWS_OF_CHOSEN_STEP, AR__ROW_LOSS(loss, loss_name)
/* Of soft codes: the loss of a step is not that of the codes it would leave. */
#define AR__ROWS_OF_SOFT_SELECTION(loss, loss_name)                                                          \
    AR__ROWS_OF_CHOSEN_STEP_BY(ar__soft_select_names, "heldout (default) or last"),                          \
        AR__ROW_LOSS(loss, loss_name)
#define AR__ROWS_OF_SAMPLES_AND_END(names, words, steps, rate, why, samples, seqlen)                         \
    {.name = "finish",                                                                                       \
     .kind = AR_VALUE_CHOICE,                                                                                \
     .choice = names,                                                                                        \
     .value = "F",                                                                                           \
     .help = words,                                                                                          \
     .record = "finish"},                                                                                    \
        {.name = "finish_iters",                                                                             \
         .kind = AR_VALUE_INT,                                                                               \
         .preset = steps,                                                                                    \
         .lo = 1,                                                                                            \
         .hi = 1 << 20,                                                                                      \
         .value = "N",                                                                                       \
         .help = "its steps, of 4 samples (" #steps ")",                                                     \
         .record = "finish_iters"},                                                                          \
        {AR__RATE("finish_lr"), .preset = rate, .help = why " (" #rate ")"},                                 \
        {.name = "finish_samples",                                                                           \
         .kind = AR_VALUE_INT,                                                                               \
         .lo = 1,                                                                                            \
         .hi = 1 << 20,                                                                                      \
         .value = "N",                                                                                       \
         .help = "the samples it draws for itself, as long as those of tuning (those)",                      \
         .record = "finish_samples"},                                                                        \
        {.name = "seed", .kind = AR_VALUE_INT, .preset = 42, .hi = 9e15, .record = "seed"},                  \
        {.name = "blocks",                                                                                   \
         .kind = AR_VALUE_INT,                                                                               \
         .lo = 1,                                                                                            \
         .hi = 1 << 20,                                                                                      \
         .value = "N",                                                                                       \
         .help = "tune only the first N blocks, round the others to nearest",                                \
         .record = "blocks"},                                                                                \
        {.name = "samples",                                                                                  \
         .kind = AR_VALUE_INT,                                                                               \
         .preset = samples,                                                                                  \
         .lo = 1,                                                                                            \
         .hi = 1 << 20,                                                                                      \
         .value = "N",                                                                                       \
         .help = "calibration samples (" #samples ")",                                                       \
         .record = "samples"},                                                                               \
    {                                                                                                        \
        .name = "seqlen", .kind = AR_VALUE_INT, .preset = seqlen, .lo = 2, .hi = 1 << 20, .value = "N",      \
        .help = "tokens per sample (" #seqlen ", at most the context)", .record = " x "                      \
    }
#define AR__ROWS_OF_SAMPLES(samples, seqlen)                                                                 \
    AR__ROWS_OF_SAMPLES_AND_END(ar__finish_names,                                                            \
                                "scales: tune all scales once more behind the last block, by the logits "    \
                                "(none)",                                                                    \
                                60, 0.002, "its longest step of a scale", samples, seqlen)

/* ---- tuning.c: what methods of the tuning engine share ---- */

/* In the order of ar_select and ar_loss; none and scales; NULL behind. */
extern const char *const ar__select_names[], *const ar__soft_select_names[], *const ar__loss_names[],
                                                                                 *const ar__finish_names[];
/* What files keep of them. */
extern const ar_stored_option ar__tuning_stored[];
/* light, default and best, for rates that follow from the steps. */
#define AR__TUNING_RECIPES 3
extern const ar_recipe ar__tuning_recipes[AR__TUNING_RECIPES];

/* Values of the rows above and of iters, lr, minmax_lr, minmax: 0 where a method has no such row. */
ar__tune_desc ar__tuning_describe(const ar_method_options *o);
/* Puts select, heldout, batch and loss to what they come to; tells of a given one that changes. Errors:
 * USAGE. */
ar_status ar__tuning_settle(ar_method_options *o, const ar__tune_desc *desc, const ar_observer *observer);
/* Both for methods of soft codes, with their rules for rates that are not given. Without a held-out slice
 * their last step is kept: a batch's loss says nothing of the nearest codes. */
typedef double (*ar__rate_rule)(const ar_method_options *o, const ar_scheme *scheme);
ar__tune_desc ar__tuning_describe_soft(const ar_method_options *o, const ar_method *method, ar__rate_rule lr,
                                       ar__rate_rule minmax_lr);
ar_status ar__tuning_settle_soft(ar_method_options *o, const ar_observer *observer);
/* A method of the engine: what it tunes, and what its options describe. */
typedef struct ar__tuning {
    const ar_method *method;
    ar__goal goal;
    ar__tune_desc (*describe)(const ar_method_options *o);
} ar__tuning;
/* Its ar_method.run; what desc has of its own is filled in, and where its options come to another method that
 * is run. Errors: also ARG without samples. */
ar_status ar__tuning_run(const ar__tuning *t, const ar_model *model, ar_device *device,
                         const ar_samples *samples, const ar_quant_desc *desc, const ar_sink *sink,
                         const ar_observer *observer);
/* Its ar_method.measure. */
ar_status ar__tuning_measure(ar_quant_cost *cost, const ar__tuning *t, const ar_model *model,
                             ar_device *device, const ar_samples *samples, const ar_quant_desc *desc,
                             const ar_observer *observer);
/* Defines both for a method whose ar__tuning is called `tuning`. */
#define AR__TUNING_RUNS                                                                                      \
    static ar_status run(const ar_model *model, ar_device *device, const ar_samples *samples,                \
                         const ar_quant_desc *desc, const ar_sink *sink, const ar_observer *observer) {      \
        return ar__tuning_run(&tuning, model, device, samples, desc, sink, observer);                        \
    }                                                                                                        \
    static ar_status measure(ar_quant_cost *cost, const ar_model *model, ar_device *device,                  \
                             const ar_samples *samples, const ar_quant_desc *desc,                           \
                             const ar_observer *observer) {                                                  \
        return ar__tuning_measure(cost, &tuning, model, device, samples, desc, observer);                    \
    }
/* What a run has of its own, beside its options: scheme, choice, moments, spill. */
void ar__tuning_take(ar__tune_desc *full, const ar_quant_desc *desc);
#endif
