/* How far the tokens' inputs of a linear reach: t (2, bins) counts their smallest and largest values. */
#include "tap.h"

static ar_status create(ar_tensor **t, ar_device *device, const ar_linear *lin) {
    (void)lin;
    return ar__zeros(t, device, AR_F32, 2, (const int64_t[]){2, AR_ACTS_BINS});
}

static ar_status finish(ar_tensor *t) {
    (void)t;
    return AR_OK;
}

const ar__tap ar__tap_tails = {"tails", NULL, create, ar_op_acts_count, finish};
