/* Convolutions of images (B H W, C): by patches and a product, or without patches in memory where the plan
 * says that this is faster and the kernels take the shape (and what the images add to dW is less than their
 * patches). Sums of the forward are the same in the same order; dx sums over (o, kh, kw) at once, dW image by
 * image. */
#include "op.h"

#define DIRECT_K  5 /* the most that items hold K x K sums of in registers */
#define DW_PLACES 4 /* of a row that an item adds up at a time */

typedef struct conv {
    ar_tensor *y, *x, *W, *bias;
    int64_t images;
    uint32_t H, Wd, C, O, K, pad, OH, OW;
} conv;

/* Places of a row that an item makes: as many as registers hold, of which at most a ninth is behind the row's
 * end. */
static uint32_t places(const ar_plan *plan, uint32_t width) {
    uint32_t most = plan->gemm_tm * plan->gemm_tn, best = 1;
    for (uint32_t t = 2; t <= most && t <= 16; t++)
        if ((width + t - 1) / t * t * 8 <= width * 9) best = t;
    return best;
}

/* y (B OH OW, O) = x (B H W, C) by packed weights; of the forward, or of dx. */
static ar_status emit_conv(ar_graph *g, const ar_tensor *y, const ar_tensor *x, const ar_tensor *packed,
                           const conv *c, bool accumulate) {
    const ar_plan *plan = &ar__graph_device(g)->plan;
    uint32_t tm = places(plan, c->OW), panels = (c->O + plan->vw - 1) / plan->vw;
    uint32_t p[] = {0, c->H, c->Wd, c->C, c->O, c->pad, c->OH, c->OW, accumulate};
    double count = (double)c->images * c->OH * c->OW * c->O;
    ar__emit_desc d = {.kernel = AR_K_conv2d,
                       .specs = {plan->gemm_wgx * plan->gemm_wgy, 1, tm, c->K},
                       .params = p,
                       .operands = {{x, 0, 0}, {packed, 0, 0}, {y, 0, 0}},
                       .flops = 2 * count * c->C * c->K * c->K,
                       .bytes = 4 * (count + (double)ar_tensor_count(x) + (double)ar_tensor_count(packed))};
    ar__split split = {
        .units = c->images, .split = 5, .items_per_unit = panels * ((c->OW + tm - 1) / tm) * c->OH};
    return ar__emit_split(g, &d, &split);
}

static ar_status emit_dx(ar_graph *g, const ar_tensor *dx, const ar_tensor *dy, const conv *c,
                         bool accumulate) {
    const ar_plan *plan = &ar__graph_device(g)->plan;
    int64_t panels = (c->C + plan->vw - 1) / plan->vw, rows = (int64_t)c->O * c->K * c->K;
    ar_tensor *turned = NULL;
    AR_TRY(ar_graph_temp(g, &turned, AR_F32, 2, (int64_t[]){panels * rows, plan->vw}));
    uint32_t items = (uint32_t)(panels * rows * plan->vw), p[] = {items, c->O, c->C, c->K * c->K};
    ar__emit_desc d = {.kernel = AR_K_conv2d_turn,
                       .specs = {plan->wg, 1},
                       .params = p,
                       .operands = {{c->W, 0, 0}, {turned, 0, 0}},
                       .bytes = 8.0 * items};
    ar__groups_1d(ar__graph_device(g), d.groups, items, plan->wg);
    AR_TRY(ar__emit(g, &d));
    conv back = {.images = c->images,
                 .H = c->OH,
                 .Wd = c->OW,
                 .C = c->O,
                 .O = c->C,
                 .K = c->K,
                 .pad = c->K - 1 - c->pad,
                 .OH = c->H,
                 .OW = c->Wd};
    return emit_conv(g, dx, dy, turned, &back, accumulate);
}

