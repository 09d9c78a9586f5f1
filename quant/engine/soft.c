/* Soft codes (docs/methods.md, soft codes): every weight has a place among its group's codes, and the block
 * sees the softmax mean of the codes around it, ever sharper; or a code between the two around it, which are
 * decided in stages (docs/frozen.md). Starts from a searched grid whose scales follow by factors; zero points
 * stay. */
#include "trainable.h"
#include <math.h>
#include <stdlib.h>

typedef struct soft {
    const ar__training *training;
    const ar_tensor *weight, *importance;
    const ar_qlinear *from; /* whose codes and grid tuning starts from; NULL = a search */
    ar_soft now;
    ar_tensor *start; /* (O, groups, 4) of double-quantized schemes, else NULL */
    ar_tensor *grid, *ab, *rates, *momentum;
    ar_tensor *kept_u, *kept_ab;
    ar_tensor *room; /* AR_SOFT_TWO: how far from the middle a place is decided (1) */
    ar_graph *decide;
} soft;

static ar_status check(const ar__tune_desc *d) {
    if (d->optimizer == AR_OPTIMIZER_ADAM || d->state > AR_STATE_F32)
        return ar__fail(AR_ERR_USAGE, "soft codes are moved by their own optimizer, on f32 state only");
    return AR_OK;
}

static ar_status make_rates(soft *s) {
    const ar__tune_desc *d = s->training->desc;
    int32_t T = d->iters;
    float *rates = ar__alloc((size_t)(T + 1) * 4, sizeof *rates);
    if (!rates) return AR_ERR_MEMORY;
    bool two = s->now.form == AR_SOFT_TWO;
    float way = d->lr > 0.0f ? d->lr * (float)T
                : two        ? 1.5f
                             : 0.5f,
          scale = d->minmax_lr > 0.0f ? d->minmax_lr * (float)T
                  : two               ? 0.25f
                                      : 0.04f;
    (two ? ar_frozen_rates : ar_soft_rates)(rates, T, way, d->no_minmax ? 0.0f : scale);
    ar_status status =
        ar_tensor_create(&s->rates, s->training->device, AR_F32, 2, (const int64_t[]){T + 1, 4});
    if (status == AR_OK) status = ar_tensor_write(s->rates, rates, 0, (int64_t)(T + 1) * 4);
    free(rates);
    return status;
}

/* a = b = 1, momenta 0: `each` numbers. */
static ar_status make_factors(ar_tensor **ab, ar_device *device, int64_t O, int64_t units, int64_t each) {
    float *ones = ar__alloc((size_t)(O * units), (size_t)each * sizeof *ones);
    if (!ones) return AR_ERR_MEMORY;
    for (int64_t i = 0; i < O * units; i++) ones[each * i] = ones[each * i + 1] = 1.0f;
    ar_status status = ar_tensor_create(ab, device, AR_F32, 3, (const int64_t[]){O, units, each});
    if (status == AR_OK) status = ar_tensor_write(*ab, ones, 0, O * units * each);
    free(ones);
    return status;
}

/* What a step of AR_SOFT_TWO wants more: second moments, and a graph that decides. */
static ar_status make_two(soft *s, int64_t O, int64_t I) {
    ar_device *device = s->training->device;
    AR_TRY(ar__zeros(&s->now.square, device, AR_F32, 2, (const int64_t[]){O, I}));
    AR_TRY(ar__zeros(&s->room, device, AR_F32, 1, (const int64_t[]){1}));
    AR_TRY(ar_graph_create(&s->decide, device));
    AR_TRY(ar_op_frozen_decide(s->decide, s->now.u, s->room, &s->now.scheme));
    return ar_graph_build(s->decide);
}

