/* SwiGLU's product (Shazeer 2020, arXiv 2002.05202): y = silu(gate) up. With s = 1/(1 + exp(-gate)):
 *   dgate = dy up s (1 + gate (1 - s)),   dup = dy gate s */
#include "op.h"

typedef struct silu_ctx {
    ar_tensor *gate, *up, *y;
} silu_ctx;

static ar_status backward(ar_graph *g, const void *ctx) {
    const silu_ctx *c = ctx;
    if (!c->y->grad) return AR_OK;
    ar_tensor *dgate = NULL, *dup = NULL;
    bool acc_gate = false, acc_up = false;
    AR_TRY(ar__grad(g, &dgate, &acc_gate, c->gate));
    AR_TRY(ar__grad(g, &dup, &acc_up, c->up));
    if (!dgate && !dup) return AR_OK;
    /* the kernel makes both; what nobody wants goes into scratch */
    if (!dgate) AR_TRY(ar_graph_temp(g, &dgate, AR_F32, 2, c->y->dims));
    if (!dup) AR_TRY(ar_graph_temp(g, &dup, AR_F32, 2, c->y->dims));
    int64_t count = ar_tensor_count(c->y);
    const ar_plan *plan = &ar__graph_device(g)->plan;
    struct {
        uint32_t n, acc_gate, acc_up;
    } p = {0, acc_gate, acc_up};
    ar__emit_desc d = {
        .kernel = AR_K_silu_mul_grad,
        .specs = {plan->wg, 1},
        .params = &p,
        .operands = {{c->gate, 0, 0}, {c->up, 0, 0}, {c->y->grad, 0, 0}, {dgate, 0, 0}, {dup, 0, 0}},
        .flops = 15.0 * (double)count,
        .bytes = 20.0 * (double)count};
    ar__split split = {.units = count, .split = 31u, .units_per_item = plan->vw};
    return ar__emit_split(g, &d, &split);
}

ar_status ar_op_silu_mul(ar_graph *g, ar_tensor **y, ar_tensor *gate, ar_tensor *up) {
    *y = NULL;
    AR_TRY(ar__expect("silu_mul gate", gate, AR_F32, 2, (int64_t[]){-1, -1}));
    AR_TRY(ar__expect("silu_mul up", up, AR_F32, 2, (int64_t[]){gate->dims[0], gate->dims[1]}));
    if (gate == up) return ar__fail(AR_ERR_ARG, "silu_mul: gate and up are the same tensor");
    silu_ctx c = {.gate = gate, .up = up};
    AR_TRY(ar__output(g, &c.y, AR_F32, 2, gate->dims, gate, up, NULL));
    int64_t count = ar_tensor_count(gate);
    const ar_plan *plan = &ar__graph_device(g)->plan;
    uint32_t n = 0;
    ar__emit_desc d = {.kernel = AR_K_silu_mul,
                       .specs = {plan->wg, 1},
                       .params = &n,
                       .operands = {{gate, 0, 0}, {up, 0, 0}, {c.y, 0, 0}},
                       .flops = 6.0 * (double)count,
                       .bytes = 12.0 * (double)count};
    ar__split split = {.units = count, .split = 7u, .units_per_item = plan->vw};
    AR_TRY(ar__emit_split(g, &d, &split));
    if (c.y->needs_grad) AR_TRY(ar__node(g, backward, &c, sizeof c));
    *y = c.y;
    return AR_OK;
}
