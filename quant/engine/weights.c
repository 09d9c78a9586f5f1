/* The weights themselves, moved by Adam through the quantizer as if it were not there (ZeroQuant, arXiv
 * 2206.01861 and 2303.08302; docs/methods.md, zq). Ranges follow the weights; coefficients of them may be
 * trained too (as EfficientQAT's Block-AP trains scales, arXiv 2407.11062). */
#include "trainable.h"
#include <math.h>
#include <stdlib.h>

typedef struct weights {
    const ar__training *training;
    const ar_tensor *importance;
    const ar_tensor *first; /* the weights as they were */
    ar_fq_desc fq;
    ar_tensor *range, *W, *kept_W;
    ar_fq_state now, kept;       /* coefficients alone */
    ar__optimizer adam, adam_mm; /* their rates in weights' own measure, and in units */
    ar__moments W_moments, mm_moments;
} weights;

/* The ranges are those of the weights there are now; what super-blocks have of the first ones takes a search,
 * and stays. */
static bool follows(const weights *w) { return w->fq.scheme.super == AR_SUPER_NONE; }

double ar__weight_rate(int32_t iters, int32_t bits) {
    return 4.0 / ((double)((1 << bits) - 1) * (iters > 0 ? iters : 1));
}

/* The root mean square of a linear's weights, in which its steps are measured. */
static ar_status measure(float *rms, const ar_tensor *W) {
    int64_t count = ar_tensor_count(W);
    float *host = ar__alloc((size_t)count, sizeof *host);
    double sum = 0.0;
    if (!host) return AR_ERR_MEMORY;
    ar_status status = ar_tensor_read(W, host, 0, count);
    for (int64_t i = 0; i < count; i++) sum += (double)host[i] * (double)host[i];
    *rms = (float)sqrt(sum / (double)count);
    free(host);
    return status;
}

static ar_status check(const ar__tune_desc *d) {
    if (d->state > AR_STATE_F32) return ar__fail(AR_ERR_USAGE, "weights are moved by Adam on f32 state only");
    return AR_OK;
}

/* Adam, its first step `rate` units long. */
static ar_status make_adam(ar__optimizer *adam, const ar__training *training, float rate) {
    int32_t T = training->desc->iters;
    float *rates = ar__alloc((size_t)T * 2, sizeof *rates);
    if (!rates) return AR_ERR_MEMORY;
    ar_adam_rates(rates, T);
    for (int32_t t = 0; t < T; t++) rates[2 * t] *= rate / (float)T;
    *adam = (ar__optimizer){.kind = AR_OPTIMIZER_ADAM, .iters = T, .step = training->optimizer->step};
    ar_status status = ar_tensor_create(&adam->rates, training->device, AR_F32, 2, (const int64_t[]){T, 2});
    if (status == AR_OK) status = ar_tensor_write(adam->rates, rates, 0, (int64_t)T * 2);
    free(rates);
    return status;
}

static ar_status create(void **state, const ar__training *training, const ar__site *site) {
    weights *w = ar__alloc(1, sizeof *w);
    if (!w) return AR_ERR_MEMORY;
    *state = w;
    *w = (weights){.training = training,
                   .first = site->weight,
                   .importance = site->importance,
                   .fq = ar__linear_units(training->desc, &site->scheme)};
    const ar__tune_desc *d = training->desc;
    ar_device *device = training->device;
    bool super = site->scheme.super != AR_SUPER_NONE;
    int64_t O = ar_tensor_dim(site->weight, 0), I = ar_tensor_dim(site->weight, 1),
            groups = ar_scheme_groups(&site->scheme, I);
    const int64_t dims[] = {O, I}, mm_dims[] = {O, groups, 2};
    w->fq.v_div = 0.0f;
    AR_TRY(ar_tensor_create(&w->range, device, AR_F32, 3, (const int64_t[]){O, groups, super ? 4 : 2}));
    AR_TRY(ar_tensor_create(&w->W, device, AR_F32, 2, dims));
    if (d->iters == 0) return AR_OK;
    float rms, rate = d->lr > 0.0f ? d->lr : (float)ar__weight_rate(d->iters, site->scheme.bits);
    AR_TRY(measure(&rms, site->weight));
    AR_TRY(make_adam(&w->adam, training, rate * rms));
    AR_TRY(ar__moments_init(&w->W_moments, &w->adam, device, 2, dims));
    if (training->keeps_best) AR_TRY(ar_tensor_create(&w->kept_W, device, AR_F32, 2, dims));
    if (w->fq.m_div == 0.0f) return AR_OK;
    AR_TRY(make_adam(&w->adam_mm, training, (float)d->iters));
    AR_TRY(ar__moments_init(&w->mm_moments, &w->adam_mm, device, 3, mm_dims));
    AR_TRY(ar__zeros(&w->now.mm, device, AR_F32, 3, mm_dims));
    return training->keeps_best ? ar__zeros(&w->kept.mm, device, AR_F32, 3, mm_dims) : AR_OK;
}

