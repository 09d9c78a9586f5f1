/* The search behind `tune-kernels`: tiles of the kernels that a plan takes, measured on the device. */
#ifndef AR_TUNE_KERNELS_H
#define AR_TUNE_KERNELS_H
#include "program.h"

typedef struct ar_tuned_kernel {
    char kernel[24];
    const char *bucket;
    uint32_t before[AR_TILE_VALUES], best[AR_TILE_VALUES];
    double before_s, best_s;    /* the sum over the bucket's shapes */
    int32_t tried, wrong, slow; /* candidates; of them computed wrongly, ended early */
} ar_tuned_kernel;

/* Tries tiles of `family` ("gemm", "gemv") on the device named by common, from the plan's own, one value at a
 * time, as long as one of them is faster by more than 3 % and the clock is not at `until` (ar__now_s): half
 * of the time from `from` on for tiles of all shapes, then, from those, for each bucket that matters. Every
 * candidate is compared with a scalar reference, with numbers around its output that must stay, before it is
 * timed. result: AR_TILE_BUCKETS + 1 of them, *found are filled; 0: the device's kernel has no tiles. on_try
 * is told of every one; NULL = nobody. Errors: CHECK (the plan's own tiles compute wrongly), those of
 * devices. */
typedef void ar_tune_told(const ar_tuned_kernel *r, const uint32_t *values, const char *verdict);
ar_status ar_tune_kernel(ar_tuned_kernel *result, int32_t *found, const char *family, const ar_common *common,
                         double from, double until, ar_tune_told *on_try);
#endif
