/* Images (B H W, C): patches for convolutions as products, pools, and the same numbers under another shape.
 * Their gradients are gathered by the places of x, each in a fixed order. */
#include "op.h"
#include <stdio.h>

typedef struct image_ctx {
    ar_tensor *y, *x, *at; /* at: pool's choices */
    ar_window2d w;
    int64_t images;
    uint32_t C, OH, OW;
    bool mean;
} image_ctx;

int32_t ar_window2d_out(const ar_window2d *w, int32_t size) {
    int32_t stride = w->stride > 0 ? w->stride : 1;
    return (size + 2 * w->pad - w->K) / stride + 1;
}

ar_status ar__window2d_check(const char *op, int64_t *images, const ar_tensor *x, const ar_window2d *w) {
    char name[32];
    snprintf(name, sizeof name, "%s x", op);
    AR_TRY(ar__expect(name, x, AR_F32, 2, (int64_t[]){-1, -1}));
    if (w->H < 1 || w->W < 1 || w->K < 1 || w->stride < 0 || w->pad < 0 || w->pad >= w->K ||
        w->K > w->H + 2 * w->pad || w->K > w->W + 2 * w->pad)
        return ar__fail(AR_ERR_ARG,
                        "%s: found windows of %d x %d, stride %d, padding %d in %d x %d, expected them to lie"
                        " inside",
                        op, (int)w->K, (int)w->K, (int)w->stride, (int)w->pad, (int)w->H, (int)w->W);
    if (x->dims[0] % ((int64_t)w->H * w->W))
        return ar__fail(AR_ERR_SHAPE, "%s: x has %lld rows, expected images of %d x %d", op,
                        (long long)x->dims[0], (int)w->H, (int)w->W);
    *images = x->dims[0] / ((int64_t)w->H * w->W);
    return AR_OK;
}

static ar_status check_window(const char *op, image_ctx *c, ar_tensor *x, const ar_window2d *w) {
    *c = (image_ctx){.x = x, .w = *w};
    AR_TRY(ar__window2d_check(op, &c->images, x, w));
    c->C = (uint32_t)x->dims[1];
    if (c->w.stride == 0) c->w.stride = 1;
    c->OH = (uint32_t)ar_window2d_out(&c->w, w->H);
    c->OW = (uint32_t)ar_window2d_out(&c->w, w->W);
    return AR_OK;
}

/* ---- patches ---- */

static ar_status patches_backward(ar_graph *g, const void *ctx) {
    const image_ctx *c = ctx;
    ar_tensor *dx = NULL;
    bool accumulate = false;
    if (!c->y->grad) return AR_OK;
    AR_TRY(ar__grad(g, &dx, &accumulate, c->x));
    if (!dx) return AR_OK;
    int64_t count = ar_tensor_count(c->y);
    const ar_window2d *w = &c->w;
    uint32_t p[] = {
        0,     (uint32_t)w->H, (uint32_t)w->W, c->C, (uint32_t)w->K, (uint32_t)w->stride, (uint32_t)w->pad,
        c->OH, c->OW,          accumulate};
    ar__emit_desc d = {.kernel = AR_K_im2col_grad,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = p,
                       .operands = {{c->y->grad, 0, 0}, {dx, 0, 0}},
                       .flops = (double)count,
                       .bytes = 4.0 * (double)count};
    ar__split split = {.units = c->images, .split = 3u, .items_per_unit = (uint32_t)(w->H * w->W) * c->C};
    return ar__emit_split(g, &d, &split);
}

ar_status ar_op_im2col(ar_graph *g, ar_tensor **y, ar_tensor *x, const ar_window2d *w) {
    image_ctx c;
    *y = NULL;
    AR_TRY(check_window("im2col", &c, x, w));
    int64_t rows = c.images * c.OH * c.OW, width = (int64_t)c.C * w->K * w->K;
    AR_TRY(ar__output(g, &c.y, AR_F32, 2, (int64_t[]){rows, width}, x, NULL, NULL));
    uint32_t p[] = {0,
                    (uint32_t)w->H,
                    (uint32_t)w->W,
                    c.C,
                    (uint32_t)w->K,
                    (uint32_t)c.w.stride,
                    (uint32_t)w->pad,
                    c.OH,
                    c.OW};
    ar__emit_desc d = {.kernel = AR_K_im2col,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = p,
                       .operands = {{x, 0, 0}, {c.y, 0, 0}},
                       .bytes = 8.0 * (double)(rows * width)};
    ar__split split = {.units = c.images, .split = 3u, .items_per_unit = (uint32_t)(c.OH * c.OW * width)};
    AR_TRY(ar__emit_split(g, &d, &split));
    *y = c.y;
    return c.y->needs_grad ? ar__node(g, patches_backward, &c, sizeof c) : AR_OK;
}

