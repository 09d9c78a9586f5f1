/* m = mean of x, summed in two stages of fixed order.  dx = dm / n. */
#include "internal.h"

typedef struct mean {
    ar_tensor *m, *x;
} mean;

static ar_status mean_backward(ar_graph *g, const void *ctx) {
    const mean *op = ctx;
    const ar_tensor *dm = ar_tensor_grad(op->m);
    ar_tensor *grad = NULL;
    bool accumulate = false;
    if (!dm) return AR_OK;
    AR_TRY(ar__grad(g, &grad, &accumulate, op->x));
    if (!grad) return AR_OK;
    int64_t count = ar_tensor_count(op->x);
    struct {
        uint32_t n, acc;
        float scale;
    } v = {0, accumulate, (float)(1.0 / (double)count)};
    ar__emit_desc d = {.kernel = AR_K_mean_bwd, .specs = {ar__graph_device(g)->plan.wg, 1}, .params = &v};
    d.operands[0] = (ar__operand){dm, 0, 0};
    d.operands[1] = (ar__operand){grad, 0, 0};
    d.bytes = 4.0 * (double)count;
    return ar__emit_split(g, &d, &(ar__split){.units = count, .split = 2});
}

ar_status ar__emit_sum_final(ar_graph *g, ar_tensor *y, const ar_tensor *parts, double scale) {
    struct {
        uint32_t n;
        float scale;
    } v = {(uint32_t)ar_tensor_count(parts), (float)scale};
    ar__emit_desc d = {.kernel = AR_K_sum_final, .specs = {AR__SUM_WG, 1}, .params = &v};
    d.operands[0] = (ar__operand){parts, 0, 0};
    d.operands[1] = (ar__operand){y, 0, 0};
    d.bytes = 4.0 * (double)v.n;
    return ar__emit(g, &d);
}

ar_status ar_op_mean(ar_graph *g, ar_tensor **m, ar_tensor *x) {
    AR_TRY(ar__expect("mean x", x, AR_F32, x->dim_count, x->dims));
    int64_t count = ar_tensor_count(x), parts_count = (count + AR__SUM_SEGMENT - 1) / AR__SUM_SEGMENT;
    AR_TRY(ar__output(g, m, AR_F32, 1, (int64_t[]){1}, x, NULL, NULL));
    if (count == 0) return ar__emit_fill(g, *m, 0.0f);
    ar_tensor *parts = NULL;
    AR_TRY(ar_graph_temp(g, &parts, AR_F32, 1, &parts_count));
    struct {
        uint32_t n, start;
    } v = {0, 0};
    ar__emit_desc d = {.kernel = AR_K_sum_part, .specs = {AR__SUM_WG, 1, AR__SUM_SEGMENT}, .params = &v};
    d.operands[0] = (ar__operand){x, 0, 0};
    d.operands[1] = (ar__operand){parts, 0, 0};
    d.bytes = 4.0 * (double)count;
    AR_TRY(ar__emit_split(g, &d,
                          &(ar__split){.units = count,
                                       .split = 1,
                                       .items_per_unit = AR__SUM_WG,
                                       .units_per_item = AR__SUM_SEGMENT,
                                       .pass_start = true}));
    AR_TRY(ar__emit_sum_final(g, *m, parts, 1.0 / (double)count));
    if (!(*m)->needs_grad) return AR_OK;
    return ar__node(g, mean_backward, &(mean){*m, x}, sizeof(mean));
}
