/* Activations of one argument: ReLU, SiLU and GELU (Hendrycks & Gimpel 2016, arXiv 1606.08415), exact and by
 * tanh. dx = dy f'(x). */
#include "op.h"

typedef struct act_ctx {
    ar_tensor *x, *y;
    uint32_t kind;
} act_ctx;

static ar_status backward(ar_graph *g, const void *ctx) {
    const act_ctx *c = ctx;
    if (!c->y->grad) return AR_OK;
    ar_tensor *dx = NULL;
    bool accumulate = false;
    AR_TRY(ar__grad(g, &dx, &accumulate, c->x));
    if (!dx) return AR_OK;
    int64_t count = ar_tensor_count(c->y);
    const ar_plan *plan = &ar__graph_device(g)->plan;
    struct {
        uint32_t n, kind, acc;
    } p = {0, c->kind, accumulate};
    ar__emit_desc d = {.kernel = AR_K_act_grad,
                       .specs = {plan->wg, 1},
                       .params = &p,
                       .operands = {{c->x, 0, 0}, {c->y->grad, 0, 0}, {dx, 0, 0}},
                       .flops = 20.0 * (double)count,
                       .bytes = 12.0 * (double)count};
    ar__split split = {.units = count, .split = 7u, .units_per_item = plan->vw};
    return ar__emit_split(g, &d, &split);
}

ar_status ar_op_act(ar_graph *g, ar_tensor **y, ar_tensor *x, ar_act kind) {
    *y = NULL;
    AR_TRY(ar__expect("act x", x, AR_F32, 2, (int64_t[]){-1, -1}));
    if (kind < AR_ACT_RELU || kind > AR_ACT_SILU)
        return ar__fail(AR_ERR_ARG, "act: found kind %d, expected relu, gelu, gelu by tanh or silu",
                        (int)kind);
    act_ctx c = {.x = x, .kind = (uint32_t)kind};
    AR_TRY(ar__output(g, &c.y, AR_F32, 2, x->dims, x, NULL, NULL));
    int64_t count = ar_tensor_count(x);
    const ar_plan *plan = &ar__graph_device(g)->plan;
    struct {
        uint32_t n, kind;
    } p = {0, c.kind};
    ar__emit_desc d = {.kernel = AR_K_act,
                       .specs = {plan->wg, 1},
                       .params = &p,
                       .operands = {{x, 0, 0}, {c.y, 0, 0}},
                       .flops = 12.0 * (double)count,
                       .bytes = 8.0 * (double)count};
    ar__split split = {.units = count, .split = 3u, .units_per_item = plan->vw};
    AR_TRY(ar__emit_split(g, &d, &split));
    if (c.y->needs_grad) AR_TRY(ar__node(g, backward, &c, sizeof c));
    *y = c.y;
    return AR_OK;
}
