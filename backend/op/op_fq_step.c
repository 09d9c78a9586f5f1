/* A step of plain groups' state within the product that makes its gradient: shaders/gemm_step.comp. The bits
 * are those of op_fake_quant.c and op_sign_step.c behind the product, which the device's check compares. */
#include "fake_quant.h"
#include "gemm_step.h"
#include "op.h"
#include "variant.h"
#include <math.h>

static float reach_of(const ar_tensor *t) { return t->dtype == AR_I16 ? 32767.0f : 16777216.0f; }

static bool is_bound_whole(const ar_plan *plan, const ar_tensor *t) {
    return ar__tensor_bytes(t) <= plan->piece_bytes;
}

/* Whether the kernel knows the scheme and this state of it. */
static bool is_known(const ar_graph *g, const ar_tensor *W, const ar_fq_state *st, const ar_fq_desc *desc) {
    const ar_plan *plan = &ar__graph_device(g)->plan;
    if (desc->scheme.super != AR_SUPER_NONE || !st->v || !st->mm) return false;
    if (!(desc->v_div > 0.0f && desc->m_div > 0.0f) || st->v->dtype != st->mm->dtype) return false;
    return is_bound_whole(plan, W) && is_bound_whole(plan, st->v);
}

static ar_status check_all(ar__fq_shape *s, const ar_graph *g, const ar_tensor *dy, const ar_tensor *x,
                           const ar__fq_args *a, const ar_fq_state *st) {
    AR_TRY(ar__fq_plain.shape("fq_step", s, g, a->W, &a->desc->scheme));
    AR_TRY(ar__fq_check_groups("fq_step", "range", a->range, s, 2));
    AR_TRY(ar__fq_check_groups("fq_step", "sz", a->sz, s, 4));
    AR_TRY(ar__op_check("fq_step", "dy", dy, AR_F32, -1, s->O));
    AR_TRY(ar__op_check("fq_step", "x", x, AR_F32, dy->dims[0], s->I));
    return ar__fq_check_tuned("fq_step", s, st, a->desc);
}

static void describe(ar__gemm_step *e, const ar__fq_shape *s, const ar__fq_args *a, const ar_fq_state *st,
                     const ar_fq_bounds *b) {
    float reach = reach_of(st->v);
    *e = (ar__gemm_step){.G = s->G, .hw = s->hw, .v_kind = s->v_kind, .m_kind = s->m_kind};
    e->params = (ar__step_params){.I = (uint32_t)s->I,
                                  .G = s->G,
                                  .gpr = (uint32_t)s->groups,
                                  .kind = (uint32_t)a->desc->scheme.zero,
                                  .Q = s->Q,
                                  .mdiv = s->m_div,
                                  .minv = s->m_inv,
                                  .vdiv = s->v_div,
                                  .vinv = s->v_inv,
                                  .T = b->T,
                                  .vlo = fmaxf(b->v_low, -reach),
                                  .vhi = fminf(b->v_high, reach),
                                  .mlo = fmaxf(b->mm_low, -reach),
                                  .mhi = fminf(b->mm_high, reach)};
    const ar_tensor *operands[AR__STEP_OPERANDS] = {a->W, st->v, a->sz, a->range, st->mm, b->step};
    for (int32_t i = 0; i < AR__STEP_OPERANDS; i++) e->operands[i] = (ar__operand){operands[i], 0, 0};
}

ar_status ar_op_fq_step(ar_graph *g, bool *taken, const ar_tensor *dy, const ar_tensor *x, const ar_tensor *W,
                        const ar_tensor *range, const ar_tensor *sz, const ar_fq_state *st,
                        const ar_fq_desc *desc, const ar_fq_bounds *bounds) {
    ar__fq_shape s = {0};
    ar__fq_args a = {.W = W, .range = range, .sz = sz, .desc = desc};
    ar__gemm_step e;
    *taken = false;
    if (!is_known(g, W, st, desc)) return AR_OK;
    AR_TRY(check_all(&s, g, dy, x, &a, st));
    AR_TRY(ar__op_check("fq_step", "step", bounds->step, AR_I32, 1, 0));
    if (s.hw == 0 || s.O == 0 || s.I == 0 || dy->dims[0] == 0) return AR_OK;
    AR_TRY(ar__way_settle(ar__graph_device(g), AR_W_weight_step, AR_K_gemm_step));
    if (!(ar__graph_device(g)->plan.ways >> AR_W_weight_step & 1)) return AR_OK;
    describe(&e, &s, &a, st, bounds);
    return ar__gemm_step_emit(g, taken, &e, dy, x);
}