/* ---- pools ---- */

static ar_status pool_backward(ar_graph *g, const void *ctx) {
    const image_ctx *c = ctx;
    ar_tensor *dx = NULL;
    bool accumulate = false;
    if (!c->y->grad) return AR_OK;
    AR_TRY(ar__grad(g, &dx, &accumulate, c->x));
    if (!dx) return AR_OK;
    const ar_window2d *w = &c->w;
    uint32_t p[] = {0,     (uint32_t)w->H, (uint32_t)w->W, c->C,      (uint32_t)w->K, (uint32_t)w->stride,
                    c->OH, c->OW,          c->mean,        accumulate};
    ar__emit_desc d = {.kernel = AR_K_pool_grad,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = p,
                       .operands = {{c->at, 0, 0}, {c->y->grad, 0, 0}, {dx, 0, 0}},
                       .flops = (double)w->K * w->K * (double)ar_tensor_count(dx),
                       .bytes = 8.0 * (double)ar_tensor_count(dx)};
    ar__split split = {.units = c->images, .split = 7u, .items_per_unit = (uint32_t)(w->H * w->W) * c->C};
    return ar__emit_split(g, &d, &split);
}

ar_status ar_op_pool(ar_graph *g, ar_tensor **y, ar_tensor *x, const ar_window2d *w, bool mean) {
    image_ctx c;
    *y = NULL;
    if (w->pad != 0) return ar__fail(AR_ERR_ARG, "pool: found padding %d, expected none", (int)w->pad);
    AR_TRY(check_window("pool", &c, x, w));
    c.mean = mean;
    int64_t dims[] = {c.images * c.OH * c.OW, c.C};
    AR_TRY(ar__output(g, &c.y, AR_F32, 2, dims, x, NULL, NULL));
    AR_TRY(ar_graph_temp(g, &c.at, AR_I32, 2, dims));
    uint32_t p[] = {
        0, (uint32_t)w->H, (uint32_t)w->W, c.C, (uint32_t)w->K, (uint32_t)c.w.stride, c.OH, c.OW, mean};
    ar__emit_desc d = {.kernel = AR_K_pool,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = p,
                       .operands = {{x, 0, 0}, {c.y, 0, 0}, {c.at, 0, 0}},
                       .flops = (double)w->K * w->K * (double)ar_tensor_count(c.y),
                       .bytes = 4.0 * (double)ar_tensor_count(x)};
    ar__split split = {.units = c.images, .split = 7u, .items_per_unit = c.OH * c.OW * c.C};
    AR_TRY(ar__emit_split(g, &d, &split));
    *y = c.y;
    return c.y->needs_grad ? ar__node(g, pool_backward, &c, sizeof c) : AR_OK;
}

/* ---- shapes ---- */

static ar_status reshape_backward(ar_graph *g, const void *ctx) {
    const image_ctx *c = ctx;
    ar_tensor *dx = NULL;
    bool accumulate = false;
    if (!c->y->grad) return AR_OK;
    AR_TRY(ar__grad(g, &dx, &accumulate, c->x));
    if (!dx) return AR_OK;
    const ar_plan *plan = &ar__graph_device(g)->plan;
    int64_t count = ar_tensor_count(dx);
    uint32_t p[] = {0, accumulate};
    ar__emit_desc d = {.kernel = AR_K_add_to,
                       .specs = {plan->wg, 1},
                       .params = p,
                       .operands = {{c->y->grad, 0, 0}, {dx, 0, 0}},
                       .bytes = 8.0 * (double)count};
    return ar__emit_split(g, &d, &(ar__split){.units = count, .split = 3, .units_per_item = plan->vw});
}

ar_status ar_op_reshape(ar_graph *g, ar_tensor **y, ar_tensor *x, int64_t rows, int64_t cols) {
    image_ctx c = {.x = x};
    *y = NULL;
    AR_TRY(ar__expect("reshape x", x, AR_F32, x->dim_count, x->dims));
    if (rows < 0 || cols < 1 || ar_tensor_count(x) != rows * cols)
        return ar__fail(AR_ERR_SHAPE, "reshape: x has %lld elements, expected %lld x %lld",
                        (long long)ar_tensor_count(x), (long long)rows, (long long)cols);
    AR_TRY(ar__output(g, &c.y, AR_F32, 2, (int64_t[]){rows, cols}, x, NULL, NULL));
    AR_TRY(ar_op_copy(g, c.y, x));
    *y = c.y;
    return c.y->needs_grad ? ar__node(g, reshape_backward, &c, sizeof c) : AR_OK;
}
