/* Soft cap of logits (Gemma 2, arXiv 2408.00118): y = cap tanh(x / cap), dx = dy (1 - (y / cap)^2). Attention
 * caps its scores itself (op_attention.c, op_cached.c). */
#include "op.h"

typedef struct cap_ctx {
    ar_tensor *x, *y;
    float cap;
} cap_ctx;

static ar_status backward(ar_graph *g, const void *ctx) {
    const cap_ctx *c = ctx;
    if (!c->y->grad) return AR_OK;
    ar_tensor *dx = NULL;
    bool accumulate = false;
    AR_TRY(ar__grad(g, &dx, &accumulate, c->x));
    if (!dx) return AR_OK;
    int64_t count = ar_tensor_count(c->y);
    struct {
        uint32_t n, acc;
        float cap;
    } p = {0, accumulate, c->cap};
    ar__emit_desc d = {.kernel = AR_K_soft_cap_grad,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{c->y, 0, 0}, {c->y->grad, 0, 0}, {dx, 0, 0}},
                       .flops = 4.0 * (double)count,
                       .bytes = 12.0 * (double)count};
    return ar__emit_split(g, &d, &(ar__split){.units = count, .split = 7u, .units_per_item = 1});
}

ar_status ar_op_soft_cap(ar_graph *g, ar_tensor **y, ar_tensor *x, float cap) {
    *y = NULL;
    AR_TRY(ar__expect("soft_cap x", x, AR_F32, 2, (int64_t[]){-1, -1}));
    AR_TRY(ar__expect_cap("soft_cap", cap));
    if (cap == 0.0f) {
        *y = x;
        return AR_OK;
    }
    cap_ctx c = {.x = x, .cap = cap};
    AR_TRY(ar__output(g, &c.y, AR_F32, 2, x->dims, x, NULL, NULL));
    int64_t count = ar_tensor_count(x);
    struct {
        uint32_t n;
        float cap;
    } p = {0, cap};
    ar__emit_desc d = {.kernel = AR_K_soft_cap,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{x, 0, 0}, {c.y, 0, 0}},
                       .flops = 20.0 * (double)count,
                       .bytes = 8.0 * (double)count};
    AR_TRY(ar__emit_split(g, &d, &(ar__split){.units = count, .split = 3u, .units_per_item = 1}));
    if (c.y->needs_grad) AR_TRY(ar__node(g, backward, &c, sizeof c));
    *y = c.y;
    return AR_OK;
}