/* The grid of given codes, and what a double-quantized one is delivered with. */
static ar_status take_grid(soft *s) {
    const ar_qlinear *q = s->from;
    int64_t count = q->O * q->groups, per = q->d ? AR_SUPER_BLOCK / q->scheme.group : 1;
    float *grid = ar__alloc((size_t)count, 6 * sizeof *grid), *start = grid ? grid + 2 * count : NULL;
    if (!grid) return AR_ERR_MEMORY;
    ar__qlinear_grid(grid, q);
    for (int64_t i = 0; q->d && i < count; i++) {
        start[4 * i] = ar_f16_to_f32(q->d[i / per]);
        start[4 * i + 1] = q->dmin ? ar_f16_to_f32(q->dmin[i / per]) : 0.0f;
        start[4 * i + 2] = (float)q->sub_scales[i];
        start[4 * i + 3] = q->sub_mins ? (float)q->sub_mins[i] : 0.0f;
    }
    ar_status status = ar_tensor_write(s->grid, grid, 0, count * 2);
    if (status == AR_OK && s->start) status = ar_tensor_write(s->start, start, 0, count * 4);
    free(grid);
    return status;
}

static ar_status create(void **state, const ar__training *training, const ar__site *site, ar_soft_form form) {
    soft *s = ar__alloc(1, sizeof *s);
    if (!s) return AR_ERR_MEMORY;
    *state = s;
    *s = (soft){
        .training = training, .weight = site->weight, .importance = site->importance, .from = site->start};
    ar_device *device = training->device;
    bool super = site->scheme.super != AR_SUPER_NONE;
    int64_t O = ar_tensor_dim(site->weight, 0), I = ar_tensor_dim(site->weight, 1),
            groups = ar_scheme_groups(&site->scheme, I), units = super ? I / AR_SUPER_BLOCK : groups,
            each = form == AR_SOFT_TWO ? 8 : 4;
    const int64_t dims[] = {O, I};
    if (super) AR_TRY(ar_tensor_create(&s->start, device, AR_F32, 3, (const int64_t[]){O, groups, 4}));
    AR_TRY(ar_tensor_create(&s->grid, device, AR_F32, 3, (const int64_t[]){O, groups, 2}));
    if (s->from) AR_TRY(take_grid(s));
    AR_TRY(make_factors(&s->ab, device, O, units, each));
    s->now = (ar_soft){.scheme = site->scheme, .grid = s->grid, .ab = s->ab, .form = form};
    AR_TRY(ar_tensor_create(&s->now.u, device, AR_F32, 2, dims));
    if (training->desc->iters == 0) return AR_OK;
    AR_TRY(make_rates(s));
    AR_TRY(ar__zeros(&s->momentum, device, AR_F32, 2, dims));
    s->now.rates = s->rates;
    s->now.step = training->optimizer->step;
    if (form == AR_SOFT_TWO) AR_TRY(make_two(s, O, I));
    if (!training->keeps_best) return AR_OK;
    AR_TRY(ar_tensor_create(&s->kept_u, device, AR_F32, 2, dims));
    return make_factors(&s->kept_ab, device, O, units, each);
}

static ar_status create_near(void **state, const ar__training *training, const ar__site *site) {
    return create(state, training, site, AR_SOFT_NEAR);
}
static ar_status create_two(void **state, const ar__training *training, const ar__site *site) {
    return create(state, training, site, AR_SOFT_TWO);
}

static ar_status start(void *state, ar_graph *g) {
    soft *s = state;
    const ar_scheme *scheme = &s->now.scheme;
    if (s->from) return ar_op_soft_start(g, s->now.u, s->weight, s->grid, scheme, s->now.form);
    if (!s->start) {
        AR_TRY(ar_op_group_search(g, s->grid, s->weight, s->importance, scheme));
    } else {
        AR_TRY(ar_op_super_start(g, s->start, s->weight, s->importance, scheme));
        AR_TRY(ar_op_super_grid(g, s->grid, s->start, scheme));
    }
    return ar_op_soft_start(g, s->now.u, s->weight, s->grid, scheme, s->now.form);
}

#define EDGE 0.49f /* of the cell of a code, of which the border is 0.5 from it */

/* The place nearest to u whose nearest code is `code`. */
static float place_at(float u, float code, ar_soft_form form) {
    if (form == AR_SOFT_NEAR) return fminf(fmaxf(u, code - EDGE), code + EDGE);
    if (rintf(u) == code) return u;
    return u > code ? code + EDGE : code - EDGE;
}

