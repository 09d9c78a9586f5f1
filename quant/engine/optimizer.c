/* The optimisers of the tuning engine: sign steps (equation 5 of docs/methods.md) on any state, Adam
 * (equation 13) on f32 state. */
#include "optimizer.h"
#include "ar_error.h"
#include "engine.h"
#include <stdlib.h>

static ar_status make_rates(ar__optimizer *o, ar_device *device) {
    float *rates = ar__alloc((size_t)o->iters * 2, sizeof *rates);
    if (!rates) return AR_ERR_MEMORY;
    ar_adam_rates(rates, o->iters);
    ar_status status = ar_tensor_create(&o->rates, device, AR_F32, 2, (const int64_t[]){o->iters, 2});
    if (status == AR_OK) status = ar_tensor_write(o->rates, rates, 0, (int64_t)o->iters * 2);
    free(rates);
    return status;
}

double ar__default_rate(int32_t iters, int32_t bits) { return iters >= 1000 && bits <= 3 ? 2.0 : 1.0; }

ar_status ar__optimizer_init(ar__optimizer *o, ar_device *device, ar_optimizer kind, int32_t iters,
                             ar_tensor *step) {
    *o = (ar__optimizer){.kind = kind, .iters = iters, .step = step};
    return kind == AR_OPTIMIZER_ADAM ? make_rates(o, device) : AR_OK;
}

void ar__optimizer_deinit(ar__optimizer *o) {
    ar_tensor_destroy(o->rates);
    o->rates = NULL;
}

ar_status ar__moments_init(ar__moments *m, const ar__optimizer *o, ar_device *device, int32_t dims,
                           const int64_t *dim) {
    if (o->kind != AR_OPTIMIZER_ADAM) return AR_OK;
    AR_TRY(ar__zeros(&m->mean, device, AR_F32, dims, dim));
    return ar__zeros(&m->square, device, AR_F32, dims, dim);
}

void ar__moments_deinit(ar__moments *m) {
    ar_tensor_destroy(m->mean);
    ar_tensor_destroy(m->square);
    *m = (ar__moments){NULL, NULL};
}

ar_status ar__optimizer_step(const ar__optimizer *o, ar_graph *g, ar_tensor *p, const ar_tensor *d,
                             const ar__moments *m, float lo, float hi) {
    if (o->kind == AR_OPTIMIZER_ADAM)
        return ar_op_adam_step(g, p, d, m->mean, m->square, o->step, o->rates, lo, hi);
    return ar_op_sign_step(g, p, d, o->step, o->iters, lo, hi);
}
