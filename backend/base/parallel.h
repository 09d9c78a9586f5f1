/* Work of the host on all of its processors. */
#ifndef AR_PARALLEL_H
#define AR_PARALLEL_H
#include <stdint.h>

/* Calls work(ctx, i) once for every i in [0, count), on as many threads as there are processors, at most 16,
 * the caller's own among them, in any order; all calls are done when it returns. They must not fail and not
 * touch what another one writes. Where no thread can be had the caller does it all. */
void ar__parallel(int64_t count, void (*work)(void *ctx, int64_t i), void *ctx);
#endif