/* Places are where the weights are, but in the cells of the codes that are given. */
static ar_status adopt(void *state) {
    soft *s = state;
    if (!s->from) return AR_OK;
    int64_t count = s->from->O * s->from->I;
    float *u = ar__alloc((size_t)count, sizeof *u);
    if (!u) return AR_ERR_MEMORY;
    ar_status status = ar_tensor_read(s->now.u, u, 0, count);
    for (int64_t i = 0; i < count; i++) u[i] = place_at(u[i], (float)s->from->codes[i], s->now.form);
    if (status == AR_OK) status = ar_tensor_write(s->now.u, u, 0, count);
    free(u);
    return status;
}

static ar_status replace(const void *state, ar_graph *g, ar_tensor **W, ar_tensor **memo, bool delivered) {
    const soft *s = state;
    *memo = NULL;
    return ar_op_soft_quant(g, W, &s->now, delivered);
}

static ar_status update(void *state, ar_graph *g, const ar_tensor *dW, const ar_tensor *memo) {
    soft *s = state;
    (void)memo;
    bool two = s->now.form == AR_SOFT_TWO;
    return (two ? ar_op_frozen_step : ar_op_soft_step)(g, &s->now, s->momentum, dW);
}

/* ---- stages ---- */

#define STAGES 20
#define BINS   4096      /* of |t - .5| in [0, .5] */
#define LOOKED (1 << 18) /* places that decide for all, in whole rows spread evenly */

/* How far from the middle places lie, by bins: those that are soft yet; *seen counts all. */
static ar_status count_places(int64_t *bins, int64_t *seen, const soft *s) {
    int64_t O = ar_tensor_dim(s->now.u, 0), I = ar_tensor_dim(s->now.u, 1),
            rows = LOOKED / I < 1 ? 1 : LOOKED / I;
    ar_status status = AR_OK;
    if (rows > O) rows = O;
    bool all = rows == O; /* in one piece */
    int64_t each = all ? O * I : I, pieces = all ? 1 : rows;
    float *u = ar__alloc((size_t)each, sizeof *u);
    if (!u) return AR_ERR_MEMORY;
    *seen = each * pieces;
    for (int64_t p = 0; p < pieces; p++) {
        AR_GO(ar_tensor_read(s->now.u, u, p * O / pieces * I, each));
        for (int64_t i = 0; i < each; i++) {
            float away = fabsf(u[i] - floorf(u[i]) - 0.5f);
            if (u[i] < 511.0f) bins[(int32_t)fminf(away * 2.0f * BINS, BINS - 1.0f)]++;
        }
    }
done:
    free(u);
    return status;
}

