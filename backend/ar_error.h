/* How anyround's own code makes errors and allocates; shared by backend, quant and host, not installed. */
#ifndef AR_ERROR_H
#define AR_ERROR_H
#include "ar_backend.h"

#if defined(__GNUC__)
#define AR__PRINTF(a, b) __attribute__((format(printf, a, b)))
#else
#define AR__PRINTF(a, b)
#endif
/* Sets this thread's error text and returns code: the only way to make an error. */
ar_status ar__fail(ar_status code, const char *format, ...) AR__PRINTF(2, 3);
#define AR_TRY(call)                                                                                         \
    do {                                                                                                     \
        ar_status try_status_ = (call);                                                                      \
        if (try_status_ != AR_OK) return try_status_;                                                        \
    } while (0)
/* For functions that hold something: needs `ar_status status` and a label `done`. */
#define AR_GO(call)                                                                                          \
    do {                                                                                                     \
        status = (call);                                                                                     \
        if (status != AR_OK) goto done;                                                                      \
    } while (0)

/* Zeroed memory, count * each checked for overflow; NULL with the error set. free() releases.
 * ar__alloc_fail_at(n) makes the n-th following call on this thread fail (tests); 0 = never. */
void *ar__alloc(size_t count, size_t each);
void ar__alloc_fail_at(int32_t n);

/* The decimal number that text begins with, and where it ends: no blanks before it, no 0x10, inf or nan, as
 * strtod takes them. *end = text where there is none. backend/base/number.c */
double ar__decimal(const char *text, const char **end);

/* Seconds of a clock that never goes back, since some moment. backend/base/clock.c */
double ar__now_s(void);
#endif
