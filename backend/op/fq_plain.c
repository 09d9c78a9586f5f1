/* The quantizer of plain groups: a row of fake_quant.h. Equations: docs/methods.md. Kernels: group_range,
 * fq_scale, fq_forward(_any), fq_codes(_any), fq_grad(_any). */
#include "fake_quant.h"
#include "op.h"

static uint32_t lanes(const ar_device *device, int64_t I, uint32_t G, bool one_group) {
    for (uint32_t hw = device->plan.vw; hw >= 4; hw /= 2)
        if (I % hw == 0 && (one_group || G % hw == 0)) return hw;
    return 0;
}

static ar_status shape_of(const char *op, ar__fq_shape *s, const ar_graph *g, const ar_tensor *W,
                          const ar_scheme *scheme) {
    AR_TRY(ar_scheme_check(scheme));
    AR_TRY(ar__op_check(op, "W", W, AR_F32, -1, -1));
    *s = (ar__fq_shape){.O = W->dims[0], .I = W->dims[1], .Q = (float)((1 << scheme->bits) - 1)};
    s->groups = ar_scheme_groups(scheme, s->I);
    s->G = s->groups == 1 ? (uint32_t)s->I : (uint32_t)scheme->group;
    s->hw = lanes(ar__graph_device(g), s->I, s->G, s->groups == 1);
    return AR_OK;
}

/* ---- range and scale ---- */

static ar_status emit_range(ar_graph *g, ar_tensor *range, const ar_tensor *W, const ar_scheme *scheme) {
    ar__fq_shape s;
    AR_TRY(shape_of("group_range", &s, g, W, scheme));
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

/* sz from range and mm. */
static ar_status emit_scale(ar_graph *g, ar_tensor *sz, const ar__fq_shape *s, const ar__fq_args *a) {
    const ar_scheme *scheme = &a->desc->scheme;
    const ar_plan *plan = &ar__graph_device(g)->plan;
    int64_t count = s->O * s->groups;
    uint32_t hw = plan->vw;
    while (hw > 4 && count % hw != 0) hw /= 2;
    bool even = count % hw == 0; /* else one launch that runs into the padding, which 4 lanes stay within */
    struct {
        uint32_t units, vectors, kind;
        float Q, zmin, m_div, m_inv;
    } p = {0,
           even ? 1 : (uint32_t)((count + hw - 1) / hw),
           (uint32_t)scheme->zero,
           s->Q,
           (float)scheme->zero_min,
           s->m_div,
           s->m_inv};
    ar__emit_desc d = {.kernel = AR_K_fq_scale,
                       .specs = {plan->wg, 1, hw, s->m_kind},
                       .params = &p,
                       .operands = {{a->range, 0, 0}, {a->mm, 0, 0}, {sz, 0, 0}},
                       .bytes = (24.0 + 2.0 * ar__fq_state_bytes(s->m_kind)) * (double)count};
    ar__split split = {.units = even ? count / hw : 1, .split = 7u, .items_per_unit = p.vectors};
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
    fq_places p = {RV, whole ? GV : RV, 0, GV, ar__shift_of(GV), whole ? 1 : (uint32_t)s->groups};
    p.lshift = ar__shift_of(p.LV);
    return p;
}

static ar_status emit_forward(ar_graph *g, ar_tensor *Wq, const ar__fq_shape *s, const ar__fq_args *a) {
    uint32_t affine = a->desc->scheme.zero == AR_ZERO_F16MIN;
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
                       .operands = {{a->W, 0, 0}, {a->v, 0, 0}, {a->sz, 0, 0}, {Wq, 0, 0}}};
    return emit_rows(g, &d, s, (fq_cost){20.0, 8.0, 16.0}, 15u, p.places.RV);
}

static ar_status emit_forward_any(ar_graph *g, ar_tensor *Wq, const ar__fq_shape *s, const ar__fq_args *a) {
    uint32_t affine = a->desc->scheme.zero == AR_ZERO_F16MIN;
    struct {
        uint32_t rows, I, G, gpr;
        float Q;
        uint32_t affine;
        float v_div, v_inv;
    } p = {0, (uint32_t)s->I, s->G, (uint32_t)s->groups, s->Q, affine, s->v_div, s->v_inv};
    ar__emit_desc d = {.kernel = AR_K_fq_forward_any,
                       .specs = {ar__graph_device(g)->plan.wg, 1, s->v_kind},
                       .params = &p,
                       .operands = {{a->W, 0, 0}, {a->v, 0, 0}, {a->sz, 0, 0}, {Wq, 0, 0}}};
    return emit_rows(g, &d, s, (fq_cost){30.0, 8.0, 16.0}, 15u, (uint32_t)s->I);
}

static ar_status forward(ar_graph *g, ar_tensor *Wq, const ar__fq_shape *s, const ar__fq_args *a) {
    return (s->hw ? emit_forward : emit_forward_any)(g, Wq, s, a);
}

/* ---- codes ---- */

static ar_status emit_codes(ar_graph *g, ar_tensor *codes, const ar__fq_shape *s, const ar__fq_args *a) {
    struct {
        uint32_t rows;
        fq_places places;
        float Q, v_div, v_inv;
    } p = {0, places_of(s, 4), s->Q, s->v_div, s->v_inv};
    ar__emit_desc d = {.kernel = AR_K_fq_codes,
                       .specs = {ar__graph_device(g)->plan.wg, 1, 4, s->v_kind},
                       .params = &p,
                       .operands = {{a->W, 0, 0}, {a->v, 0, 0}, {a->sz, 0, 0}, {codes, 0, 0}}};
    return emit_rows(g, &d, s, (fq_cost){20.0, 5.0, 16.0}, 15u, p.places.RV);
}