/* Before step: where a stage begins, so many places nearest to the middle stay soft as it allows. */
static ar_status decide(void *state, int32_t step) {
    static const float shares[STAGES] = {.80f, .65f, .50f, .43f, .38f, .33f, .28f, .24f, .20f, .17f,
                                         .14f, .11f, .09f, .07f, .05f, .04f, .03f, .02f, .01f, .005f};
    soft *s = state;
    int32_t T = s->training->desc->iters, stage = (int32_t)((int64_t)step * STAGES / T), bin = 0;
    int64_t bins[BINS] = {0}, seen = 0, soft_count = 0;
    if (step > 0 && stage == (int32_t)((int64_t)(step - 1) * STAGES / T)) return AR_OK;
    AR_TRY(count_places(bins, &seen, s));
    double most = (double)shares[stage] * (double)seen;
    while (bin < BINS && (double)(soft_count + bins[bin]) <= most) soft_count += bins[bin++];
    if (bin == BINS) return AR_OK;
    float room = (float)bin / (2.0f * BINS);
    AR_TRY(ar_tensor_write(s->room, &room, 0, 1));
    return ar_graph_run(s->decide);
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

static void take_plain(ar_qlinear *q, const float *grid, const float *ab, int64_t each) {
    float Q = (float)((1 << q->scheme.bits) - 1);
    for (int64_t i = 0; i < q->O * q->groups; i++) {
        float S = grid[2 * i], M = grid[2 * i + 1], zero = S != 0.0f ? rintf(M / S) : 0.0f;
        q->scales[i] = ar_f32_to_f16(S * ab[each * i]);
        q->zeros[i] = (uint8_t)fminf(fmaxf(zero, 0.0f), Q);
        if (q->scheme.zero == AR_ZERO_SYM) q->zeros[i] = (uint8_t)(1 << (q->scheme.bits - 1));
        if (q->mins) q->mins[i] = ar_f32_to_f16(-(M * ab[each * i + 1]));
    }
}

static void take_super(ar_qlinear *q, const float *start, const float *ab, int64_t each) {
    int64_t per = AR_SUPER_BLOCK / q->scheme.group;
    for (int64_t i = 0; i < q->O * q->groups; i++) {
        const float *from = start + 4 * i, *by = ab + each * (i / per);
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
            each = ar_tensor_dim(factors, 2), units = ar_tensor_count(factors);
    float *u = ar__alloc((size_t)elems, sizeof *u), *grid = ar__alloc((size_t)groups, sizeof *grid),
          *ab = ar__alloc((size_t)units, sizeof *ab);
    if (!u || !grid || !ab) AR_GO(AR_ERR_MEMORY);
    AR_GO(ar_tensor_read(kept ? s->kept_u : s->now.u, u, 0, elems));
    AR_GO(ar_tensor_read(table, grid, 0, groups));
    AR_GO(ar_tensor_read(factors, ab, 0, units));
    take_codes(q, u);
    if (s->start)
        take_super(q, grid, ab, each);
    else
        take_plain(q, grid, ab, each);
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

#define NEAR_END 0.0842f /* t of AR_SOFT_TWO a thousandth of a code above f, and as far below f + 1 */

/* A decided place as a soft one at its code, which is f or f + 1 of the place where it began. */
static float soften(float decided, float began, ar_soft_form form) {
    float code = decided - 512.0f, f = floorf(began);
    if (form == AR_SOFT_NEAR) return code;
    return code > f ? f + 1.0f - NEAR_END : f + NEAR_END;
}

/* Decided places are soft again, at their codes; momenta start at 0. */
static ar_status resume(void *state, const ar_qlinear *q) {
    soft *s = state;
    ar_status status = AR_OK;
    int64_t places = ar_tensor_count(s->now.u), factors = ar_tensor_count(s->ab),
            each = ar_tensor_dim(s->ab, 2);
    float *u = ar__alloc((size_t)places, sizeof *u), *began = ar__alloc((size_t)places, sizeof *began),
          *ab = ar__alloc((size_t)factors, sizeof *ab);
    if (!u || !began || !ab) AR_GO(AR_ERR_MEMORY);
    AR_GO(ar_tensor_read(s->now.u, began, 0, places));
    AR_GO(ar__resume_tensor(s->now.u, q, "places"));
    AR_GO(ar__resume_tensor(s->ab, q, "factors"));
    AR_GO(ar_tensor_read(s->now.u, u, 0, places));
    AR_GO(ar_tensor_read(s->ab, ab, 0, factors));
    for (int64_t i = 0; i < places; i++)
        if (u[i] >= 512.0f) u[i] = soften(u[i], began[i], s->now.form);
    for (int64_t i = 0; i < factors; i++)
        if (i % each > 1) ab[i] = 0.0f;
    AR_GO(ar_tensor_write(s->now.u, u, 0, places));
    AR_GO(ar_tensor_write(s->ab, ab, 0, factors));
done:
    free(u);
    free(began);
    free(ab);
    return status;
}

static void destroy(void *state) {
    soft *s = state;
    if (!s) return;
    ar_tensor *tensors[] = {s->start, s->grid,   s->ab,      s->rates,      s->momentum,
                            s->now.u, s->kept_u, s->kept_ab, s->now.square, s->room};
    ar_graph_destroy(s->decide);
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) ar_tensor_destroy(tensors[i]);
    free(s);
}

const ar__trainable ar__trainable_soft = {"soft", true,    false, check,  create_near, start, replace, update,
                                          keep,   deliver, leave, resume, destroy,     NULL,  adopt,   NULL};
const ar__trainable ar__trainable_between = {"between", true,   false, check,   create_two, start,
                                             replace,   update, keep,  deliver, leave,      resume,
                                             destroy,   decide, adopt, NULL};
