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
#endif
