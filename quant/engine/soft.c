/* Soft codes (docs/methods.md, soft codes): every weight has a place among its group's codes, and the block
 * sees the softmax mean of the codes around it, ever sharper. Starts from a searched grid whose scales follow
 * by factors; zero points stay. */
#include "trainable.h"
#include <math.h>
#include <stdlib.h>

typedef struct soft {
    const ar__training *training;
    const ar_tensor *weight, *importance;
    ar_soft now;
    ar_tensor *start; /* (O, groups, 4) of double-quantized schemes, else NULL */
    ar_tensor *grid, *ab, *rates, *momentum;
    ar_tensor *kept_u, *kept_ab;
} soft;

static ar_status check(const ar__tune_desc *d) {
    if (d->optimizer == AR_OPTIMIZER_ADAM || d->state > AR_STATE_F32)
        return ar__fail(AR_ERR_USAGE, "soft codes are moved by Lion on f32 state only");
    return AR_OK;
}

static ar_status make_rates(soft *s) {
    const ar__tune_desc *d = s->training->desc;
    int32_t T = d->iters;
    float *rates = ar__alloc((size_t)(T + 1) * 4, sizeof *rates);
    if (!rates) return AR_ERR_MEMORY;
    float way = d->lr > 0.0f ? d->lr * (float)T : 0.5f,
          scale = d->minmax_lr > 0.0f ? d->minmax_lr * (float)T : 0.04f;
    ar_soft_rates(rates, T, way, d->no_minmax ? 0.0f : scale);
    ar_status status =
        ar_tensor_create(&s->rates, s->training->device, AR_F32, 2, (const int64_t[]){T + 1, 4});
    if (status == AR_OK) status = ar_tensor_write(s->rates, rates, 0, (int64_t)(T + 1) * 4);
    free(rates);
    return status;
}

/* a = b = 1, momenta 0. */
static ar_status make_factors(ar_tensor **ab, ar_device *device, int64_t O, int64_t units) {
    float *ones = ar__alloc((size_t)(O * units) * 4, sizeof *ones);
    if (!ones) return AR_ERR_MEMORY;
    for (int64_t i = 0; i < O * units; i++) ones[4 * i] = ones[4 * i + 1] = 1.0f;
    ar_status status = ar_tensor_create(ab, device, AR_F32, 3, (const int64_t[]){O, units, 4});
    if (status == AR_OK) status = ar_tensor_write(*ab, ones, 0, O * units * 4);
    free(ones);
    return status;
}

static ar_status create(void **state, const ar__training *training, const ar__site *site) {
    soft *s = ar__alloc(1, sizeof *s);
    if (!s) return AR_ERR_MEMORY;
    *state = s;
    *s = (soft){.training = training, .weight = site->weight, .importance = site->importance};
    ar_device *device = training->device;
    bool super = site->scheme.super != AR_SUPER_NONE;
    int64_t O = ar_tensor_dim(site->weight, 0), I = ar_tensor_dim(site->weight, 1),
            groups = ar_scheme_groups(&site->scheme, I), units = super ? I / AR_SUPER_BLOCK : groups;
    const int64_t dims[] = {O, I};
    if (super) AR_TRY(ar_tensor_create(&s->start, device, AR_F32, 3, (const int64_t[]){O, groups, 4}));
    AR_TRY(ar_tensor_create(&s->grid, device, AR_F32, 3, (const int64_t[]){O, groups, 2}));
    AR_TRY(make_factors(&s->ab, device, O, units));
    s->now = (ar_soft){.scheme = site->scheme, .grid = s->grid, .ab = s->ab};
    AR_TRY(ar_tensor_create(&s->now.u, device, AR_F32, 2, dims));
    if (training->desc->iters == 0) return AR_OK;
    AR_TRY(make_rates(s));
    AR_TRY(ar__zeros(&s->momentum, device, AR_F32, 2, dims));
    s->now.rates = s->rates;
    s->now.step = training->optimizer->step;
    if (!training->keeps_best) return AR_OK;
    AR_TRY(ar_tensor_create(&s->kept_u, device, AR_F32, 2, dims));
    return make_factors(&s->kept_ab, device, O, units);
}

static ar_status start(void *state, ar_graph *g) {
    soft *s = state;
    const ar_scheme *scheme = &s->now.scheme;
    if (!s->start) {
        AR_TRY(ar_op_group_search(g, s->grid, s->weight, s->importance, scheme));
    } else {
        AR_TRY(ar_op_super_start(g, s->start, s->weight, s->importance, scheme));
        AR_TRY(ar_op_super_grid(g, s->grid, s->start, scheme));
    }
    return ar_op_soft_start(g, s->now.u, s->weight, s->grid, scheme);
}

static ar_status replace(const void *state, ar_graph *g, ar_tensor **W, ar_tensor **memo, bool delivered) {
    const soft *s = state;
    *memo = NULL;
    return ar_op_soft_quant(g, W, &s->now, delivered);
}

static ar_status update(void *state, ar_graph *g, const ar_tensor *dW, const ar_tensor *memo) {
    soft *s = state;
    (void)memo;
    return ar_op_soft_step(g, &s->now, s->momentum, dW);
}

