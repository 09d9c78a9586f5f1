/* Embedding lookup: y[n] = E[ids[n]]. No gradient. A table larger than one binding is read in pieces. */
#include "op.h"

/* Rows of E per binding: all, or as many as fit and start on aligned offsets. */
static ar_status piece_rows(const ar_device *device, const ar_tensor *E, int64_t *rows) {
    uint64_t row_bytes = (uint64_t)E->dims[1] * 4, align = device->plan.offset_align, step = 1;
    *rows = E->dims[0];
    if (ar__tensor_bytes(E) <= device->plan.piece_bytes) return AR_OK;
    while (align && step * row_bytes % align) step *= 2; /* align is a power of two */
    uint64_t fit = device->plan.piece_bytes / row_bytes / step * step;
    if (fit == 0)
        return ar__fail(AR_ERR_UNSUPPORTED, "embed: one row is %llu bytes, this device binds %llu",
                        (unsigned long long)row_bytes, (unsigned long long)device->plan.piece_bytes);
    *rows = (int64_t)fit;
    return AR_OK;
}

ar_status ar_op_embed(ar_graph *g, ar_tensor **y, const ar_tensor *E, const ar_tensor *ids) {
    *y = NULL;
    AR_TRY(ar__expect("embed E", E, AR_F32, 2, (int64_t[]){-1, -1}));
    AR_TRY(ar__expect("embed ids", ids, AR_I32, 1, (int64_t[]){-1}));
    const ar_device *device = ar__graph_device(g);
    int64_t N = ids->dims[0], V = E->dims[0], I = E->dims[1], step = 0;
    if (V == 0) return ar__fail(AR_ERR_SHAPE, "embed: E has no rows");
    AR_TRY(piece_rows(device, E, &step));
    AR_TRY(ar_graph_temp(g, y, AR_F32, 2, (int64_t[]){N, I}));
    for (int64_t v0 = 0; v0 < V; v0 += step) {
        int64_t count = step < V - v0 ? step : V - v0;
        struct {
            uint32_t rows, row0, I, v0, count, V;
        } p = {0, 0, (uint32_t)I, (uint32_t)v0, (uint32_t)count, (uint32_t)V};
        ar__emit_desc d = {.kernel = AR_K_embed,
                           .specs = {device->plan.wg, 1},
                           .params = &p,
                           .bytes = 8.0 * (double)(N * I)};
        d.operands[0] = (ar__operand){E, (uint64_t)(v0 * I) * 4, count == V ? 0 : (uint64_t)(count * I) * 4};
        d.operands[1].t = ids;
        d.operands[2].t = *y;
        ar__split split = {.units = N, .split = 1u << 2, .items_per_unit = (uint32_t)I, .pass_start = true};
        AR_TRY(ar__emit_split(g, &d, &split));
    }
    return AR_OK;
}