static ar_status emit_dw(ar_graph *g, ar_tensor *dW, const ar_tensor *dy, const conv *c, bool accumulate) {
    const ar_plan *plan = &ar__graph_device(g)->plan;
    ar_tensor *parts = NULL;
    AR_TRY(ar_graph_temp(g, &parts, AR_F32, 2, (int64_t[]){c->images, ar_tensor_count(c->W)}));
    uint32_t p[] = {0, c->H, c->Wd, c->C, c->O, c->pad, c->OH, c->OW};
    ar__emit_desc d = {.kernel = AR_K_conv2d_dw,
                       .specs = {plan->gemm_wgx * plan->gemm_wgy, 1, DW_PLACES, c->K},
                       .params = p,
                       .operands = {{c->x, 0, 0}, {dy, 0, 0}, {parts, 0, 0}},
                       .flops = 2 * (double)ar_tensor_count(dy) * c->C * c->K * c->K,
                       .bytes = 4 * ((double)ar_tensor_count(c->x) + (double)ar_tensor_count(dy) +
                                     (double)ar_tensor_count(parts))};
    ar__split split = {.units = c->images, .split = 7, .items_per_unit = c->O / plan->vw * c->C};
    AR_TRY(ar__emit_split(g, &d, &split));
    return ar__emit_sum_rows(g, dW, parts, accumulate);
}

static ar_status conv_backward(ar_graph *g, const void *ctx) {
    const conv *c = ctx;
    const ar_tensor *dy = ar_tensor_grad(c->y);
    ar_tensor *grad = NULL;
    bool accumulate = false;
    if (!dy) return AR_OK;
    AR_TRY(ar__grad(g, &grad, &accumulate, c->x));
    if (grad) AR_TRY(emit_dx(g, grad, dy, c, accumulate));
    AR_TRY(ar__grad(g, &grad, &accumulate, c->W));
    if (grad) AR_TRY(emit_dw(g, grad, dy, c, accumulate));
    AR_TRY(ar__grad(g, &grad, &accumulate, c->bias));
    return grad ? ar__emit_sum_rows(g, grad, dy, accumulate) : AR_OK;
}

static ar_status direct(ar_graph *g, ar_tensor **y, conv *c) {
    const ar_plan *plan = &ar__graph_device(g)->plan;
    int64_t dims[] = {c->images * c->OH * c->OW, c->O};
    ar_tensor *packed = NULL;
    AR_TRY(ar__output(g, &c->y, AR_F32, 2, dims, c->x, c->W, c->bias));
    AR_TRY(ar__pack_rows(g, &packed, c->W, plan->vw));
    AR_TRY(emit_conv(g, c->y, c->x, packed, c, false));
    if (c->bias) AR_TRY(ar__emit_add_row(g, c->y, c->bias));
    *y = c->y;
    return c->y->needs_grad ? ar__node(g, conv_backward, c, sizeof *c) : AR_OK;
}

ar_status ar_op_conv2d(ar_graph *g, ar_tensor **y, ar_tensor *x, ar_tensor *W, ar_tensor *bias,
                       const ar_window2d *w) {
    const ar_plan *plan = &ar__graph_device(g)->plan;
    ar_tensor *patches = NULL;
    *y = NULL;
    conv c = {.x = x, .W = W, .bias = bias};
    AR_TRY(ar__window2d_check("conv2d", &c.images, x, w));
    c.H = (uint32_t)w->H, c.Wd = (uint32_t)w->W, c.C = (uint32_t)x->dims[1], c.K = (uint32_t)w->K;
    c.pad = (uint32_t)w->pad;
    c.OH = (uint32_t)ar_window2d_out(w, w->H), c.OW = (uint32_t)ar_window2d_out(w, w->W);
    AR_TRY(ar__expect("conv2d W", W, AR_F32, 2, (int64_t[]){-1, (int64_t)c.C * w->K * w->K}));
    c.O = (uint32_t)W->dims[0];
    if (bias) AR_TRY(ar__expect("conv2d bias", bias, AR_F32, 1, &W->dims[0]));
    bool takes = w->stride <= 1 && w->K <= DIRECT_K && c.O % plan->vw == 0 && c.O <= c.OH * c.OW &&
                 ar_tensor_count(W) <= (int64_t)plan->piece_bytes / 8; /* bound whole, and turned */
    if (plan->direct_conv && takes && c.images * c.C * c.O > 0) return direct(g, y, &c);
    AR_TRY(ar_op_im2col(g, &patches, x, w));
    return ar_op_linear(g, y, patches, W, bias);
}
