/* A bias in every row. */
#include "op.h"

ar_status ar__emit_add_row(ar_graph *g, const ar_tensor *y, const ar_tensor *bias) {
    int64_t N = y->dims[0], O = y->dims[1];
    struct {
        uint32_t rows, O;
    } v = {0, (uint32_t)O};
    ar__emit_desc d = {.kernel = AR_K_add_row, .specs = {ar__graph_device(g)->plan.wg, 1}, .params = &v};
    d.operands[0] = (ar__operand){y, 0, 0};
    d.operands[1] = (ar__operand){bias, 0, 0};
    d.bytes = 8.0 * (double)(N * O);
    return ar__emit_split(g, &d, &(ar__split){.units = N, .split = 1, .items_per_unit = (uint32_t)O});
}
