/* GPTQ's algebra on the host (docs/methods.md, gptq): the inputs of linears, and the codes of one linear. */
#ifndef AR_QUANT_GPTQ_H
#define AR_QUANT_GPTQ_H
#include "core.h"

/* What linears that share an input share. */
typedef struct ar__gptq_inputs {
    int64_t I;
    double *root;   /* (I, I): U, of which U^T U is the inverse of the damped H, both in the order below */
    int32_t *order; /* (I): the input that is quantized k-th */
    bool *dead;     /* (I): the input is always 0, and so becomes its weight; by its own index */
} ar__gptq_inputs;

typedef struct ar__gptq_desc {
    double damp;              /* share of H's mean diagonal that is added to it */
    bool by_size;             /* inputs in the order of falling diagonal; else as they stand */
    const ar__lapack *lapack; /* NULL = our own algebra */
} ar__gptq_desc;

/* gram (I, I) = the sum of x x^T over `rows` positions; H = 2/rows gram. Errors: FORMAT, where `what` names
 * the input, for a gram that is not finite or, damped, singular; MEMORY. On failure deinit is due as well. */
ar_status ar__gptq_inputs_init(ar__gptq_inputs *in, const float *gram, int64_t I, int64_t rows,
                               const ar__gptq_desc *desc, const char *what);
void ar__gptq_inputs_deinit(ar__gptq_inputs *in);

/* Where the scales of a group come from. */
typedef enum ar__gptq_scales {
    AR__GPTQ_MOVED, /* its weights when its first one's turn comes; inputs must stand in their own order */
    AR__GPTQ_RANGE, /* its weights as they are given */
    AR__GPTQ_KEPT   /* those of q; the only way of double-quantized structures */
} ar__gptq_scales;

/* Codes, and but for KEPT the scales, of an initialised q from W (O, I). errors, unless NULL: the mean square
 * error of an output on the (damped) inputs, over at most 64 outputs spread over all: [0] rounded to nearest
 * on the same scales, [1] as delivered. Errors: MEMORY. */
ar_status ar__gptq_codes(ar_qlinear *q, double errors[2], const float *W, const ar__gptq_inputs *in,
                         ar__gptq_scales scales);
#endif
