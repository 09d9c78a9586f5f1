/* The quantizer of double-quantized structures (GGUF's K types) with a tunable rounding offset and tunable
 * multiples: start, forward, codes and straight-through gradients. Equations: docs/methods.md. Kernels:
 * super_scan, super_scan_sym, super_scale, super_refine, fq_super_scale, fq_super, fq_super_codes,
 * fq_super_grad. A row of fake_quant.h; the start with an importance is an op of its own. */
#include "fake_quant.h"
#include "op.h"
#include <math.h>

#define REFINE_ROUNDS 2

static ar_status shape_of(const char *op, ar__fq_shape *s, const ar_graph *g, const ar_tensor *W,
                          const ar_scheme *scheme) {
    int32_t least, most;
    AR_TRY(ar_scheme_check(scheme));
    AR_TRY(ar__op_check(op, "W", W, AR_F32, -1, -1));
    if (W->dims[1] % AR_SUPER_BLOCK != 0)
        return ar__fail(AR_ERR_SHAPE, "%s: %lld inputs, expected a multiple of %d", op, (long long)W->dims[1],
                        AR_SUPER_BLOCK);
    ar_super_limits(&least, &most, scheme->super);
    *s = (ar__fq_shape){.O = W->dims[0],
                        .I = W->dims[1],
                        .groups = W->dims[1] / scheme->group,
                        .G = (uint32_t)scheme->group,
                        .Q = (float)((1 << scheme->bits) - 1),
                        .zp = scheme->zero == AR_ZERO_SYM ? (float)(1 << (scheme->bits - 1)) : 0.0f,
                        .least = (float)least,
                        .most = (float)most,
                        .pairs = scheme->zero != AR_ZERO_SYM};
    s->hw = ar__graph_device(g)->plan.vw; /* 4, 8 or 16: divides every group */
    return AR_OK;
}

/* ---- start ---- */

/* Something to bind where there is none. */
static ar__operand importance_of(const ar_tensor *importance, const ar_tensor *W) {
    return importance ? (ar__operand){importance, 0, 0} : (ar__operand){W, 0, 64};
}

static ar_status emit_scan(ar_graph *g, const ar__fq_shape *s, const ar_tensor *W,
                           const ar_tensor *importance, const ar_tensor *first) {
    struct {
        uint32_t rows, gpr, G, weighted;
        float top;
    } p = {0, (uint32_t)s->groups, s->G, importance != NULL, s->pairs ? s->Q : s->zp};
    ar__emit_desc d = {.kernel = s->pairs ? AR_K_super_scan : AR_K_super_scan_sym,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{W, 0, 0}, importance_of(importance, W), {first, 0, 0}},
                       .flops = (s->pairs ? 37 * 24.0 : 19 * 10.0) * (double)(s->O * s->I),
                       .bytes = 4.0 * (double)(s->O * s->I) + 16.0 * (double)(s->O * s->groups)};
    return ar__emit_split(g, &d, &(ar__split){.units = s->O, .split = 5u, .items_per_unit = p.gpr});
}

static ar_status emit_block_scale(ar_graph *g, const ar__fq_shape *s, const ar_tensor *first,
                                  const ar_tensor *start) {
    struct {
        uint32_t n, per, pairs;
        float least, most;
    } p = {0, (uint32_t)AR_SUPER_BLOCK / s->G, s->pairs, s->least, s->most};
    ar__emit_desc d = {.kernel = AR_K_super_scale,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{first, 0, 0}, {start, 0, 0}},
                       .flops = 19 * 20.0 * (double)(s->O * s->groups),
                       .bytes = 32.0 * (double)(s->O * s->groups)};
    return ar__emit_split(g, &d, &(ar__split){.units = s->O * s->I / AR_SUPER_BLOCK, .split = 3u});
}

static ar_status emit_refine(ar_graph *g, const ar__fq_shape *s, const ar_tensor *W,
                             const ar_tensor *importance, const ar_tensor *start) {
    struct {
        uint32_t rows, gpr, G, weighted, pairs, rounds;
        float Q, zp, least, most;
    } p = {
        0,      (uint32_t)s->groups, s->G, importance != NULL, s->pairs, REFINE_ROUNDS, s->Q, s->zp, s->least,
        s->most};
    ar__emit_desc d = {.kernel = AR_K_super_refine,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{W, 0, 0}, importance_of(importance, W), {start, 0, 0}},
                       .flops = REFINE_ROUNDS * 9 * 30.0 * (double)(s->O * s->I),
                       .bytes = 4.0 * (double)(s->O * s->I) + 32.0 * (double)(s->O * s->groups)};
    return ar__emit_split(g, &d, &(ar__split){.units = s->O, .split = 5u, .items_per_unit = p.gpr});
}

