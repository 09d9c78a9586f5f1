/* Between op_fq_step.c and gemm.c: a product whose tiles go on to a step instead of being written
 * (shaders/gemm_step.comp). */
#ifndef AR_GEMM_STEP_H
#define AR_GEMM_STEP_H
#include "internal.h"

#define AR__STEP_OPERANDS 6 /* behind the panels */

/* As the kernel has them; the launch fills in the first five. */
typedef struct ar__step_params {
    uint32_t M, N, K, r0, c0;
    uint32_t I, G, gpr, kind;
    float Q, mdiv, minv, vdiv, vinv;
    int32_t T;
    float vlo, vhi, mlo, mhi;
} ar__step_params;

typedef struct ar__gemm_step {
    uint32_t G, hw, v_kind, m_kind;
    ar__operand operands[AR__STEP_OPERANDS]; /* W, V, SZ, R, MM, At */
    ar__step_params params;
} ar__gemm_step;

/* gemm.c: the step along dy^T x, if its sums would be the general product's: *taken. Errors: those of
 * ar__gemm. */
ar_status ar__gemm_step_emit(ar_graph *g, bool *taken, const ar__gemm_step *step, const ar_tensor *dy,
                             const ar_tensor *x);
#endif
