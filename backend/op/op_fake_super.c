/* The quantizer of double-quantized structures (GGUF's K types) with a tunable rounding offset and tunable
 * multiples: start, forward, codes and straight-through gradients. Equations: docs/methods.md. Kernels:
 * super_scan, super_scan_sym, super_scale, super_refine, fq_super_scale, fq_super, fq_super_codes,
 * fq_super_grad. The public ops of op_fake_quant.c come here for a scheme with a super kind. */
#include "fake_quant.h"
#include "op.h"
#include <math.h>

#define REFINE_ROUNDS 2

void ar_super_limits(int32_t *least, int32_t *most, ar_super super) {
    static const int32_t limits[AR_SUPER_COUNT][2] = {[AR_SUPER_Q2_K] = {0, 15},
                                                      [AR_SUPER_Q3_K] = {-32, 31},
                                                      [AR_SUPER_Q4_K] = {0, 63},
                                                      [AR_SUPER_Q5_K] = {0, 63},
                                                      [AR_SUPER_Q6_K] = {-128, 127}};
    *least = limits[super][0];
    *most = limits[super][1];
}

static ar_status check_weight(const char *op, ar__fq_shape *s, const ar_graph *g, const ar_tensor *W,
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

/* Weight, start and state of one op; fills *s. */
static ar_status check_all(const char *op, ar__fq_shape *s, const ar_graph *g, const ar_tensor *W,
                           const ar_tensor *start, const ar_fq_state *st, const ar_fq_desc *desc) {
    AR_TRY(check_weight(op, s, g, W, &desc->scheme));
    AR_TRY(ar__fq_check_groups(op, "range", start, s, 4));
    return ar__fq_check_tuned(op, s, st, desc);
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
    AR_TRY(check_weight("super_start", &s, g, W, scheme));
    AR_TRY(ar__fq_check_groups("super_start", "start", start, &s, 4));
    if (importance) AR_TRY(ar__op_check("super_start", "importance", importance, AR_F32, s.I, 0));
    const int64_t dims[] = {s.O, s.groups, 4};
    AR_TRY(ar__output(g, &first, AR_F32, 3, dims, NULL, NULL, NULL));
    AR_TRY(emit_scan(g, &s, W, importance, first));
    AR_TRY(emit_block_scale(g, &s, first, start));
    return emit_refine(g, &s, W, importance, start);
}

/* ---- scale, forward, codes ---- */

/* *sz, a new graph tensor, from start and mm. */
static ar_status emit_scale(ar_graph *g, ar_tensor **sz, const ar__fq_shape *s, const ar_tensor *start,
                            const ar_fq_state *st) {
    const int64_t dims[] = {s->O, s->groups, 4};
    AR_TRY(ar__output(g, sz, AR_F32, 3, dims, NULL, NULL, NULL));
    struct {
        uint32_t n;
        float least, most, m_div, m_inv;
    } p = {0, s->least, s->most, s->m_div, s->m_inv};
    ar__emit_desc d = {.kernel = AR_K_fq_super_scale,
                       .specs = {ar__graph_device(g)->plan.wg, 1, s->m_kind},
                       .params = &p,
                       .operands = {{start, 0, 0}, {s->m_kind ? st->mm : start, 0, 0}, {*sz, 0, 0}},
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
                               const ar_tensor *W, const ar_tensor *v, const ar_tensor *sz) {
    uint32_t hw = kernel == AR_K_fq_super ? s->hw : 4;
    struct {
        uint32_t rows, RV, gshift;
        float Q, zp, v_div, v_inv;
    } p = {0, (uint32_t)s->I / hw, log2_of(s->G / hw), s->Q, s->zp, s->v_div, s->v_inv};
    ar__emit_desc d = {.kernel = kernel,
                       .specs = {ar__graph_device(g)->plan.wg, 1, hw, s->v_kind},
                       .params = &p,
                       .operands = {{W, 0, 0}, {v, 0, 0}, {sz, 0, 0}, {Y, 0, 0}},
                       .flops = 24.0 * (double)(s->O * s->I),
                       .bytes = (8.0 + ar__fq_state_bytes(s->v_kind)) * (double)(s->O * s->I) +
                                16.0 * (double)(s->O * s->groups)};
    return ar__emit_split(g, &d, &(ar__split){.units = s->O, .split = 15u, .items_per_unit = p.RV});
}

ar_status ar__super_fake_quant(ar_graph *g, ar_tensor **Wq, ar_tensor **sz, const ar_tensor *W,
                               const ar_tensor *start, const ar_fq_state *st, const ar_fq_desc *desc) {
    ar__fq_shape s = {0};
    AR_TRY(check_all("fake_quant", &s, g, W, start, st, desc));
    AR_TRY(emit_scale(g, sz, &s, start, st));
    AR_TRY(ar__output(g, Wq, AR_F32, 2, W->dims, NULL, NULL, NULL));
    (*Wq)->needs_grad = true;
    return emit_quantize(g, AR_K_fq_super, *Wq, &s, W, s.v_kind ? st->v : W, *sz);
}

ar_status ar__super_codes(ar_graph *g, ar_tensor **codes, ar_tensor **sz, const ar_tensor *W,
                          const ar_tensor *start, const ar_fq_state *st, const ar_fq_desc *desc) {
    ar__fq_shape s = {0};
    AR_TRY(check_all("fq_codes", &s, g, W, start, st, desc));
    AR_TRY(emit_scale(g, sz, &s, start, st));
    const int64_t words = s.O * s.I / 4;
    AR_TRY(ar__output(g, codes, AR_U32, 1, &words, NULL, NULL, NULL));
    return emit_quantize(g, AR_K_fq_super_codes, *codes, &s, W, s.v_kind ? st->v : W, *sz);
}

/* ---- gradient ---- */

ar_status ar__super_grad(ar_graph *g, ar_tensor **dv, ar_tensor **dmm, const ar_tensor *dWq,
                         const ar_tensor *W, const ar_tensor *start, const ar_tensor *sz,
                         const ar_fq_state *st, const ar_fq_desc *desc) {
    ar__fq_shape s = {0};
    AR_TRY(check_all("fq_grad", &s, g, W, start, st, desc));
    AR_TRY(ar__op_check("fq_grad", "dWq", dWq, AR_F32, s.O, s.I));
    AR_TRY(ar__fq_check_groups("fq_grad", "sz", sz, &s, 4));
    const int64_t dims[] = {s.O, s.groups, 2};
    AR_TRY(ar__output(g, dv, AR_F32, 2, W->dims, NULL, NULL, NULL));
    AR_TRY(ar__output(g, dmm, AR_F32, 3, dims, NULL, NULL, NULL));
    struct {
        uint32_t rows, gpr, GV;
        float Q, zp, least, most, m_div, m_inv, v_div, v_inv;
    } p = {0, (uint32_t)s.groups, s.G / s.hw, s.Q, s.zp, s.least, s.most, s.m_div, s.m_inv, s.v_div, s.v_inv};
    const ar_tensor *v = s.v_kind ? st->v : W, *mm = s.m_kind ? st->mm : start;
    ar__emit_desc d = {.kernel = AR_K_fq_super_grad,
                       .specs = {ar__graph_device(g)->plan.wg, 1, s.hw, s.v_kind, s.m_kind},
                       .params = &p,
                       .operands = {{dWq, 0, 0},
                                    {W, 0, 0},
                                    {v, 0, 0},
                                    {sz, 0, 0},
                                    {start, 0, 0},
                                    {mm, 0, 0},
                                    {*dv, 0, 0},
                                    {*dmm, 0, 0}},
                       .flops = 34.0 * (double)(s.O * s.I),
                       .bytes = (12.0 + ar__fq_state_bytes(s.v_kind)) * (double)(s.O * s.I) +
                                48.0 * (double)(s.O * s.groups)};
    return ar__emit_split(g, &d, &(ar__split){.units = s.O, .split = 255u, .items_per_unit = p.gpr});
}
