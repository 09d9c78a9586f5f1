/* The clock that durations are told by. */
#include "ar_error.h"
#include <time.h>

double ar__now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
