/* Errors and allocation: the per-thread error text, checked allocation with an injectable failure. */
#include "ar_error.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static _Thread_local char error_text[1024];
static _Thread_local int32_t alloc_countdown;

const char *ar_error(void) { return error_text; }

const char *ar_status_text(ar_status status) {
    switch (status) {
#define AR_STATUS_CASE(name, code, text)                                                                     \
    case AR_##name: return text;
        AR_STATUS_LIST(AR_STATUS_CASE)
#undef AR_STATUS_CASE
    }
    return "unknown status";
}

const char *ar_version(void) { return "0.1.0"; }

ar_status ar__fail(ar_status code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(error_text, sizeof error_text, format, args);
    va_end(args);
    return code;
}

void ar__alloc_fail_at(int32_t n) { alloc_countdown = n; }

void *ar__alloc(size_t count, size_t each) {
    bool injected = alloc_countdown > 0 && --alloc_countdown == 0;
    bool overflows = each && count > SIZE_MAX / each; /* calloc checks too, but sanitizers abort there */
    void *p = injected || overflows ? NULL : calloc(count ? count : 1, each ? each : 1);
    if (!p)
        ar__fail(AR_ERR_MEMORY, "cannot allocate %zu x %zu bytes%s", count, each,
                 injected ? " (injected)" : "");
    return p;
}
