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
#define AR__ROW_BATCH                                                                                        \
    {                                                                                                        \
        .name = "batch", .kind = AR_VALUE_INT, .preset = 8, .lo = 1, .hi = 4096, .value = "N",               \
        .help = "samples per step, at most those not set aside (8)", .record = "batch"                       \
    }
#define AR__ROWS_OF_SELECTION(loss, loss_name)                                                               \
    {.name = "select",                                                                                       \
     .kind = AR_VALUE_CHOICE,                                                                                \
     .choice = ar__select_names,                                                                             \
     .value = "S",                                                                                           \
     .help = "which step is kept: heldout (default), batch or last",                                         \
     .record = "select"},                                                                                    \
        {.name = "heldout",                                                                                  \
         .kind = AR_VALUE_INT,                                                                               \
         .lo = 1,                                                                                            \
         .hi = AR_MAX_HELDOUT,                                                                               \
         .value = "N",                                                                                       \
         .help = "samples, of those, set aside to select the step (1/16, at most 8)",                        \
         .record = " held out "},                                                                            \
    {                                                                                                        \
        .name = "loss", .kind = AR_VALUE_CHOICE, .choice = ar__loss_names, .preset = loss, .value = "L",     \
        .help = "outlier positions: root (they weigh less), shift (they keep inherited errors), "            \
                "root+shift or plain (" loss_name ")",                                                       \
        .record = "loss"                                                                                     \
    }
#define AR__ROWS_OF_SAMPLES(samples, seqlen)                                                                 \
    {.name = "seed", .kind = AR_VALUE_INT, .preset = 42, .hi = 9e15, .record = "seed"},                      \
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

/* ---- tuning.c: what methods of the tuning engine share ---- */

/* In the order of ar_select and ar_loss, NULL behind. */
extern const char *const ar__select_names[], *const ar__loss_names[];

/* Values of the rows above and of iters, lr, minmax_lr, minmax: 0 where a method has no such row. */
ar__tune_desc ar__tuning_describe(const ar_method_options *o);
/* Puts select, heldout, batch and loss to what they come to; tells of a given one that changes. Errors:
 * USAGE. */
ar_status ar__tuning_settle(ar_method_options *o, const ar__tune_desc *desc, const ar_observer *observer);
/* ar_method.run of a method whose blocks `unit` tunes under tune, a description of desc->options; what desc
 * has of its own is filled in. Errors: also ARG without samples. */
ar_status ar__tuning_run(const ar_method *method, const ar__tune_desc *tune, ar__block_method unit,
                         const ar_model *model, ar_device *device, const ar_samples *samples,
                         const ar_quant_desc *desc, const ar_sink *sink, const ar_observer *observer);
/* ar_method.measure of one, of what ar__tuning_run would do. */
ar_status ar__tuning_measure(ar_quant_cost *cost, const ar_method *method, const ar__tune_desc *tune,
                             ar__block_method unit, const ar_model *model, ar_device *device,
                             const ar_samples *samples, const ar_quant_desc *desc,
                             const ar_observer *observer);
#endif
