/* Some columns of a matrix: y = x[:, first .. first + O). The gradients of several slices of one x meet in
 * dx. */
#include "op.h"

typedef struct slice_ctx {
    ar_tensor *x, *y;
    uint32_t first;
} slice_ctx;

static ar_status backward(ar_graph *g, const void *ctx) {
    const slice_ctx *c = ctx;
    if (!c->y->grad) return AR_OK;
    ar_tensor *dx = NULL;
    bool accumulate = false;
    AR_TRY(ar__grad(g, &dx, &accumulate, c->x));
    if (!dx) return AR_OK;
    int64_t rows = dx->dims[0], I = dx->dims[1], O = c->y->dims[1];
    struct {
        uint32_t rows, I, first, O, acc;
    } p = {0, (uint32_t)I, c->first, (uint32_t)O, accumulate};
    ar__emit_desc d = {.kernel = AR_K_slice_grad,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{c->y->grad, 0, 0}, {dx, 0, 0}},
                       .bytes = 4.0 * (double)(rows * (2 * I + O))};
    return ar__emit_split(g, &d, &(ar__split){.units = rows, .split = 3u, .items_per_unit = (uint32_t)I});
}

ar_status ar_op_slice(ar_graph *g, ar_tensor **y, ar_tensor *x, int64_t first, int64_t count) {
    *y = NULL;
    AR_TRY(ar__expect("slice x", x, AR_F32, 2, (int64_t[]){-1, -1}));
    int64_t rows = x->dims[0], I = x->dims[1];
    if (first < 0 || count < 1 || first > I - count)
        return ar__fail(AR_ERR_SHAPE, "slice: %lld columns from %lld on, expected them within %lld",
                        (long long)count, (long long)first, (long long)I);
    slice_ctx c = {.x = x, .first = (uint32_t)first};
    AR_TRY(ar__output(g, &c.y, AR_F32, 2, (int64_t[]){rows, count}, x, NULL, NULL));
    struct {
        uint32_t rows, I, first, O;
    } p = {0, (uint32_t)I, c.first, (uint32_t)count};
    ar__emit_desc d = {.kernel = AR_K_slice,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{x, 0, 0}, {c.y, 0, 0}},
                       .bytes = 8.0 * (double)(rows * count)};
    AR_TRY(
        ar__emit_split(g, &d, &(ar__split){.units = rows, .split = 3u, .items_per_unit = (uint32_t)count}));
    if (c.y->needs_grad) AR_TRY(ar__node(g, backward, &c, sizeof c));
    *y = c.y;
    return AR_OK;
}
