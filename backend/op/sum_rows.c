/* The sum over rows that gradients of biases and norms end in, in order. Kernel: sum_rows. */
#include "op.h"

ar_status ar__emit_sum_rows(ar_graph *g, ar_tensor *s, const ar_tensor *X, bool accumulate) {
    int64_t N = X->dims[0], I = X->dims[1];
    if (N == 0) return accumulate ? AR_OK : ar__emit_fill(g, s, 0.0f);
    struct {
        uint32_t rows, start, I, acc;
    } v = {0, 0, (uint32_t)I, accumulate};
    ar__emit_desc d = {.kernel = AR_K_sum_rows,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &v,
                       .operands = {{X, 0, 0}, {s, 0, 0}},
                       .flops = (double)(N * I),
                       .bytes = 4.0 * (double)(N * I)};
    return ar__emit_split(
        g, &d, &(ar__split){.units = N, .split = 1u, .fixed_items = (uint32_t)I, .pass_start = true});
}
