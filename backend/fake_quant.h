/* Shared by op_fake_quant.c and op_fake_super.c, the plain and the double-quantized structures. */
#ifndef AR_FAKE_QUANT_H
#define AR_FAKE_QUANT_H
#include "internal.h"

/* What the kernels are told of a state: 0 not tuned, 1 f32, 2 i32, 3 i16; and its bytes per multiple. */
uint32_t ar__fq_state_kind(const ar_tensor *t, float div);
double ar__fq_state_bytes(uint32_t kind);
/* Errors: DTYPE. */
ar_status ar__fq_check_state(const char *op, const char *name, const ar_tensor *t);
/* v_div and m_div as the kernels use them: with the significant bits that ar_quot20 in shaders/num.h takes.
 */
float ar__fq_divisor(float div);

/* What the public ops do for a scheme with a super kind; range is ar_op_super_start's start. */
ar_status ar__super_fake_quant(ar_graph *g, ar_tensor **Wq, ar_tensor **sz, const ar_tensor *W,
                               const ar_tensor *start, const ar_fq_state *st, const ar_fq_desc *desc);
ar_status ar__super_codes(ar_graph *g, ar_tensor **codes, ar_tensor **sz, const ar_tensor *W,
                          const ar_tensor *start, const ar_fq_state *st, const ar_fq_desc *desc);
ar_status ar__super_grad(ar_graph *g, ar_tensor **dv, ar_tensor **dmm, const ar_tensor *dWq,
                         const ar_tensor *W, const ar_tensor *start, const ar_tensor *sz,
                         const ar_fq_state *st, const ar_fq_desc *desc);
#endif
