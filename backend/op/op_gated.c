/* Products with a gate (Shazeer 2020, arXiv 2002.05202): y = f(gate) up.
 *   dgate = dy up f'(gate),   dup = dy f(gate) */
#include "op.h"

typedef struct gated_ctx {
    ar_tensor *gate, *up, *y;
    uint32_t kind;
} gated_ctx;

static ar_status backward(ar_graph *g, const void *ctx) {
    const gated_ctx *c = ctx;
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
        .kernel = AR_K_gated_grad,
        .specs = {plan->wg, 1, c->kind},
        .params = &p,
        .operands = {{c->gate, 0, 0}, {c->up, 0, 0}, {c->y->grad, 0, 0}, {dgate, 0, 0}, {dup, 0, 0}},
        .flops = 15.0 * (double)count,
        .bytes = 20.0 * (double)count};
    ar__split split = {.units = count, .split = 31u, .units_per_item = plan->vw};
    return ar__emit_split(g, &d, &split);
}

ar_status ar_op_gated(ar_graph *g, ar_tensor **y, ar_tensor *gate, ar_tensor *up, ar_act kind) {
    *y = NULL;
    AR_TRY(ar__expect("gated gate", gate, AR_F32, 2, (int64_t[]){-1, -1}));
    AR_TRY(ar__expect("gated up", up, AR_F32, 2, (int64_t[]){gate->dims[0], gate->dims[1]}));
    if (gate == up) return ar__fail(AR_ERR_ARG, "gated: gate and up are the same tensor");
    if (kind < AR_ACT_RELU || kind > AR_ACT_SILU)
        return ar__fail(AR_ERR_ARG, "gated: found kind %d, expected an activation", (int)kind);
    gated_ctx c = {.gate = gate, .up = up, .kind = (uint32_t)kind};
    AR_TRY(ar__output(g, &c.y, AR_F32, 2, gate->dims, gate, up, NULL));
    int64_t count = ar_tensor_count(gate);
    const ar_plan *plan = &ar__graph_device(g)->plan;
    uint32_t n = 0;
    ar__emit_desc d = {.kernel = AR_K_gated,
                       .specs = {plan->wg, 1, c.kind},
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
