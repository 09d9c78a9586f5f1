/* loss = sum_n weight[n] sum_i (y - target)^2 / (N I), summed in two stages of fixed order.
 * dy = 2 weight (y - target) / (N I) dloss. The mean is over all rows, whatever they weigh. */
#include "internal.h"

typedef struct mse {
    ar_tensor *loss, *y;
    const ar_tensor *target, *weight;
} mse;

static ar_status mse_backward(ar_graph *g, const void *ctx) {
    const mse *op = ctx;
    const ar_tensor *dloss = ar_tensor_grad(op->loss);
    ar_tensor *grad = NULL;
    bool accumulate = false;
    if (!dloss) return AR_OK;
    AR_TRY(ar__grad(g, &grad, &accumulate, op->y));
    if (!grad) return AR_OK;
    int64_t count = ar_tensor_count(op->y);
    const ar_plan *plan = &ar__graph_device(g)->plan;
    bool quads = plan->vw == 4 && op->y->dims[1] % 4 == 0;
    struct {
        uint32_t n, start, I, has_weight, acc;
        float scale;
    } v = {0, 0, (uint32_t)op->y->dims[1], op->weight != NULL, accumulate, (float)(1.0 / (double)count)};
    ar__emit_desc d = {.kernel = AR_K_mse_bwd, .specs = {plan->wg, 1, quads}, .params = &v};
    d.operands[0] = (ar__operand){op->y, 0, 0};
    d.operands[1] = (ar__operand){op->target, 0, 0};
    d.operands[2] = (ar__operand){op->weight ? op->weight : dloss, 0, 0};
    d.operands[3] = (ar__operand){dloss, 0, 0};
    d.operands[4] = (ar__operand){grad, 0, 0};
    d.bytes = 12.0 * (double)count;
    return ar__emit_split(
        g, &d,
        &(ar__split){
            .units = count, .split = 1 | 2 | 16, .units_per_item = quads ? 4 : 1, .pass_start = true});
}

ar_status ar_op_mse(ar_graph *g, ar_tensor **loss, ar_tensor *y, const ar_tensor *target,
                    const ar_tensor *weight) {
    AR_TRY(ar__expect("mse y", y, AR_F32, 2, (int64_t[]){-1, -1}));
    AR_TRY(ar__expect("mse target", target, AR_F32, 2, y->dims));
    if (weight) AR_TRY(ar__expect("mse weight", weight, AR_F32, 1, y->dims));
    int64_t count = ar_tensor_count(y), parts_count = (count + AR__SUM_SEGMENT - 1) / AR__SUM_SEGMENT;
    if (count > UINT32_MAX) return ar__fail(AR_ERR_UNSUPPORTED, "mse: %lld elements", (long long)count);
    AR_TRY(ar__output(g, loss, AR_F32, 1, (int64_t[]){1}, y, NULL, NULL));
    if (count == 0) return ar__emit_fill(g, *loss, 0.0f);
    ar_tensor *parts = NULL;
    AR_TRY(ar_graph_temp(g, &parts, AR_F32, 1, &parts_count));
    struct {
        uint32_t n, start, I, has_weight;
    } v = {0, 0, (uint32_t)y->dims[1], weight != NULL};
    ar__emit_desc d = {.kernel = AR_K_mse_part, .specs = {AR__SUM_WG, 1, AR__SUM_SEGMENT}, .params = &v};
    d.operands[0] = (ar__operand){y, 0, 0};
    d.operands[1] = (ar__operand){target, 0, 0};
    d.operands[2] = (ar__operand){weight ? weight : y, 0, weight ? 0 : 64};
    d.operands[3] = (ar__operand){parts, 0, 0};
    d.bytes = 8.0 * (double)count;
    AR_TRY(ar__emit_split(g, &d,
                          &(ar__split){.units = count,
                                       .split = 3,
                                       .items_per_unit = AR__SUM_WG,
                                       .units_per_item = AR__SUM_SEGMENT,
                                       .pass_start = true}));
    AR_TRY(ar__emit_sum_final(g, *loss, parts, 1.0 / (double)count));
    if (!(*loss)->needs_grad) return AR_OK;
    return ar__node(g, mse_backward, &(mse){*loss, y, target, weight}, sizeof(mse));
}
