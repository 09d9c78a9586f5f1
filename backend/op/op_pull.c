/* Where a gradient comes from elsewhere: a loss whose gradient in y is dy, whatever its value. */
#include "internal.h"

typedef struct pull {
    ar_tensor *y;
    const ar_tensor *dy;
} pull;

static ar_status backward(ar_graph *g, const void *ctx) {
    const pull *op = ctx;
    ar_tensor *grad = NULL;
    bool accumulate = false;
    AR_TRY(ar__grad(g, &grad, &accumulate, op->y));
    if (!grad) return AR_OK;
    const ar_plan *plan = &ar__graph_device(g)->plan;
    int64_t count = ar_tensor_count(op->dy);
    struct {
        uint32_t n, acc;
    } v = {0, accumulate};
    ar__emit_desc d = {.kernel = AR_K_add_to,
                       .specs = {plan->wg, 1},
                       .params = &v,
                       .operands = {{op->dy, 0, 0}, {grad, 0, 0}},
                       .bytes = 8.0 * (double)count};
    return ar__emit_split(g, &d, &(ar__split){.units = count, .split = 3, .units_per_item = plan->vw});
}

ar_status ar_op_pull(ar_graph *g, ar_tensor **loss, ar_tensor *y, const ar_tensor *dy) {
    *loss = NULL;
    AR_TRY(ar__expect("pull y", y, AR_F32, y->dim_count, y->dims));
    AR_TRY(ar__expect("pull dy", dy, AR_F32, y->dim_count, y->dims));
    AR_TRY(ar__output(g, loss, AR_F32, 1, (int64_t[]){1}, y, NULL, NULL));
    AR_TRY(ar__emit_fill(g, *loss, 0.0f));
    if (!(*loss)->needs_grad) return AR_OK;
    return ar__node(g, backward, &(pull){y, dy}, sizeof(pull));
}
