/* The group-wise quantizer with a tunable rounding offset and tunable range (SignRound, arXiv 2309.05516):
 * ranges, scales, forward, codes and straight-through gradients. Equations: docs/methods.md. Kernels:
 * group_range, fq_scale, fq_forward(_any), fq_codes(_any), fq_grad(_any). The update is op_sign_step.c. */
#include "fake_quant.h"
#include "op.h"
#include <math.h>

#define DIV_BITS 20 /* what ar_quot20 in shaders/num.h is exact for */

/* ---- what the ops share ---- */

static uint32_t state_kind(const ar_tensor *t, float div) {
    if (!t || div == 0.0f) return 0;
    return t->dtype == AR_F32 ? 1 : t->dtype == AR_I32 ? 2 : 3;
}

double ar__fq_state_bytes(uint32_t kind) { return kind == 0 ? 0.0 : kind == 3 ? 2.0 : 4.0; }

static uint32_t lanes(const ar_device *device, int64_t I, uint32_t G, bool one_group) {
    for (uint32_t hw = device->plan.vw; hw >= 4; hw /= 2)
        if (I % hw == 0 && (one_group || G % hw == 0)) return hw;
    return 0;
}

/* log2 n for a power of two, else 32: how ar_divu is told. */
static uint32_t shift_of(uint32_t n) {
    uint32_t shift = 0;
    while (shift < 32 && (n >> shift) > 1) shift++;
    return n == (1u << shift) ? shift : 32;
}

static float divisor(float div) {
    int e = 0;
    float m = frexpf(div, &e);
    return ldexpf(nearbyintf(ldexpf(m, DIV_BITS)), e - DIV_BITS);
}

ar_status ar__fq_check_groups(const char *op, const char *name, const ar_tensor *t, const ar__fq_shape *s,
                              int64_t each) {
    if (!t) return ar__fail(AR_ERR_ARG, "%s: %s is missing", op, name);
    if (t->dim_count != 3 || t->dims[0] != s->O || t->dims[1] != s->groups || t->dims[2] != each)
        return ar__fail(AR_ERR_SHAPE,
                        "%s: %s has %lld elements in %d dimensions, expected (%lld, %lld, %lld)", op, name,
                        (long long)ar_tensor_count(t), (int)t->dim_count, (long long)s->O,
                        (long long)s->groups, (long long)each);
    return AR_OK;
}

static ar_status check_weight(const char *op, ar__fq_shape *s, ar_graph *g, const ar_tensor *W,
                              const ar_scheme *scheme) {
    AR_TRY(ar_scheme_check(scheme));
    AR_TRY(ar__op_check(op, "W", W, AR_F32, -1, -1));
    *s = (ar__fq_shape){.O = W->dims[0], .I = W->dims[1], .Q = (float)((1 << scheme->bits) - 1)};
    s->groups = ar_scheme_groups(scheme, s->I);
    s->G = s->groups == 1 ? (uint32_t)s->I : (uint32_t)scheme->group;
    s->hw = lanes(ar__graph_device(g), s->I, s->G, s->groups == 1);
    return AR_OK;
}

static ar_status check_state(const char *op, const char *name, const ar_tensor *t) {
    if (t->dtype == AR_F32 || t->dtype == AR_I32 || t->dtype == AR_I16) return AR_OK;
    return ar__fail(AR_ERR_DTYPE, "%s: %s is %s, expected f32, i32 or i16", op, name,
                    ar_dtype_name(t->dtype));
}

ar_status ar__fq_check_tuned(const char *op, ar__fq_shape *s, const ar_fq_state *st, const ar_fq_desc *desc) {
    if (!(desc->v_div >= 0.0f && desc->v_div < INFINITY) || !(desc->m_div >= 0.0f && desc->m_div < INFINITY))
        return ar__fail(AR_ERR_ARG, "%s: v_div %g and m_div %g, expected finite and not negative", op,
                        (double)desc->v_div, (double)desc->m_div);
    s->v_kind = state_kind(st->v, desc->v_div);
    s->m_kind = state_kind(st->mm, desc->m_div);
    if (s->v_kind) {
        AR_TRY(check_state(op, "v", st->v));
        AR_TRY(ar__op_check(op, "v", st->v, st->v->dtype, s->O, s->I));
        s->v_div = divisor(desc->v_div);
        s->v_inv = 1.0f / s->v_div;
    }
    if (s->m_kind) {
        AR_TRY(check_state(op, "mm", st->mm));
        AR_TRY(ar__fq_check_groups(op, "mm", st->mm, s, 2));
        s->m_div = divisor(desc->m_div);
        s->m_inv = 1.0f / s->m_div;
    }
    return AR_OK;
}

