/* What zq-local and zq-global share (zq.c). */
#ifndef AR_QUANT_ZQ_H
#define AR_QUANT_ZQ_H
#include "loss.h"
#include "methods.h"
#include "trainable.h"

/* In their tables of ar_option_row, behind iters and batch. */
#define AR__ZQ_ROWS_OF_RATES                                                                                 \
    {AR__RATE("lr"),                                                                                         \
     .help = "first step, in root mean squares of a linear's weights (4/(2^bits - 1)/iters)",                \
     .rule = ar__zq_rate},                                                                                   \
        {.name = "minmax",                                                                                   \
         .help = "tune the ranges too, by coefficients, as Block-AP tunes scales",                           \
         .record = "minmax"},                                                                                \
    {                                                                                                        \
        AR__RATE("minmax_lr"), .help = "first step of those coefficients (0.04/iters)",                      \
                               .rule = ar__zq_range_rate                                                     \
    }
double ar__zq_rate(const ar_method_options *o, const ar_scheme *scheme);
double ar__zq_range_rate(const ar_method_options *o, const ar_scheme *scheme);
ar__tune_desc ar__zq_describe(const ar_method_options *o);
ar_status ar__zq_settle(ar_method_options *o, const ar_observer *observer);
#endif
