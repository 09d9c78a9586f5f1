/* The sum of every input's squares, as it is. */
#include "tap.h"

static ar_status create(ar_tensor **t, ar_device *device, const ar_linear *lin) {
    return ar__zeros(t, device, AR_F32, 1, &lin->I);
}

static ar_status finish(ar_tensor *t) {
    (void)t;
    return AR_OK;
}

const ar__tap ar__tap_squares = {"squares", NULL, create, ar_op_square_sums, finish};
