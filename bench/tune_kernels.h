/* The search behind `tune-kernels`: tiles of the kernels that a plan takes, measured on the device. */
#ifndef AR_TUNE_KERNELS_H
#define AR_TUNE_KERNELS_H
#include "program.h"

typedef struct ar_tuned_kernel {
    char kernel[24];
    uint32_t before[AR_TILE_VALUES], best[AR_TILE_VALUES];
    double before_s, best_s;    /* the sum over the shapes */
    int32_t tried, wrong, slow; /* candidates; of them computed wrongly, ended early */
} ar_tuned_kernel;

/* Tries tiles of `family` ("gemm", "gemv") on the device named by common, from the plan's own, one value at a
 * time, as long as one of them is faster by more than 3 % and the clock says less than `until` (ar__now_s).
 * Every candidate is compared with a scalar reference, with numbers around its output that must stay, before
 * it is timed. *found = false: the device's kernel has no tiles. on_try is told of every one; NULL = nobody.
 * Errors: CHECK (the plan's own tiles compute wrongly), those of devices. */
ar_status ar_tune_kernel(ar_tuned_kernel *result, bool *found, const char *family, const ar_common *common,
                         double until,
                         void (*on_try)(const char *kernel, const uint32_t *values, const char *verdict));
#endif
