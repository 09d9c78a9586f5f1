/* Weights scaled channel by channel, y = x exp(+-theta), as Quadapter has its scales (arXiv 2211.16912;
 * docs/quadapter.md), and gradients passed straight on. Kernels: channel_scale, channel_grad; add_to. */
#include "op.h"

typedef struct scaled {
    const ar_tensor *x;
    ar_tensor *theta, *y;
    float sign;
    int64_t rows, I;
} scaled;

static ar_status backward(ar_graph *g, const void *ctx) {
    const scaled *c = ctx;
    ar_tensor *d = NULL;
    bool accumulate = false;
    if (!c->y->grad) return AR_OK;
    AR_TRY(ar__grad(g, &d, &accumulate, c->theta));
    if (!d) return AR_OK;
    if (c->rows == 0) return accumulate ? AR_OK : ar__emit_fill(g, d, 0.0f);
    struct {
        uint32_t rows, start, I, acc;
        float sign;
    } p = {0, 0, (uint32_t)c->I, accumulate, c->sign};
    ar__emit_desc e = {.kernel = AR_K_channel_grad,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{c->y->grad, 0, 0}, {c->y, 0, 0}, {d, 0, 0}},
                       .flops = 2.0 * (double)(c->rows * c->I),
                       .bytes = 8.0 * (double)(c->rows * c->I)};
    ar__split split = {.units = c->rows, .split = 3u, .fixed_items = (uint32_t)c->I, .pass_start = true};
    return ar__emit_split(g, &e, &split);
}

ar_status ar_op_channel_scale(ar_graph *g, ar_tensor **y, const ar_tensor *x, ar_tensor *theta,
                              bool inverse) {
    int32_t dims = x->dim_count;
    scaled c = {.x = x, .theta = theta, .sign = inverse ? -1.0f : 1.0f, .I = x->dims[dims - 1]};
    AR_TRY(ar__op_check("channel_scale", "x", x, AR_F32, -1, dims == 1 ? 0 : -1));
    AR_TRY(ar__op_check("channel_scale", "theta", theta, AR_F32, c.I, 0));
    c.rows = dims == 1 ? 1 : x->dims[0];
    AR_TRY(ar__output(g, &c.y, AR_F32, dims, x->dims, theta, NULL, NULL));
    struct {
        uint32_t rows, I;
        float sign;
    } p = {0, (uint32_t)c.I, c.sign};
    ar__emit_desc d = {.kernel = AR_K_channel_scale,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{x, 0, 0}, {theta, 0, 0}, {c.y, 0, 0}},
                       .flops = 10.0 * (double)(c.rows * c.I),
                       .bytes = 8.0 * (double)(c.rows * c.I)};
    ar__split split = {.units = c.rows, .split = 1u | 1u << 2, .items_per_unit = (uint32_t)c.I};
    AR_TRY(ar__emit_split(g, &d, &split));
    if (c.y->needs_grad) AR_TRY(ar__node(g, backward, &c, sizeof c));
    *y = c.y;
    return AR_OK;
}

/* ---- straight through ---- */

typedef struct straight {
    ar_tensor *y, *x;
} straight;

static ar_status pass_on(ar_graph *g, const void *ctx) {
    const straight *c = ctx;
    ar_tensor *dx = NULL;
    bool accumulate = false;
    if (!c->y->grad) return AR_OK;
    AR_TRY(ar__grad(g, &dx, &accumulate, c->x));
    if (!dx) return AR_OK;
    const ar_plan *plan = &ar__graph_device(g)->plan;
    int64_t count = ar_tensor_count(dx);
    struct {
        uint32_t n, acc;
    } p = {0, accumulate};
    ar__emit_desc d = {.kernel = AR_K_add_to,
                       .specs = {plan->wg, 1},
                       .params = &p,
                       .operands = {{c->y->grad, 0, 0}, {dx, 0, 0}},
                       .bytes = 8.0 * (double)count};
    return ar__emit_split(g, &d, &(ar__split){.units = count, .split = 3u, .units_per_item = plan->vw});
}

ar_status ar_op_straight(ar_graph *g, ar_tensor *y, ar_tensor *x) {
    AR_TRY(ar__expect("straight y", y, AR_F32, x->dim_count, x->dims));
    if (!x->needs_grad) return AR_OK;
    y->needs_grad = true;
    return ar__node(g, pass_on, &(straight){y, x}, sizeof(straight));
}
