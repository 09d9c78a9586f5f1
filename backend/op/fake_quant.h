/* Shared by op_fake_quant.c and op_fake_super.c, the plain and the double-quantized structures. */
#ifndef AR_FAKE_QUANT_H
#define AR_FAKE_QUANT_H
#include "internal.h"

/* A weight under a scheme and its tuned state, as the kernels see them. */
typedef struct ar__fq_shape {
    int64_t O, I, groups;
    uint32_t G;                       /* weights to a group, at most I */
    uint32_t hw;                      /* lanes that divide rows and groups; 0 = the general kernels */
    float Q;                          /* codes 0..Q */
    float zp, least, most;            /* super kinds: the middle code, multiples least..most */
    bool pairs;                       /* super kinds: has minima */
    uint32_t v_kind, m_kind;          /* VSTATE, MSTATE: 0 not tuned, 1 f32, 2 i32, 3 i16 */
    float v_div, v_inv, m_div, m_inv; /* divisors with the significant bits that ar_quot20 in shaders/num.h
                                         takes, and their reciprocals */
} ar__fq_shape;

/* Bytes per multiple of a state. */
double ar__fq_state_bytes(uint32_t kind);
/* Errors: ARG (t is NULL), SHAPE (expected (O, groups, each)). */
ar_status ar__fq_check_groups(const char *op, const char *name, const ar_tensor *t, const ar__fq_shape *s,
                              int64_t each);
/* Fills the kinds and divisors of s, whose sizes are known. Errors: ARG (divisors), DTYPE, SHAPE. */
ar_status ar__fq_check_tuned(const char *op, ar__fq_shape *s, const ar_fq_state *st, const ar_fq_desc *desc);

/* What the public ops do for a scheme with a super kind; range is ar_op_super_start's start. */
ar_status ar__super_fake_quant(ar_graph *g, ar_tensor **Wq, ar_tensor **sz, const ar_tensor *W,
                               const ar_tensor *start, const ar_fq_state *st, const ar_fq_desc *desc);
ar_status ar__super_codes(ar_graph *g, ar_tensor **codes, ar_tensor **sz, const ar_tensor *W,
                          const ar_tensor *start, const ar_fq_state *st, const ar_fq_desc *desc);
ar_status ar__super_grad(ar_graph *g, ar_tensor **dv, ar_tensor **dmm, const ar_tensor *dWq,
                         const ar_tensor *W, const ar_tensor *start, const ar_tensor *sz,
                         const ar_fq_state *st, const ar_fq_desc *desc);
#endif
