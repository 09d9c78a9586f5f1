/* What the plain and the double-quantized quantizer share: checks of operands, kinds and divisors of the
 * state. */
#include "fake_quant.h"
#include "op.h"
#include <math.h>

#define DIV_BITS 20 /* what ar_quot20 in shaders/num.h is exact for */

static uint32_t state_kind(const ar_tensor *t, float div) {
    if (!t || div == 0.0f) return 0;
    return t->dtype == AR_F32 ? 1 : t->dtype == AR_I32 ? 2 : 3;
}

double ar__fq_state_bytes(uint32_t kind) { return kind == 0 ? 0.0 : kind == 3 ? 2.0 : 4.0; }

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

void ar__fq_bind_grad(ar__emit_desc *d, const ar__fq_args *a, const ar_tensor *dv, const ar_tensor *dmm) {
    const ar_tensor *operands[] = {a->dWq, a->W, a->v, a->sz, a->range, a->mm, dv, dmm};
    for (size_t i = 0; i < sizeof operands / sizeof *operands; i++)
        d->operands[i] = (ar__operand){operands[i], 0, 0};
}