/* Weight, range and state of one op; fills *s. */
static ar_status check_all(const char *op, ar__fq_shape *s, ar_graph *g, const ar_tensor *W,
                           const ar_tensor *range, const ar_fq_state *st, const ar_fq_desc *desc) {
    AR_TRY(check_weight(op, s, g, W, &desc->scheme));
    AR_TRY(ar__fq_check_groups(op, "range", range, s, 2));
    return ar__fq_check_tuned(op, s, st, desc);
}

/* ---- range and scale ---- */

ar_status ar_op_group_range(ar_graph *g, ar_tensor *range, const ar_tensor *W, const ar_scheme *scheme) {
    ar__fq_shape s;
    if (scheme->super != AR_SUPER_NONE) return ar_op_super_start(g, range, W, NULL, scheme);
    AR_TRY(check_weight("group_range", &s, g, W, scheme));
    AR_TRY(ar__fq_check_groups("group_range", "range", range, &s, 2));
    struct {
        uint32_t rows, I, G, gpr;
    } p = {0, (uint32_t)s.I, s.G, (uint32_t)s.groups};
    ar__emit_desc d = {.kernel = AR_K_group_range,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{W, 0, 0}, {range, 0, 0}},
                       .bytes = 4.0 * (double)(s.O * s.I) + 8.0 * (double)(s.O * s.groups)};
    ar__split split = {.units = s.O, .split = 3u, .items_per_unit = (uint32_t)s.groups};
    return ar__emit_split(g, &d, &split);
}

/* *sz, a new graph tensor, from range and mm. */
static ar_status emit_scale(ar_graph *g, ar_tensor **sz, const ar__fq_shape *s, const ar_tensor *range,
                            const ar_fq_state *st, const ar_fq_desc *desc) {
    const int64_t dims[] = {s->O, s->groups, 4};
    AR_TRY(ar__output(g, sz, AR_F32, 3, dims, NULL, NULL, NULL));
    struct {
        uint32_t n, kind;
        float Q, zmin, m_div, m_inv;
    } p = {0, (uint32_t)desc->scheme.zero, s->Q, (float)desc->scheme.zero_min, s->m_div, s->m_inv};
    ar__emit_desc d = {.kernel = AR_K_fq_scale,
                       .specs = {ar__graph_device(g)->plan.wg, 1, s->m_kind},
                       .params = &p,
                       .operands = {{range, 0, 0}, {s->m_kind ? st->mm : range, 0, 0}, {*sz, 0, 0}},
                       .bytes = (24.0 + 2.0 * ar__fq_state_bytes(s->m_kind)) * (double)(s->O * s->groups)};
    ar__split split = {.units = s->O * s->groups, .split = 7u};
    return ar__emit_split(g, &d, &split);
}

/* ---- launches over all rows ---- */

/* Per weight, without its state; and per group. */
typedef struct fq_cost {
    double flops, bytes, group_bytes;
} fq_cost;

static void set_cost(ar__emit_desc *d, const ar__fq_shape *s, fq_cost c) {
    double weights = (double)(s->O * s->I), groups = (double)(s->O * s->groups);
    d->flops = c.flops * weights;
    d->bytes = (c.bytes + ar__fq_state_bytes(s->v_kind)) * weights + c.group_bytes * groups;
}

/* The operands of the bits in `split` are cut by rows, each of `items` items. */
static ar_status emit_rows(ar_graph *g, ar__emit_desc *d, const ar__fq_shape *s, fq_cost cost, uint32_t split,
                           uint32_t items) {
    set_cost(d, s, cost);
    return ar__emit_split(g, d, &(ar__split){.units = s->O, .split = split, .items_per_unit = items});
}

/* ---- forward ---- */

/* Where vectors of `hw` lanes lie in rows and groups: parameters shared by fq_forward and fq_codes. */
typedef struct fq_places {
    uint32_t RV, LV, lshift, GV, gshift, gpr;
} fq_places;

static fq_places places_of(const ar__fq_shape *s, uint32_t hw) {
    uint32_t RV = (uint32_t)s->I / hw, GV = s->G / hw;
    bool whole = s->I % s->G == 0; /* groups follow each other without a short one */
    fq_places p = {RV, whole ? GV : RV, 0, GV, shift_of(GV), whole ? 1 : (uint32_t)s->groups};
    p.lshift = shift_of(p.LV);
    return p;
}

static ar_status emit_forward(ar_graph *g, ar_tensor *Wq, const ar__fq_shape *s, const ar_tensor *W,
                              const ar_tensor *v, const ar_tensor *sz, uint32_t affine) {
    struct {
        uint32_t rows;
        fq_places places;
        float Q;
        uint32_t affine;
        float v_div, v_inv;
    } p = {0, places_of(s, s->hw), s->Q, affine, s->v_div, s->v_inv};
    ar__emit_desc d = {.kernel = AR_K_fq_forward,
                       .specs = {ar__graph_device(g)->plan.wg, 1, s->hw, s->v_kind},
                       .params = &p,
                       .operands = {{W, 0, 0}, {v, 0, 0}, {sz, 0, 0}, {Wq, 0, 0}}};
    return emit_rows(g, &d, s, (fq_cost){20.0, 8.0, 16.0}, 15u, p.places.RV);
}

