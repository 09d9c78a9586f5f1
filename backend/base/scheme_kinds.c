/* Schemes: which bits, groups and zero points there are (docs/methods.md). */
#include "ar_error.h"

ar_scheme ar_scheme_super(ar_super super) {
    static const ar_scheme schemes[AR_SUPER_COUNT] = {
        [AR_SUPER_Q2_K] = {2, 16, AR_ZERO_F16MIN, 0, AR_SUPER_Q2_K},
        [AR_SUPER_Q3_K] = {3, 16, AR_ZERO_SYM, 0, AR_SUPER_Q3_K},
        [AR_SUPER_Q4_K] = {4, 32, AR_ZERO_F16MIN, 0, AR_SUPER_Q4_K},
        [AR_SUPER_Q5_K] = {5, 32, AR_ZERO_F16MIN, 0, AR_SUPER_Q5_K},
        [AR_SUPER_Q6_K] = {6, 16, AR_ZERO_SYM, 0, AR_SUPER_Q6_K}};
    return super > AR_SUPER_NONE && super < AR_SUPER_COUNT ? schemes[super] : (ar_scheme){0};
}

ar_status ar_scheme_check(const ar_scheme *s) {
    if (s->super != AR_SUPER_NONE) {
        ar_scheme own = ar_scheme_super(s->super);
        if (own.bits == 0 || s->bits != own.bits || s->group != own.group || s->zero != own.zero ||
            s->zero_min != 0)
            return ar__fail(AR_ERR_ARG,
                            "scheme: %d bits in groups of %d with zero kind %d in super-blocks of kind %d, "
                            "expected that kind's own",
                            (int)s->bits, (int)s->group, (int)s->zero, (int)s->super);
        return AR_OK;
    }
    if (s->bits < 2 || s->bits > 8)
        return ar__fail(AR_ERR_ARG, "scheme: %d bits, expected 2 to 8", (int)s->bits);
    if (s->group < 1 && s->group != -1)
        return ar__fail(AR_ERR_ARG, "scheme: group %d, expected at least 1, or -1 for whole rows",
                        (int)s->group);
    if (s->zero != AR_ZERO_SYM && s->zero != AR_ZERO_INT && s->zero != AR_ZERO_F16MIN)
        return ar__fail(AR_ERR_ARG, "scheme: unknown zero kind %d", (int)s->zero);
    int32_t most = s->zero == AR_ZERO_INT ? (1 << s->bits) - 1 : 0;
    if (s->zero_min < 0 || s->zero_min > most)
        return ar__fail(AR_ERR_ARG, "scheme: smallest zero point %d, expected 0 to %d", (int)s->zero_min,
                        (int)most);
    return AR_OK;
}

int64_t ar_scheme_groups(const ar_scheme *scheme, int64_t I) {
    if (scheme->group < 0 || scheme->group >= I) return 1;
    return (I + scheme->group - 1) / scheme->group;
}