ar_status ar_op_super_start(ar_graph *g, ar_tensor *start, const ar_tensor *W, const ar_tensor *importance,
                            const ar_scheme *scheme) {
    ar__fq_shape s = {0};
    ar_tensor *first = NULL;
    if (scheme->super == AR_SUPER_NONE)
        return ar__fail(AR_ERR_ARG, "super_start: found a scheme of plain groups, expected a super kind");
    AR_TRY(shape_of("super_start", &s, g, W, scheme));
    AR_TRY(ar__fq_check_groups("super_start", "start", start, &s, 4));
    if (importance) AR_TRY(ar__op_check("super_start", "importance", importance, AR_F32, s.I, 0));
    const int64_t dims[] = {s.O, s.groups, 4};
    AR_TRY(ar__output(g, &first, AR_F32, 3, dims, NULL, NULL, NULL));
    AR_TRY(emit_scan(g, &s, W, importance, first));
    AR_TRY(emit_block_scale(g, &s, first, start));
    return emit_refine(g, &s, W, importance, start);
}

/* ---- scale, forward, codes ---- */

static ar_status plain_start(ar_graph *g, ar_tensor *start, const ar_tensor *W, const ar_scheme *scheme) {
    return ar_op_super_start(g, start, W, NULL, scheme);
}

/* sz from start and mm. */
static ar_status emit_scale(ar_graph *g, ar_tensor *sz, const ar__fq_shape *s, const ar__fq_args *a) {
    struct {
        uint32_t n;
        float least, most, m_div, m_inv;
    } p = {0, s->least, s->most, s->m_div, s->m_inv};
    ar__emit_desc d = {.kernel = AR_K_fq_super_scale,
                       .specs = {ar__graph_device(g)->plan.wg, 1, s->m_kind},
                       .params = &p,
                       .operands = {{a->range, 0, 0}, {a->mm, 0, 0}, {sz, 0, 0}},
                       .bytes = (32.0 + 2.0 * ar__fq_state_bytes(s->m_kind)) * (double)(s->O * s->groups)};
    return ar__emit_split(g, &d, &(ar__split){.units = s->O * s->groups, .split = 7u});
}

static uint32_t log2_of(uint32_t n) {
    uint32_t shift = 0;
    while (n >> shift > 1) shift++;
    return shift;
}

/* Y = W' (fq_super, hw lanes) or codes (fq_super_codes, 4 lanes). */
static ar_status emit_quantize(ar_graph *g, ar__kernel_id kernel, const ar_tensor *Y, const ar__fq_shape *s,
                               const ar__fq_args *a) {
    uint32_t hw = kernel == AR_K_fq_super ? s->hw : 4;
    struct {
        uint32_t rows, RV, gshift;
        float Q, zp, v_div, v_inv;
    } p = {0, (uint32_t)s->I / hw, log2_of(s->G / hw), s->Q, s->zp, s->v_div, s->v_inv};
    ar__emit_desc d = {.kernel = kernel,
                       .specs = {ar__graph_device(g)->plan.wg, 1, hw, s->v_kind},
                       .params = &p,
                       .operands = {{a->W, 0, 0}, {a->v, 0, 0}, {a->sz, 0, 0}, {Y, 0, 0}},
                       .flops = 24.0 * (double)(s->O * s->I),
                       .bytes = (8.0 + ar__fq_state_bytes(s->v_kind)) * (double)(s->O * s->I) +
                                16.0 * (double)(s->O * s->groups)};
    return ar__emit_split(g, &d, &(ar__split){.units = s->O, .split = 15u, .items_per_unit = p.RV});
}

static ar_status forward(ar_graph *g, ar_tensor *Wq, const ar__fq_shape *s, const ar__fq_args *a) {
    return emit_quantize(g, AR_K_fq_super, Wq, s, a);
}

static ar_status codes_of(ar_graph *g, ar_tensor *codes, const ar__fq_shape *s, const ar__fq_args *a) {
    return emit_quantize(g, AR_K_fq_super_codes, codes, s, a);
}

/* ---- gradient ---- */

static ar_status grad(ar_graph *g, ar_tensor *dv, ar_tensor *dmm, const ar__fq_shape *s,
                      const ar__fq_args *a) {
    struct {
        uint32_t rows, gpr, GV;
        float Q, zp, least, most, m_div, m_inv, v_div, v_inv;
    } p = {0,
           (uint32_t)s->groups,
           s->G / s->hw,
           s->Q,
           s->zp,
           s->least,
           s->most,
           s->m_div,
           s->m_inv,
           s->v_div,
           s->v_inv};
    ar__emit_desc d = {.kernel = AR_K_fq_super_grad,
                       .specs = {ar__graph_device(g)->plan.wg, 1, s->hw, s->v_kind, s->m_kind},
                       .params = &p,
                       .flops = 34.0 * (double)(s->O * s->I),
                       .bytes = (12.0 + ar__fq_state_bytes(s->v_kind)) * (double)(s->O * s->I) +
                                48.0 * (double)(s->O * s->groups)};
    ar__fq_bind_grad(&d, a, dv, dmm);
    return ar__emit_split(g, &d, &(ar__split){.units = s->O, .split = 255u, .items_per_unit = p.gpr});
}

const ar__fq_kind ar__fq_super = {4, shape_of, plain_start, emit_scale, forward, codes_of, grad};