static ar_status start(void *state, ar_graph *g) {
    weights *w = state;
    AR_TRY(ar_op_copy(g, w->W, w->first));
    if (w->fq.scheme.super != AR_SUPER_NONE)
        return ar_op_super_start(g, w->range, w->first, w->importance, &w->fq.scheme);
    return ar_op_group_range(g, w->range, w->first, &w->fq.scheme);
}

static ar_status replace(const void *state, ar_graph *g, ar_tensor **W, ar_tensor **memo, bool delivered) {
    const weights *w = state;
    (void)delivered; /* the block always sees that */
    if (follows(w)) AR_TRY(ar_op_group_range(g, w->range, w->W, &w->fq.scheme));
    return ar_op_fake_quant(g, W, memo, w->W, w->range, &w->now, &w->fq);
}

static ar_status update(void *state, ar_graph *g, const ar_tensor *dW, const ar_tensor *memo) {
    weights *w = state;
    ar_tensor *dv = NULL, *dmm = NULL;
    bool super = w->fq.scheme.super != AR_SUPER_NONE;
    float low = -floorf((super ? 0.5f : 1.0f) * w->fq.m_div), high = super ? -low : 0.0f;
    if (w->now.mm) AR_TRY(ar_op_fq_grad(g, &dv, &dmm, dW, w->W, w->range, memo, &w->now, &w->fq));
    AR_TRY(ar__optimizer_step(&w->adam, g, w->W, dW, &w->W_moments, -INFINITY, INFINITY));
    if (!w->now.mm) return AR_OK;
    return ar__optimizer_step(&w->adam_mm, g, w->now.mm, dmm, &w->mm_moments, low, high);
}

static ar_status keep(void *state, ar_graph *g, const ar_tensor *improved) {
    weights *w = state;
    if (w->kept.mm) AR_TRY(ar_op_copy_if(g, w->kept.mm, w->now.mm, improved));
    return ar_op_copy_if(g, w->kept_W, w->W, improved);
}

static ar_status deliver(ar_qlinear *q, const void *state) {
    const weights *w = state;
    return ar__read_codes(q, w->training->device, w->kept_W ? w->kept_W : w->W, follows(w) ? NULL : w->range,
                          w->kept_W ? &w->kept : &w->now, &w->fq);
}

static ar_status leave(ar_qlinear *q, const void *state) {
    const weights *w = state;
    AR_TRY(ar__leave_tensor(q, "weights", w->kept_W ? w->kept_W : w->W));
    return w->now.mm ? ar__leave_tensor(q, "ranges", w->kept.mm ? w->kept.mm : w->now.mm) : AR_OK;
}

static ar_status resume(void *state, const ar_qlinear *q) {
    weights *w = state;
    AR_TRY(ar__resume_tensor(w->W, q, "weights"));
    return w->now.mm ? ar__resume_tensor(w->now.mm, q, "ranges") : AR_OK;
}

static void destroy(void *state) {
    weights *w = state;
    if (!w) return;
    ar_tensor *tensors[] = {w->range, w->W, w->kept_W, w->now.mm, w->kept.mm};
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) ar_tensor_destroy(tensors[i]);
    ar__optimizer_deinit(&w->adam);
    ar__optimizer_deinit(&w->adam_mm);
    ar__moments_deinit(&w->W_moments);
    ar__moments_deinit(&w->mm_moments);
    free(w);
}

const ar__trainable ar__trainable_weights = {"weights", false,  true, check,   create, start,
                                             replace,   update, keep, deliver, leave,  resume,
                                             destroy,   NULL,   NULL, NULL};
