/* Packed operands of products, for gemm.c. */
#ifndef AR_GEMM_PACK_H
#define AR_GEMM_PACK_H
#include "graph.h"

/* Elements [from, to) of t, f32, as an operand; *shift is how many elements the aligned binding starts before
 * `from`. */
ar__operand ar__bind_elements(const ar_graph *g, const ar_tensor *t, int64_t from, int64_t to,
                              uint32_t *shift);

/* Fills in the packed form of `want`: a remembered one, or newly emitted. Errors: UNSUPPORTED (a row passes a
 * binding), MEMORY, those of ar__emit. */
ar_status ar__pack_get(ar_graph *g, ar__pack *want);

/* The same, and the largest numbers of its panels. */
ar_status ar__pack_get_scaled(ar_graph *g, ar__pack *want);

/* Slices of a panel whose largest numbers are looked for apart: one group alone would take long over many. */
int64_t ar__pack_slices(const ar__pack *p);
#endif
