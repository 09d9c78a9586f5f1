/* The table of methods. */
#include "methods.h"
#include <string.h>

static const ar_method *const methods[] = {
#define AR_METHOD(name) &ar__method_##name,
#include "methods.def"
#undef AR_METHOD
};

const ar_method *ar_method_at(int32_t index) {
    return index >= 0 && index < (int32_t)(sizeof methods / sizeof *methods) ? methods[index] : NULL;
}

const ar_method *ar_method_find(const char *name) {
    for (int32_t i = 0; ar_method_at(i); i++)
        if (strcmp(ar_method_at(i)->name, name) == 0) return ar_method_at(i);
    return NULL;
}

bool ar_method_weighs_inputs(const ar_method *method, const ar_scheme *scheme) {
    uint32_t taps = method->searches ? method->taps : ar__taps_of(method->taps, scheme);
    return taps & AR__TAP(importance);
}