static ar_status keep(void *state, ar_graph *g, const ar_tensor *improved) {
    soft *s = state;
    AR_TRY(ar_op_copy_if(g, s->kept_u, s->now.u, improved));
    return ar_op_copy_if(g, s->kept_ab, s->ab, improved);
}

/* ---- delivery ---- */

static void take_codes(ar_qlinear *q, const float *u) {
    float Q = (float)((1 << q->scheme.bits) - 1);
    for (int64_t i = 0; i < q->O * q->I; i++) {
        float at = u[i] >= 512.0f ? u[i] - 512.0f : u[i];
        q->codes[i] = (uint8_t)fminf(fmaxf(rintf(at), 0.0f), Q);
    }
}

static void take_plain(ar_qlinear *q, const float *grid, const float *ab) {
    float Q = (float)((1 << q->scheme.bits) - 1);
    for (int64_t i = 0; i < q->O * q->groups; i++) {
        float S = grid[2 * i], M = grid[2 * i + 1], zero = S != 0.0f ? rintf(M / S) : 0.0f;
        q->scales[i] = ar_f32_to_f16(S * ab[4 * i]);
        q->zeros[i] = (uint8_t)fminf(fmaxf(zero, 0.0f), Q);
        if (q->scheme.zero == AR_ZERO_SYM) q->zeros[i] = (uint8_t)(1 << (q->scheme.bits - 1));
        if (q->mins) q->mins[i] = ar_f32_to_f16(-(M * ab[4 * i + 1]));
    }
}

static void take_super(ar_qlinear *q, const float *start, const float *ab) {
    int64_t per = AR_SUPER_BLOCK / q->scheme.group;
    for (int64_t i = 0; i < q->O * q->groups; i++) {
        const float *from = start + 4 * i, *by = ab + 4 * (i / per);
        q->d[i / per] = from[0] != 0.0f ? ar_f32_to_f16(from[0] * by[0]) : 0; /* no negative zero */
        q->sub_scales[i] = (int8_t)from[2];
        if (!q->dmin) continue;
        q->dmin[i / per] = ar_f32_to_f16(from[1] * by[1]);
        q->sub_mins[i] = (uint8_t)from[3];
    }
}

static ar_status deliver(ar_qlinear *q, const void *state) {
    const soft *s = state;
    ar_status status = AR_OK;
    bool kept = s->kept_u != NULL;
    const ar_tensor *table = s->start ? s->start : s->grid, *factors = kept ? s->kept_ab : s->ab;
    int64_t elems = q->O * q->I, groups = q->O * q->groups * (s->start ? 4 : 2),
            units = q->O * ar_tensor_dim(factors, 1) * 4;
    float *u = ar__alloc((size_t)elems, sizeof *u), *grid = ar__alloc((size_t)groups, sizeof *grid),
          *ab = ar__alloc((size_t)units, sizeof *ab);
    if (!u || !grid || !ab) AR_GO(AR_ERR_MEMORY);
    AR_GO(ar_tensor_read(kept ? s->kept_u : s->now.u, u, 0, elems));
    AR_GO(ar_tensor_read(table, grid, 0, groups));
    AR_GO(ar_tensor_read(factors, ab, 0, units));
    take_codes(q, u);
    if (s->start)
        take_super(q, grid, ab);
    else
        take_plain(q, grid, ab);
done:
    free(u);
    free(grid);
    free(ab);
    return status;
}

/* ---- from one unit to another ---- */

static ar_status leave(ar_qlinear *q, const void *state) {
    const soft *s = state;
    AR_TRY(ar__leave_tensor(q, "places", s->kept_u ? s->kept_u : s->now.u));
    return ar__leave_tensor(q, "factors", s->kept_ab ? s->kept_ab : s->ab);
}

/* Decided places are soft again, at their codes; momenta start at 0. */
static ar_status resume(void *state, const ar_qlinear *q) {
    soft *s = state;
    ar_status status = AR_OK;
    int64_t places = ar_tensor_count(s->now.u), factors = ar_tensor_count(s->ab);
    float *u = ar__alloc((size_t)places, sizeof *u), *ab = ar__alloc((size_t)factors, sizeof *ab);
    if (!u || !ab) AR_GO(AR_ERR_MEMORY);
    AR_GO(ar__resume_tensor(s->now.u, q, "places"));
    AR_GO(ar__resume_tensor(s->ab, q, "factors"));
    AR_GO(ar_tensor_read(s->now.u, u, 0, places));
    AR_GO(ar_tensor_read(s->ab, ab, 0, factors));
    for (int64_t i = 0; i < places; i++) u[i] = u[i] >= 512.0f ? u[i] - 512.0f : u[i];
    for (int64_t i = 0; i < factors; i += 4) ab[i + 2] = ab[i + 3] = 0.0f;
    AR_GO(ar_tensor_write(s->now.u, u, 0, places));
    AR_GO(ar_tensor_write(s->ab, ab, 0, factors));
done:
    free(u);
    free(ab);
    return status;
}

static void destroy(void *state) {
    soft *s = state;
    if (!s) return;
    ar_tensor *tensors[] = {s->start, s->grid, s->ab, s->rates, s->momentum, s->now.u, s->kept_u, s->kept_ab};
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) ar_tensor_destroy(tensors[i]);
    free(s);
}

const ar__trainable ar__trainable_soft = {"soft", true, check,   create, start,  replace,
                                          update, keep, deliver, leave,  resume, destroy};
