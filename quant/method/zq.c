/* Options of zq-local and zq-global: both move weights by Adam, and differ in what they lower. */
#include "zq.h"
#include <math.h>

static bool is_trained(const ar_method_options *o) { return ar_method_options_get(o, "minmax") != 0.0; }

double ar__zq_rate(const ar_method_options *o, const ar_scheme *scheme) {
    return ar__weight_rate((int32_t)ar_method_options_get(o, "iters"), scheme->bits);
}

double ar__zq_range_rate(const ar_method_options *o, const ar_scheme *scheme) {
    (void)scheme;
    return is_trained(o) ? 0.04 / fmax(ar_method_options_get(o, "iters"), 1.0) : 0.0;
}

ar__tune_desc ar__zq_describe(const ar_method_options *o) {
    ar__tune_desc desc = ar__tuning_describe(o);
    if (!(desc.minmax_lr > 0.0f)) desc.minmax_lr = (float)ar__zq_range_rate(o, NULL);
    return desc;
}

ar_status ar__zq_settle(ar_method_options *o, const ar_observer *observer) {
    ar__tune_desc desc = ar__zq_describe(o);
    if (desc.no_minmax && ar_method_options_given(o, "minmax_lr"))
        return ar__fail(AR_ERR_USAGE, "--minmax-lr has no effect without --minmax");
    return ar__tuning_settle(o, &desc, observer);
}