static ar_status emit_forward_any(ar_graph *g, ar_tensor *Wq, const ar__fq_shape *s, const ar_tensor *W,
                                  const ar_tensor *v, const ar_tensor *sz, uint32_t affine) {
    struct {
        uint32_t rows, I, G, gpr;
        float Q;
        uint32_t affine;
        float v_div, v_inv;
    } p = {0, (uint32_t)s->I, s->G, (uint32_t)s->groups, s->Q, affine, s->v_div, s->v_inv};
    ar__emit_desc d = {.kernel = AR_K_fq_forward_any,
                       .specs = {ar__graph_device(g)->plan.wg, 1, s->v_kind},
                       .params = &p,
                       .operands = {{W, 0, 0}, {v, 0, 0}, {sz, 0, 0}, {Wq, 0, 0}}};
    return emit_rows(g, &d, s, (fq_cost){30.0, 8.0, 16.0}, 15u, (uint32_t)s->I);
}

ar_status ar_op_fake_quant(ar_graph *g, ar_tensor **Wq, ar_tensor **sz, const ar_tensor *W,
                           const ar_tensor *range, const ar_fq_state *st, const ar_fq_desc *desc) {
    ar__fq_shape s;
    *Wq = *sz = NULL;
    if (desc->scheme.super != AR_SUPER_NONE) return ar__super_fake_quant(g, Wq, sz, W, range, st, desc);
    AR_TRY(check_all("fake_quant", &s, g, W, range, st, desc));
    AR_TRY(emit_scale(g, sz, &s, range, st, desc));
    AR_TRY(ar__output(g, Wq, AR_F32, 2, W->dims, NULL, NULL, NULL));
    (*Wq)->needs_grad = true;
    const ar_tensor *v = s.v_kind ? st->v : W; /* something to bind when there is no state */
    uint32_t affine = desc->scheme.zero == AR_ZERO_F16MIN;
    return (s.hw ? emit_forward : emit_forward_any)(g, *Wq, &s, W, v, *sz, affine);
}

/* ---- codes ---- */

static ar_status emit_codes(ar_graph *g, ar_tensor *codes, const ar__fq_shape *s, const ar_tensor *W,
                            const ar_tensor *v, const ar_tensor *sz) {
    struct {
        uint32_t rows;
        fq_places places;
        float Q, v_div, v_inv;
    } p = {0, places_of(s, 4), s->Q, s->v_div, s->v_inv};
    ar__emit_desc d = {.kernel = AR_K_fq_codes,
                       .specs = {ar__graph_device(g)->plan.wg, 1, 4, s->v_kind},
                       .params = &p,
                       .operands = {{W, 0, 0}, {v, 0, 0}, {sz, 0, 0}, {codes, 0, 0}}};
    return emit_rows(g, &d, s, (fq_cost){20.0, 5.0, 16.0}, 15u, p.places.RV);
}

static ar_status emit_codes_any(ar_graph *g, ar_tensor *codes, const ar__fq_shape *s, const ar_tensor *W,
                                const ar_tensor *v, const ar_tensor *sz) {
    struct {
        uint32_t rows, I, G, gpr;
        float Q, v_div, v_inv;
    } p = {(uint32_t)s->O, (uint32_t)s->I, s->G, (uint32_t)s->groups, s->Q, s->v_div, s->v_inv};
    ar__emit_desc d = {.kernel = AR_K_fq_codes_any,
                       .specs = {ar__graph_device(g)->plan.wg, 1, s->v_kind},
                       .params = &p,
                       .operands = {{W, 0, 0}, {v, 0, 0}, {sz, 0, 0}, {codes, 0, 0}}};
    const fq_cost cost = {30.0, 5.0, 16.0};
    if (s->I % 4 == 0) return emit_rows(g, &d, s, cost, 15u, (uint32_t)(s->I / 4));
    if (s->O == 0) return AR_OK;
    set_cost(&d, s, cost);
    ar__groups_1d(ar__graph_device(g), d.groups, (uint64_t)ar_tensor_count(codes), d.specs[0]);
    return ar__emit(g, &d); /* a word may span rows: one launch over all of them */
}

