/* Rounding offsets V and the coefficients of ranges, or of multiples in double-quantized structures
 * (SignRound, arXiv 2309.05516; equations 1-12 of docs/methods.md), as whole multiples of a unit. */
#include "trainable.h"
#include <math.h>
#include <stdlib.h>

#define COUNTED 16777216.0f /* whole numbers up to here are exact in f32 */

typedef struct rounding {
    const ar__training *training;
    const ar_tensor *weight, *importance;
    ar_fq_desc fq;
    ar_tensor *range; /* (O, groups, 2), or a start (O, groups, 4) */
    ar_fq_state now, kept;
    ar__moments v_moments, mm_moments;
} rounding;

/* ---- units and state kinds ---- */

/* Multiples of lr / iters that make up 1: v_div = iters / lr, exact for the default rates. */
static float unit_count(const ar__tune_desc *d, float lr, int32_t bits) {
    double n = d->iters, scale = ar__default_rate(d->iters, bits);
    return (float)(lr > 0.0f ? n / (double)lr : n * n / scale);
}

/* The multiples of a double-quantized structure start where a search left them and are whole numbers: at the
 * rate of the offsets they leave that place faster than anything is learned (docs/methods.md). */
ar_fq_desc ar__linear_units(const ar__tune_desc *d, const ar_scheme *scheme) {
    bool slow = scheme->super != AR_SUPER_NONE && !(d->minmax_lr > 0.0f);
    float m_div = unit_count(d, d->minmax_lr > 0.0f ? d->minmax_lr : d->lr, scheme->bits);
    return (ar_fq_desc){*scheme, unit_count(d, d->lr, scheme->bits),
                        d->no_minmax ? 0.0f
                        : slow       ? 16.0f * m_div
                                     : m_div};
}

/* The farthest multiple that sign steps reach, in all windows of a block. */
static double reach_of(const ar__tune_desc *d) {
    return 0.5 * d->iters * (d->iters + 1.0) * ar_window_visits(&d->window);
}

/* The most steps that stay within the counts. */
static int32_t most_iters(const ar__tune_desc *d) {
    return (int32_t)(sqrt(0.25 + 2.0 * (double)COUNTED / ar_window_visits(&d->window)) - 0.5);
}

static ar_status check(const ar__tune_desc *d) {
    double reach = reach_of(d);
    if (reach > (double)COUNTED)
        return ar__fail(AR_ERR_USAGE, "iters: found %d, expected at most %d (24-bit counts)", (int)d->iters,
                        (int)most_iters(d));
    if (d->state == AR_STATE_I16 && reach > 32767.0)
        return ar__fail(AR_ERR_USAGE, "16-bit state: %d iterations reach %.0f, expected at most 32767",
                        (int)d->iters, reach);
    if (d->optimizer == AR_OPTIMIZER_ADAM && d->state != AR_STATE_AUTO && d->state != AR_STATE_F32)
        return ar__fail(AR_ERR_USAGE, "integer state: Adam's steps are no whole multiples, expected f32");
    return AR_OK;
}

static ar_dtype dtype_of(const ar__tune_desc *d) {
    if (d->state == AR_STATE_F32 || d->optimizer == AR_OPTIMIZER_ADAM) return AR_F32;
    return d->state == AR_STATE_I32 || reach_of(d) > 32767.0 ? AR_I32 : AR_I16;
}

/* ---- the life of one site ---- */

static ar_status create(void **state, const ar__training *training, const ar__site *site) {
    rounding *r = ar__alloc(1, sizeof *r);
    if (!r) return AR_ERR_MEMORY;
    *state = r;
    *r = (rounding){.training = training,
                    .weight = site->weight,
                    .importance = site->importance,
                    .fq = ar__linear_units(training->desc, &site->scheme)};
    ar_device *device = training->device;
    ar_dtype dtype = dtype_of(training->desc);
    int64_t O = ar_tensor_dim(site->weight, 0), I = ar_tensor_dim(site->weight, 1),
            groups = ar_scheme_groups(&site->scheme, I), each = site->scheme.super != AR_SUPER_NONE ? 4 : 2;
    int64_t v_dims[] = {O, I}, mm_dims[] = {O, groups, 2};
    AR_TRY(ar_tensor_create(&r->range, device, AR_F32, 3, (const int64_t[]){O, groups, each}));
    AR_TRY(ar__zeros(&r->now.v, device, dtype, 2, v_dims));
    if (training->keeps_best) AR_TRY(ar__zeros(&r->kept.v, device, dtype, 2, v_dims));
    AR_TRY(ar__moments_init(&r->v_moments, training->optimizer, device, 2, v_dims));
    if (r->fq.m_div > 0.0f) {
        AR_TRY(ar__moments_init(&r->mm_moments, training->optimizer, device, 3, mm_dims));
        AR_TRY(ar__zeros(&r->now.mm, device, dtype, 3, mm_dims));
        if (training->keeps_best) AR_TRY(ar__zeros(&r->kept.mm, device, dtype, 3, mm_dims));
    }
    return AR_OK;
}

