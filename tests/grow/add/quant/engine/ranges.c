/* The coefficients of ranges alone, in f32: every weight is rounded to nearest in the range that it is in. */
#include "trainable.h"
#include <math.h>
#include <stdlib.h>

typedef struct ranges {
    const ar__training *training;
    const ar_tensor *weight;
    ar_fq_desc fq;
    ar_tensor *range; /* (O, groups, 2) */
    ar_fq_state now, kept;
    ar__moments moments;
} ranges;

static ar_status check(const ar__tune_desc *d) {
    if (d->scheme.super == AR_SUPER_NONE) return AR_OK;
    return ar__fail(AR_ERR_USAGE, "ranges: found a double-quantized scheme, expected a plain one");
}

static ar_status create(void **state, const ar__training *training, const ar__site *site) {
    ranges *r = ar__alloc(1, sizeof *r);
    if (!r) return AR_ERR_MEMORY;
    *state = r;
    *r = (ranges){
        .training = training, .weight = site->weight, .fq = ar__linear_units(training->desc, &site->scheme)};
    int64_t O = ar_tensor_dim(site->weight, 0), I = ar_tensor_dim(site->weight, 1);
    int64_t dims[] = {O, ar_scheme_groups(&site->scheme, I), 2};
    AR_TRY(ar_tensor_create(&r->range, training->device, AR_F32, 3, dims));
    AR_TRY(ar__zeros(&r->now.mm, training->device, AR_F32, 3, dims));
    if (training->keeps_best) AR_TRY(ar__zeros(&r->kept.mm, training->device, AR_F32, 3, dims));
    return ar__moments_init(&r->moments, training->optimizer, training->device, 3, dims);
}

static ar_status start(void *state, ar_graph *g) {
    ranges *r = state;
    return ar_op_group_range(g, r->range, r->weight, &r->fq.scheme);
}

static ar_status replace(const void *state, ar_graph *g, ar_tensor **W, ar_tensor **memo, bool delivered) {
    (void)delivered;
    const ranges *r = state;
    return ar_op_fake_quant(g, W, memo, r->weight, r->range, &r->now, &r->fq);
}

static ar_status update(void *state, ar_graph *g, const ar_tensor *dW, const ar_tensor *memo) {
    ranges *r = state;
    ar_tensor *dv = NULL, *dmm = NULL;
    AR_TRY(ar_op_fq_grad(g, &dv, &dmm, dW, r->weight, r->range, memo, &r->now, &r->fq));
    return ar__optimizer_step(r->training->optimizer, g, r->now.mm, dmm, &r->moments, -floorf(r->fq.m_div),
                              0);
}

static ar_status keep(void *state, ar_graph *g, const ar_tensor *improved) {
    ranges *r = state;
    return r->kept.mm ? ar_op_copy_if(g, r->kept.mm, r->now.mm, improved) : AR_OK;
}

static ar_status deliver(ar_qlinear *q, const void *state) {
    const ranges *r = state;
    return ar__read_codes(q, r->training->device, r->weight, r->range,
                          r->training->keeps_best ? &r->kept : &r->now, &r->fq);
}

static ar_status leave(ar_qlinear *q, const void *state) {
    const ranges *r = state;
    return ar__leave_tensor(q, "ranges", r->training->keeps_best ? r->kept.mm : r->now.mm);
}

static ar_status resume(void *state, const ar_qlinear *q) {
    ranges *r = state;
    return ar__resume_tensor(r->now.mm, q, "ranges");
}

static void destroy(void *state) {
    ranges *r = state;
    if (!r) return;
    ar_tensor_destroy(r->range);
    ar_tensor_destroy(r->now.mm);
    ar_tensor_destroy(r->kept.mm);
    ar__moments_deinit(&r->moments);
    free(r);
}

const ar__trainable ar__trainable_ranges = {"ranges", false,   true,  check,  create,  start, replace, update,
                                            keep,     deliver, leave, resume, destroy, NULL,  NULL,    NULL};