ar_status ar_op_fq_codes(ar_graph *g, ar_tensor **codes, ar_tensor **sz, const ar_tensor *W,
                         const ar_tensor *range, const ar_fq_state *st, const ar_fq_desc *desc) {
    ar__fq_shape s;
    *codes = *sz = NULL;
    if (desc->scheme.super != AR_SUPER_NONE) return ar__super_codes(g, codes, sz, W, range, st, desc);
    AR_TRY(check_all("fq_codes", &s, g, W, range, st, desc));
    AR_TRY(emit_scale(g, sz, &s, range, st, desc));
    const int64_t words = (s.O * s.I + 3) / 4;
    AR_TRY(ar__output(g, codes, AR_U32, 1, &words, NULL, NULL, NULL));
    return (s.hw ? emit_codes : emit_codes_any)(g, *codes, &s, W, s.v_kind ? st->v : W, *sz);
}

/* ---- gradient ---- */

/* Operands of both gradient kernels; what is not tuned binds something else. */
typedef struct fq_grads {
    const ar_tensor *dWq, *W, *v, *sz, *range, *mm;
    ar_tensor *dv, *dmm;
} fq_grads;

static ar_status emit_grad(ar_graph *g, const ar__fq_shape *s, const fq_grads *t, const ar_fq_desc *desc) {
    uint32_t hw = s->hw, gpr = (uint32_t)s->groups;
    struct {
        uint32_t rows, RV, GV, gpr, pshift, kind;
        float Q, m_div, m_inv, v_div, v_inv;
    } p = {0,
           (uint32_t)s->I / hw,
           s->G / hw,
           gpr,
           shift_of(gpr),
           (uint32_t)desc->scheme.zero,
           s->Q,
           s->m_div,
           s->m_inv,
           s->v_div,
           s->v_inv};
    ar__emit_desc d = {.kernel = AR_K_fq_grad,
                       .specs = {ar__graph_device(g)->plan.wg, 1, hw, s->v_kind, s->m_kind},
                       .params = &p,
                       .operands = {{t->dWq, 0, 0},
                                    {t->W, 0, 0},
                                    {t->v, 0, 0},
                                    {t->sz, 0, 0},
                                    {t->range, 0, 0},
                                    {t->mm, 0, 0},
                                    {t->dv, 0, 0},
                                    {t->dmm, 0, 0}}};
    return emit_rows(g, &d, s, (fq_cost){30.0, 12.0, 32.0}, 255u, gpr);
}

static ar_status emit_grad_any(ar_graph *g, const ar__fq_shape *s, const fq_grads *t,
                               const ar_fq_desc *desc) {
    struct {
        uint32_t rows, I, G, gpr, kind;
        float Q, m_div, m_inv, v_div, v_inv;
    } p = {
        0,        (uint32_t)s->I, s->G,    (uint32_t)s->groups, (uint32_t)desc->scheme.zero, s->Q, s->m_div,
        s->m_inv, s->v_div,       s->v_inv};
    ar__emit_desc d = {.kernel = AR_K_fq_grad_any,
                       .specs = {ar__graph_device(g)->plan.wg, 1, s->v_kind, s->m_kind},
                       .params = &p,
                       .operands = {{t->dWq, 0, 0},
                                    {t->W, 0, 0},
                                    {t->v, 0, 0},
                                    {t->sz, 0, 0},
                                    {t->range, 0, 0},
                                    {t->mm, 0, 0},
                                    {t->dv, 0, 0},
                                    {t->dmm, 0, 0}}};
    return emit_rows(g, &d, s, (fq_cost){40.0, 12.0, 32.0}, 255u, (uint32_t)s->groups);
}

ar_status ar_op_fq_grad(ar_graph *g, ar_tensor **dv, ar_tensor **dmm, const ar_tensor *dWq,
                        const ar_tensor *W, const ar_tensor *range, const ar_tensor *sz,
                        const ar_fq_state *st, const ar_fq_desc *desc) {
    ar__fq_shape s;
    *dv = *dmm = NULL;
    if (desc->scheme.super != AR_SUPER_NONE) return ar__super_grad(g, dv, dmm, dWq, W, range, sz, st, desc);
    AR_TRY(check_all("fq_grad", &s, g, W, range, st, desc));
    AR_TRY(ar__op_check("fq_grad", "dWq", dWq, AR_F32, s.O, s.I));
    AR_TRY(ar__fq_check_groups("fq_grad", "sz", sz, &s, 4));
    const int64_t dims[] = {s.O, s.groups, 2};
    AR_TRY(ar__output(g, dv, AR_F32, 2, W->dims, NULL, NULL, NULL));
    AR_TRY(ar__output(g, dmm, AR_F32, 3, dims, NULL, NULL, NULL));
    fq_grads t = {dWq, W, s.v_kind ? st->v : W, sz, range, s.m_kind ? st->mm : range, *dv, *dmm};
    return (s.hw ? emit_grad : emit_grad_any)(g, &s, &t, desc);
}
