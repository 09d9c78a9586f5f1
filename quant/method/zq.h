/* What zq-local and zq-global share (zq.c). */
#ifndef AR_QUANT_ZQ_H
#define AR_QUANT_ZQ_H
#include "loss.h"
#include "methods.h"
#include "trainable.h"

#define AR__ZQ_RECIPES 3
extern const ar_recipe ar__zq_recipes[AR__ZQ_RECIPES];
double ar__zq_rate(const ar_method_options *o, const ar_scheme *scheme);
double ar__zq_range_rate(const ar_method_options *o, const ar_scheme *scheme);
ar__tune_desc ar__zq_describe(const ar_method_options *o);
ar_status ar__zq_settle(ar_method_options *o, const ar_observer *observer);
#endif
