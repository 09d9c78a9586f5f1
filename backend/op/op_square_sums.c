/* Sums of squares of every column. Kernel: square_sums. */
#include "op.h"

ar_status ar_op_square_sums(ar_graph *g, ar_tensor *sums, const ar_tensor *x) {
    AR_TRY(ar__op_check("square_sums", "x", x, AR_F32, -1, -1));
    AR_TRY(ar__op_check("square_sums", "sums", sums, AR_F32, x->dims[1], 0));
    const ar_plan *plan = &ar__graph_device(g)->plan;
    int64_t I = x->dims[1];
    double flops = 2.0 * (double)ar_tensor_count(x), bytes = 4.0 * (double)ar_tensor_count(x);
    ar__cut c = ar__cut_by_time(plan, I, 1, flops, bytes); /* by columns: rows would be other sums */
    while (ar__cut_next(&c)) {
        struct {
            uint32_t rows, I, first, end;
        } p = {0, (uint32_t)I, (uint32_t)c.first, (uint32_t)(c.first + c.count)};
        ar__emit_desc d = {.kernel = AR_K_square_sums,
                           .specs = {plan->wg, 1},
                           .params = &p,
                           .operands = {{x, 0, 0}, {sums, 0, 0}},
                           .flops = flops * (double)c.count / (double)I,
                           .bytes = bytes * (double)c.count / (double)I};
        ar__split split = {.units = x->dims[0], .split = 1u, .fixed_items = (uint32_t)c.count};
        AR_TRY(ar__emit_split(g, &d, &split));
    }
    return AR_OK;
}
