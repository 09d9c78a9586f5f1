/* The group-wise quantizer with a tunable rounding offset and tunable range (SignRound, arXiv 2309.05516):
 * ranges, scales, forward, codes and straight-through gradients. Equations: docs/methods.md. What differs
 * between plain and double-quantized groups is a row each: fq_plain.c, op_fake_super.c. The update is
 * op_sign_step.c. */
#include "fake_quant.h"
#include "op.h"

static const ar__fq_kind *kind_of(const ar_scheme *scheme) {
    return scheme->super == AR_SUPER_NONE ? &ar__fq_plain : &ar__fq_super;
}

/* Checks weight, range and state of one op; fills *s, and of *a what the kernels bind for v and mm. */
static ar_status check_all(const char *op, ar__fq_shape *s, const ar_graph *g, ar__fq_args *a,
                           const ar_fq_state *st) {
    const ar__fq_kind *kind = kind_of(&a->desc->scheme);
    AR_TRY(kind->shape(op, s, g, a->W, &a->desc->scheme));
    AR_TRY(ar__fq_check_groups(op, "range", a->range, s, kind->range_each));
    AR_TRY(ar__fq_check_tuned(op, s, st, a->desc));
    a->v = s->v_kind ? st->v : a->W; /* something to bind when there is no state */
    a->mm = s->m_kind ? st->mm : a->range;
    return AR_OK;
}

/* *sz, a new graph tensor, from range and mm. */
static ar_status make_scale(ar_graph *g, ar_tensor **sz, const ar__fq_shape *s, ar__fq_args *a) {
    AR_TRY(ar__output(g, sz, AR_F32, 3, (int64_t[]){s->O, s->groups, 4}, NULL, NULL, NULL));
    a->sz = *sz;
    return kind_of(&a->desc->scheme)->scale(g, *sz, s, a);
}

ar_status ar_op_group_range(ar_graph *g, ar_tensor *range, const ar_tensor *W, const ar_scheme *scheme) {
    return kind_of(scheme)->start(g, range, W, scheme);
}

ar_status ar_op_fake_quant(ar_graph *g, ar_tensor **Wq, ar_tensor **sz, const ar_tensor *W,
                           const ar_tensor *range, const ar_fq_state *st, const ar_fq_desc *desc) {
    ar__fq_shape s = {0};
    ar__fq_args a = {.W = W, .range = range, .desc = desc};
    *Wq = *sz = NULL;
    AR_TRY(check_all("fake_quant", &s, g, &a, st));
    AR_TRY(make_scale(g, sz, &s, &a));
    AR_TRY(ar__output(g, Wq, AR_F32, 2, W->dims, NULL, NULL, NULL));
    (*Wq)->needs_grad = true;
    return kind_of(&desc->scheme)->forward(g, *Wq, &s, &a);
}

ar_status ar_op_fq_codes(ar_graph *g, ar_tensor **codes, ar_tensor **sz, const ar_tensor *W,
                         const ar_tensor *range, const ar_fq_state *st, const ar_fq_desc *desc) {
    ar__fq_shape s = {0};
    ar__fq_args a = {.W = W, .range = range, .desc = desc};
    *codes = *sz = NULL;
    AR_TRY(check_all("fq_codes", &s, g, &a, st));
    AR_TRY(make_scale(g, sz, &s, &a));
    const int64_t words = (s.O * s.I + 3) / 4;
    AR_TRY(ar__output(g, codes, AR_U32, 1, &words, NULL, NULL, NULL));
    return kind_of(&desc->scheme)->codes(g, *codes, &s, &a);
}

ar_status ar_op_fq_grad(ar_graph *g, ar_tensor **dv, ar_tensor **dmm, const ar_tensor *dWq,
                        const ar_tensor *W, const ar_tensor *range, const ar_tensor *sz,
                        const ar_fq_state *st, const ar_fq_desc *desc) {
    ar__fq_shape s = {0};
    ar__fq_args a = {.W = W, .range = range, .sz = sz, .dWq = dWq, .desc = desc};
    *dv = *dmm = NULL;
    AR_TRY(check_all("fq_grad", &s, g, &a, st));
    AR_TRY(ar__op_check("fq_grad", "dWq", dWq, AR_F32, s.O, s.I));
    AR_TRY(ar__fq_check_groups("fq_grad", "sz", sz, &s, 4));
    AR_TRY(ar__output(g, dv, AR_F32, 2, W->dims, NULL, NULL, NULL));
    AR_TRY(ar__output(g, dmm, AR_F32, 3, (int64_t[]){s.O, s.groups, 2}, NULL, NULL, NULL));
    return kind_of(&desc->scheme)->grad(g, *dv, *dmm, &s, &a);
}
