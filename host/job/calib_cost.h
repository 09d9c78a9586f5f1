/* What drawing samples from the model takes. */
#ifndef AR_CALIB_COST_H
#define AR_CALIB_COST_H
#include "ar_host.h"

typedef struct ar__calib_cost {
    double seconds, flops;
    uint64_t cache_bytes; /* of keys and values, on the device */
} ar__calib_cost;
/* Of ar_calib_make without texts: measured with a few tokens. Tells stage "measure" when the most memory is
 * in use. Errors: as ar_calib_make's. */
ar_status ar__calib_measure(ar__calib_cost *cost, const ar_open_model *m, ar_device *device, int32_t count,
                            int32_t T, const ar_observer *observer);
#endif
