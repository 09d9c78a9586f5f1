/* The table of output formats that formats.def makes, and what the formats of a run can hold together. */
#include "formats.h"
#include <string.h>

static const ar_format *const formats[] = {
#define AR_FORMAT(name) &ar__format_##name,
#include "formats.def"
#undef AR_FORMAT
};

const ar_format *ar_format_at(int32_t i) {
    return i >= 0 && i < (int32_t)(sizeof formats / sizeof *formats) ? formats[i] : NULL;
}

const ar_format *ar_format_find(const char *name) {
    for (int32_t i = 0; ar_format_at(i); i++)
        if (strcmp(ar_format_at(i)->name, name) == 0) return ar_format_at(i);
    return NULL;
}

bool ar_output_plan_holds(const ar_output_plan *plan, int64_t O, int64_t I) {
    if (plan->scheme.bits > 8) return false; /* a float type */
    for (int32_t i = 0; i < plan->format_count; i++) {
        ar_storage s = {0};
        if (ar_format_find(plan->formats[i])->storage(&s, plan) != AR_OK) return false;
        if (s.k_multiple > 1 && I % s.k_multiple != 0) return false;
        if (s.n_multiple > 1 && O % s.n_multiple != 0) return false;
        int64_t group = plan->scheme.group;
        if (!s.short_group && group > 0 && I > group && I % group != 0) return false;
    }
    return true;
}
