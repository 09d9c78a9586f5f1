/* Sums of squares of every column. Kernel: square_sums. */
#include "op.h"

ar_status ar_op_square_sums(ar_graph *g, ar_tensor *sums, const ar_tensor *x) {
    AR_TRY(ar__op_check("square_sums", "x", x, AR_F32, -1, -1));
    AR_TRY(ar__op_check("square_sums", "sums", sums, AR_F32, x->dims[1], 0));
    struct {
        uint32_t rows, I;
    } p = {0, (uint32_t)x->dims[1]};
    if (p.I == 0) return AR_OK;
    ar__emit_desc d = {.kernel = AR_K_square_sums,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{x, 0, 0}, {sums, 0, 0}},
                       .flops = 2.0 * (double)ar_tensor_count(x),
                       .bytes = 4.0 * (double)ar_tensor_count(x)};
    return ar__emit_split(g, &d, &(ar__split){.units = x->dims[0], .split = 1u, .fixed_items = p.I});
}
