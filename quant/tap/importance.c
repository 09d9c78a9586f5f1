/* How much each input of a linear counts: t (I) becomes the mean square that it has on the calibration data,
 * divided by the mean of those and at least 2^-20. llama.cpp calls the same numbers an importance matrix. */
#include "tap.h"
#include <math.h>
#include <stdlib.h>

static const float least = 0x1p-20f; /* an input that never fires still keeps its group's fit determined */

/* Where scales are fitted to weights and quantized themselves, the fit is weighted. */
static bool applies(const ar_scheme *scheme) { return scheme->super != AR_SUPER_NONE; }

static ar_status create(ar_tensor **t, ar_device *device, const ar_linear *lin) {
    return ar__zeros(t, device, AR_F32, 1, &lin->I);
}

static void normalize(float *sums, int64_t I) {
    double mean = 0.0;
    for (int64_t i = 0; i < I; i++) mean += (double)sums[i] / (double)I;
    for (int64_t i = 0; i < I; i++) {
        float x = mean > 0.0 && isfinite(mean) ? (float)((double)sums[i] / mean) : 1.0f;
        sums[i] = x > least ? x : least;
    }
}

static ar_status finish(ar_tensor *t) {
    ar_status status = AR_OK;
    int64_t I = ar_tensor_count(t);
    float *sums = ar__alloc((size_t)I, sizeof *sums);
    if (!sums) return AR_ERR_MEMORY;
    AR_GO(ar_tensor_read(t, sums, 0, I));
    normalize(sums, I);
    status = ar_tensor_write(t, sums, 0, I);
done:
    free(sums);
    return status;
}

ar_status ar__importance_take(ar__taps *t, float *moments, int32_t i) {
    ar_tensor *list = t->layers[AR__TAP_importance].list[i];
    int64_t I = ar_tensor_count(list);
    normalize(moments, I);
    return ar_tensor_write(list, moments, 0, I);
}

const ar__tap ar__tap_importance = {"importance", applies, create, ar_op_square_sums, finish};
