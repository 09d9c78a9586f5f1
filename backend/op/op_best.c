/* The bookkeeping of a tuning run that stays on the device: best step, copy if improved, step counter. */
#include "internal.h"

ar_status ar_op_best(ar_graph *g, ar_tensor **improved, ar_tensor *best, ar_tensor *history,
                     const ar_tensor *loss, const ar_tensor *step) {
    AR_TRY(ar__expect("best best", best, AR_F32, 1, (int64_t[]){2}));
    AR_TRY(ar__expect("best history", history, AR_F32, 1, (int64_t[]){-1}));
    AR_TRY(ar__expect("best loss", loss, AR_F32, 1, (int64_t[]){1}));
    AR_TRY(ar__expect("best step", step, AR_I32, 1, (int64_t[]){1}));
    if (history->dims[0] == 0)
        return ar__fail(AR_ERR_SHAPE, "best history: no elements, expected one per step");
    AR_TRY(ar__output(g, improved, AR_I32, 1, (int64_t[]){1}, NULL, NULL, NULL));
    uint32_t steps = (uint32_t)history->dims[0];
    ar__emit_desc d = {.kernel = AR_K_best, .specs = {1, 1}, .params = &steps, .bytes = 32};
    const ar_tensor *operands[5] = {loss, step, best, history, *improved};
    for (int32_t i = 0; i < 5; i++) d.operands[i] = (ar__operand){operands[i], 0, 0};
    return ar__emit(g, &d);
}

ar_status ar_op_copy_if(ar_graph *g, ar_tensor *dst, const ar_tensor *src, const ar_tensor *improved) {
    AR_TRY(ar__expect("copy_if improved", improved, AR_I32, 1, (int64_t[]){1}));
    AR_TRY(ar__expect("copy_if dst", dst, src->dtype, src->dim_count, src->dims));
    int64_t count = ar_tensor_count(src);
    uint32_t each = (uint32_t)ar_dtype_bytes(src->dtype);
    struct {
        uint32_t n, each;
    } v = {0, each};
    ar__emit_desc d = {.kernel = AR_K_copy_if, .specs = {ar__graph_device(g)->plan.wg, 1}, .params = &v};
    d.operands[0] = (ar__operand){src, 0, 0};
    d.operands[1] = (ar__operand){improved, 0, 0};
    d.operands[2] = (ar__operand){dst, 0, 0};
    d.bytes = 2.0 * each * (double)count;
    return ar__emit_split(g, &d, &(ar__split){.units = count, .split = 1 | 4, .units_per_item = 4 / each});
}

ar_status ar_op_advance(ar_graph *g, ar_tensor *step) {
    AR_TRY(ar__expect("advance step", step, AR_I32, 1, (int64_t[]){1}));
    int32_t by = 1;
    ar__emit_desc d = {
        .kernel = AR_K_advance, .specs = {1, 1}, .operands = {{step, 0, 0}}, .params = &by, .bytes = 8};
    return ar__emit(g, &d);
}
