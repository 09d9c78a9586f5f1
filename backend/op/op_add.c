/* y = a + b.  da = dy, db = dy. */
#include "internal.h"

typedef struct add {
    ar_tensor *y, *a, *b;
} add;

static ar_status pass_gradient(ar_graph *g, const ar_tensor *dy, ar_tensor *to) {
    ar_tensor *grad = NULL;
    bool accumulate = false;
    AR_TRY(ar__grad(g, &grad, &accumulate, to));
    if (!grad) return AR_OK;
    const ar_plan *plan = &ar__graph_device(g)->plan;
    struct {
        uint32_t n, acc;
    } v = {0, accumulate};
    ar__emit_desc d = {.kernel = AR_K_add_to, .specs = {plan->wg, 1}, .params = &v};
    d.operands[0] = (ar__operand){dy, 0, 0};
    d.operands[1] = (ar__operand){grad, 0, 0};
    d.bytes = 8.0 * (double)ar_tensor_count(dy);
    return ar__emit_split(g, &d,
                          &(ar__split){.units = ar_tensor_count(dy), .split = 3, .units_per_item = plan->vw});
}

static ar_status add_backward(ar_graph *g, const void *ctx) {
    const add *op = ctx;
    const ar_tensor *dy = ar_tensor_grad(op->y);
    if (!dy) return AR_OK;
    AR_TRY(pass_gradient(g, dy, op->a));
    return pass_gradient(g, dy, op->b);
}

ar_status ar_op_add(ar_graph *g, ar_tensor **y, ar_tensor *a, ar_tensor *b) {
    AR_TRY(ar__expect("add a", a, AR_F32, a->dim_count, a->dims));
    AR_TRY(ar__expect("add b", b, AR_F32, a->dim_count, a->dims));
    AR_TRY(ar__output(g, y, AR_F32, a->dim_count, a->dims, a, b, NULL));
    const ar_plan *plan = &ar__graph_device(g)->plan;
    uint32_t n = 0;
    ar__emit_desc d = {.kernel = AR_K_add, .specs = {plan->wg, 1}, .params = &n};
    d.operands[0] = (ar__operand){a, 0, 0};
    d.operands[1] = (ar__operand){b, 0, 0};
    d.operands[2] = (ar__operand){*y, 0, 0};
    d.flops = (double)ar_tensor_count(a);
    d.bytes = 12.0 * d.flops;
    AR_TRY(ar__emit_split(g, &d,
                          &(ar__split){.units = ar_tensor_count(a), .split = 7, .units_per_item = plan->vw}));
    if (!(*y)->needs_grad) return AR_OK;
    return ar__node(g, add_backward, &(add){*y, a, b}, sizeof(add));
}
