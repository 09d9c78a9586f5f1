/* Shared by op_fake_quant.c, the public ops, and the rows they choose from: plain groups (fq_plain.c) and
 * double-quantized ones (op_fake_super.c). */
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

/* fq_shape.c: bytes per multiple of a state. */
double ar__fq_state_bytes(uint32_t kind);
/* Errors: ARG (t is NULL), SHAPE (expected (O, groups, each)). */
ar_status ar__fq_check_groups(const char *op, const char *name, const ar_tensor *t, const ar__fq_shape *s,
                              int64_t each);
/* Fills the kinds and divisors of s, whose sizes are known. Errors: ARG (divisors), DTYPE, SHAPE. */
ar_status ar__fq_check_tuned(const char *op, ar__fq_shape *s, const ar_fq_state *st, const ar_fq_desc *desc);

/* What one op is given, checked; v and mm are what to bind where nothing is tuned. */
typedef struct ar__fq_args {
    const ar_tensor *W, *range, *v, *mm;
    const ar_tensor *sz;  /* all but scale */
    const ar_tensor *dWq; /* grad */
    const ar_fq_desc *desc;
} ar__fq_args;

/* Binds what every kernel of a gradient has, in its order: dWq, W, v, sz, range, mm, dv, dmm. */
void ar__fq_bind_grad(ar__emit_desc *d, const ar__fq_args *a, const ar_tensor *dv, const ar_tensor *dmm);

/* A structure of scales: what differs between them. Outputs exist and have their shapes. */
typedef struct ar__fq_kind {
    int64_t range_each; /* numbers of a group in range */
    /* Sizes, lanes, Q and the limits of multiples. Errors: those of the scheme, DTYPE, SHAPE. */
    ar_status (*shape)(const char *op, ar__fq_shape *s, const ar_graph *g, const ar_tensor *W,
                       const ar_scheme *scheme);
    /* range from W; checks both. */
    ar_status (*start)(ar_graph *g, ar_tensor *range, const ar_tensor *W, const ar_scheme *scheme);
    ar_status (*scale)(ar_graph *g, ar_tensor *sz, const ar__fq_shape *s, const ar__fq_args *a);
    ar_status (*forward)(ar_graph *g, ar_tensor *Wq, const ar__fq_shape *s, const ar__fq_args *a);
    ar_status (*codes)(ar_graph *g, ar_tensor *codes, const ar__fq_shape *s, const ar__fq_args *a);
    ar_status (*grad)(ar_graph *g, ar_tensor *dv, ar_tensor *dmm, const ar__fq_shape *s,
                      const ar__fq_args *a);
} ar__fq_kind;
extern const ar__fq_kind ar__fq_plain, ar__fq_super;
#endif