static ar_status start(void *state, ar_graph *g) {
    rounding *r = state;
    if (r->fq.scheme.super != AR_SUPER_NONE)
        return ar_op_super_start(g, r->range, r->weight, r->importance, &r->fq.scheme);
    return ar_op_group_range(g, r->range, r->weight, &r->fq.scheme);
}

static ar_status replace(const void *state, ar_graph *g, ar_tensor **W, ar_tensor **memo, bool delivered) {
    const rounding *r = state;
    (void)delivered; /* the block always sees that */
    return ar_op_fake_quant(g, W, memo, r->weight, r->range, &r->now, &r->fq);
}

/* dW -> the gradients of V and the coefficients -> their steps. V is not bounded: the schedule bounds sign
 * steps. */
static ar_status update(void *state, ar_graph *g, const ar_tensor *dW, const ar_tensor *memo) {
    rounding *r = state;
    const ar__optimizer *optimizer = r->training->optimizer;
    ar_tensor *dv = NULL, *dmm = NULL;
    AR_TRY(ar_op_fq_grad(g, &dv, &dmm, dW, r->weight, r->range, memo, &r->now, &r->fq));
    if (r->now.v) AR_TRY(ar__optimizer_step(optimizer, g, r->now.v, dv, &r->v_moments, -COUNTED, COUNTED));
    bool super = r->fq.scheme.super != AR_SUPER_NONE;
    float low = -floorf((super ? 0.5f : 1.0f) * r->fq.m_div), high = super ? -low : 0.0f;
    if (r->now.mm) AR_TRY(ar__optimizer_step(optimizer, g, r->now.mm, dmm, &r->mm_moments, low, high));
    return AR_OK;
}

/* The same steps within the product. */
static ar_status update_product(void *state, ar_graph *g, bool *taken, const ar_tensor *dy,
                                const ar_tensor *x, const ar_tensor *memo) {
    rounding *r = state;
    const ar__optimizer *optimizer = r->training->optimizer;
    const ar_fq_bounds bounds = {optimizer->step, optimizer->iters,     -COUNTED,
                                 COUNTED,         -floorf(r->fq.m_div), 0.0f};
    *taken = false;
    if (optimizer->kind != AR_OPTIMIZER_SIGN) return AR_OK;
    return ar_op_fq_step(g, taken, dy, x, r->weight, r->range, memo, &r->now, &r->fq, &bounds);
}

static ar_status keep(void *state, ar_graph *g, const ar_tensor *improved) {
    rounding *r = state;
    if (r->kept.v) AR_TRY(ar_op_copy_if(g, r->kept.v, r->now.v, improved));
    if (r->kept.mm) AR_TRY(ar_op_copy_if(g, r->kept.mm, r->now.mm, improved));
    return AR_OK;
}

static const ar_fq_state *delivered_state(const rounding *r) {
    return r->training->keeps_best ? &r->kept : &r->now;
}

static ar_status deliver(ar_qlinear *q, const void *state) {
    const rounding *r = state;
    return ar__read_codes(q, r->training->device, r->weight, r->range, delivered_state(r), &r->fq);
}

static ar_status leave(ar_qlinear *q, const void *state) {
    const ar_fq_state *st = delivered_state(state);
    AR_TRY(ar__leave_tensor(q, "offsets", st->v));
    return st->mm ? ar__leave_tensor(q, "ranges", st->mm) : AR_OK;
}

static ar_status resume(void *state, const ar_qlinear *q) {
    rounding *r = state;
    AR_TRY(ar__resume_tensor(r->now.v, q, "offsets"));
    return r->now.mm ? ar__resume_tensor(r->now.mm, q, "ranges") : AR_OK;
}

static void destroy(void *state) {
    rounding *r = state;
    if (!r) return;
    ar_tensor *tensors[] = {r->range, r->now.v, r->now.mm, r->kept.v, r->kept.mm};
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) ar_tensor_destroy(tensors[i]);
    ar__moments_deinit(&r->v_moments);
    ar__moments_deinit(&r->mm_moments);
    free(r);
}

const ar__trainable ar__trainable_rounding = {"rounding", false,  true, check,         create, start,
                                              replace,    update, keep, deliver,       leave,  resume,
                                              destroy,    NULL,   NULL, update_product};