static ar_status emit_codes_any(ar_graph *g, ar_tensor *codes, const ar__fq_shape *s, const ar__fq_args *a) {
    struct {
        uint32_t rows, I, G, gpr;
        float Q, v_div, v_inv;
    } p = {(uint32_t)s->O, (uint32_t)s->I, s->G, (uint32_t)s->groups, s->Q, s->v_div, s->v_inv};
    ar__emit_desc d = {.kernel = AR_K_fq_codes_any,
                       .specs = {ar__graph_device(g)->plan.wg, 1, s->v_kind},
                       .params = &p,
                       .operands = {{a->W, 0, 0}, {a->v, 0, 0}, {a->sz, 0, 0}, {codes, 0, 0}}};
    const fq_cost cost = {30.0, 5.0, 16.0};
    if (s->I % 4 == 0) return emit_rows(g, &d, s, cost, 15u, (uint32_t)(s->I / 4));
    if (s->O == 0) return AR_OK;
    set_cost(&d, s, cost);
    ar__groups_1d(ar__graph_device(g), d.groups, (uint64_t)ar_tensor_count(codes), d.specs[0]);
    return ar__emit(g, &d); /* a word may span rows: one launch over all of them */
}

static ar_status codes_of(ar_graph *g, ar_tensor *codes, const ar__fq_shape *s, const ar__fq_args *a) {
    return (s->hw ? emit_codes : emit_codes_any)(g, codes, s, a);
}

/* ---- gradient ---- */

static ar_status emit_grad(ar_graph *g, ar_tensor *dv, ar_tensor *dmm, const ar__fq_shape *s,
                           const ar__fq_args *a) {
    uint32_t hw = s->hw, gpr = (uint32_t)s->groups;
    struct {
        uint32_t rows, RV, GV, gpr, pshift, kind;
        float Q, m_div, m_inv, v_div, v_inv;
    } p = {0,
           (uint32_t)s->I / hw,
           s->G / hw,
           gpr,
           ar__shift_of(gpr),
           (uint32_t)a->desc->scheme.zero,
           s->Q,
           s->m_div,
           s->m_inv,
           s->v_div,
           s->v_inv};
    ar__emit_desc d = {.kernel = AR_K_fq_grad,
                       .specs = {ar__graph_device(g)->plan.wg, 1, hw, s->v_kind, s->m_kind},
                       .params = &p};
    ar__fq_bind_grad(&d, a, dv, dmm);
    return emit_rows(g, &d, s, (fq_cost){30.0, 12.0, 32.0}, 255u, gpr);
}

/* Of many groups an item, where they are whole and as many as lanes divide. */
static ar_status emit_grad_across(ar_graph *g, ar_tensor *dv, ar_tensor *dmm, const ar__fq_shape *s,
                                  const ar__fq_args *a) {
    struct {
        uint32_t n, GV, kind;
        float Q, m_div, m_inv, v_div, v_inv;
    } p = {0, s->G / s->hw, (uint32_t)a->desc->scheme.zero, s->Q, s->m_div, s->m_inv, s->v_div, s->v_inv};
    ar__emit_desc d = {.kernel = AR_K_fq_grad_across,
                       .specs = {8, 1, s->hw, s->v_kind, s->m_kind}, /* small groups: items take long */
                       .params = &p};
    ar__fq_bind_grad(&d, a, dv, dmm);
    set_cost(&d, s, (fq_cost){30.0, 12.0, 32.0});
    return ar__emit_split(g, &d, &(ar__split){.units = s->O * s->groups / s->hw, .split = 255u});
}

static ar_status emit_grad_any(ar_graph *g, ar_tensor *dv, ar_tensor *dmm, const ar__fq_shape *s,
                               const ar__fq_args *a) {
    struct {
        uint32_t rows, I, G, gpr, kind;
        float Q, m_div, m_inv, v_div, v_inv;
    } p = {0,
           (uint32_t)s->I,
           s->G,
           (uint32_t)s->groups,
           (uint32_t)a->desc->scheme.zero,
           s->Q,
           s->m_div,
           s->m_inv,
           s->v_div,
           s->v_inv};
    ar__emit_desc d = {.kernel = AR_K_fq_grad_any,
                       .specs = {ar__graph_device(g)->plan.wg, 1, s->v_kind, s->m_kind},
                       .params = &p};
    ar__fq_bind_grad(&d, a, dv, dmm);
    return emit_rows(g, &d, s, (fq_cost){40.0, 12.0, 32.0}, 255u, (uint32_t)s->groups);
}

static ar_status grad(ar_graph *g, ar_tensor *dv, ar_tensor *dmm, const ar__fq_shape *s,
                      const ar__fq_args *a) {
    bool is_across = ar__graph_device(g)->plan.variants[AR_F_fq_grad] == AR_K_fq_grad_across;
    if (is_across && s->hw && s->I % s->G == 0 && s->O * s->groups % s->hw == 0)
        return emit_grad_across(g, dv, dmm, s, a);
    return (s->hw ? emit_grad : emit_grad_any)(g, dv, dmm, s, a);
}

const ar__fq_kind ar__fq_plain = {2, shape_of, emit_range, emit_scale, forward, codes_of, grad};
