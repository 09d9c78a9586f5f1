/* y[b] = src[sched[step[0] * B + b]]: the batch of this step, its first two dims merged. No gradient. The
 * source is bound in pieces; each piece fills the rows it holds. */
#include "internal.h"

ar_status ar_op_gather(ar_graph *g, ar_tensor **y, const ar_tensor *src, const ar_tensor *sched,
                       const ar_tensor *step, int32_t B) {
    if (ar_dtype_bytes(src->dtype) != 4)
        return ar__fail(AR_ERR_DTYPE, "gather src: %s, expected a type of 4 bytes",
                        ar_dtype_name(src->dtype));
    if (src->dim_count != 2 && src->dim_count != 3)
        return ar__fail(AR_ERR_SHAPE, "gather src: %d dims, expected (S, T) or (S, T, I)",
                        (int)src->dim_count);
    AR_TRY(ar__expect("gather sched", sched, AR_I32, 2, (int64_t[]){-1, B}));
    AR_TRY(ar__expect("gather step", step, AR_I32, 1, (int64_t[]){1}));
    int64_t S = src->dims[0], I = src->dim_count == 3 ? src->dims[2] : 1, R = src->dims[1] * I;
    AR_TRY(
        ar__output(g, y, src->dtype, src->dim_count - 1, (int64_t[]){B * src->dims[1], I}, NULL, NULL, NULL));
    if (S == 0 || R == 0 || B == 0) return AR_OK;
    const ar_plan *plan = &ar__graph_device(g)->plan;
    uint64_t align = plan->offset_align ? plan->offset_align : 4;
    int64_t fit = (int64_t)((plan->piece_bytes - 2 * align) / 4) / R;
    if (fit == 0)
        return ar__fail(AR_ERR_UNSUPPORTED,
                        "gather: a row of %lld words passes the %llu bytes this device binds", (long long)R,
                        (unsigned long long)plan->piece_bytes);
    bool quads = plan->vw == 4 && R % 4 == 0;
    for (int64_t row0 = 0; row0 < S; row0 += fit) {
        int64_t rows = fit < S - row0 ? fit : S - row0;
        uint64_t from = (uint64_t)(row0 * R) * 4, start = from / align * align;
        struct {
            uint32_t count, first, B, R, row0, rows, s0;
        } v = {
            0, 0, (uint32_t)B, (uint32_t)R, (uint32_t)row0, (uint32_t)rows, (uint32_t)((from - start) / 4)};
        ar__emit_desc d = {.kernel = AR_K_gather, .specs = {plan->wg, 1, quads}, .params = &v};
        d.operands[0] = (ar__operand){src, start, (uint64_t)((row0 + rows) * R) * 4 - start};
        d.operands[1] = (ar__operand){sched, 0, 0};
        d.operands[2] = (ar__operand){step, 0, 0};
        d.operands[3] = (ar__operand){*y, 0, 0};
        d.bytes = 8.0 * (double)(B * R);
        AR_TRY(ar__emit_split(g, &d,
                              &(ar__split){.units = B,
                                           .split = 8,
                                           .items_per_unit = (uint32_t)(quads ? R / 4 : R),
                                           .pass_start = true}));
    }
    return AR_OK;
}
