/* Packed operands of products, for gemm.c. */
#ifndef AR_GEMM_PACK_H
#define AR_GEMM_PACK_H
#include "graph.h"

/* Elements [from, to) of t, f32, as an operand; *shift is how many elements the aligned binding starts before
 * `from`. */
ar__operand ar__bind_elements(const ar_graph *g, const ar_tensor *t, int64_t from, int64_t to,
                              uint32_t *shift);

/* Whether a rows x cols matrix can be packed as f16: bound whole, as gemm_coop wants it beside its panels. */
bool ar__pack_can_halve(const ar_plan *plan, int64_t rows, int64_t cols);

/* Fills in the packed form of `want`: a remembered one, or newly emitted; and the largest numbers of its
 * panels if they are scaled. Errors: UNSUPPORTED (a row passes a binding), MEMORY, those of ar__emit. */
ar_status ar__pack_get(ar_graph *g, ar__pack *want);

/* What one launch reads of a pack: `count` rows from `first` on, of `total`, in panels of `tile` rows. */
ar__operand ar__bind_panels(const ar_tensor *pack, int64_t first, int64_t count, int64_t total, int64_t tile);

/* The f32 numbers of `count` rows from `first` on: what panels of f16 were made from, those of f32
 * themselves. at: where they start in the operand, then how far panels, rows and depths lie apart, in
 * elements. */
ar__operand ar__pack_source(const ar_graph *g, const ar__pack *p, int64_t first, int64_t count,
                            uint32_t at[4]);

/* Slices of a panel whose largest numbers are looked for apart: one group alone would take long over many. */
int64_t ar__pack_slices(const ar__pack *p);
#endif
