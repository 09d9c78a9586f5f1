/* The Gram matrix of a linear's inputs: t (I, I) becomes X^T X over all positions, summed in f32. */
#include "tap.h"

static ar_status create(ar_tensor **t, ar_device *device, const ar_linear *lin) {
    return ar__zeros(t, device, AR_F32, 2, (const int64_t[]){lin->I, lin->I});
}

static ar_status finish(ar_tensor *t) {
    (void)t;
    return AR_OK;
}

const ar__tap ar__tap_gram = {"gram", NULL, create, ar_op_gram, finish};
