/* Root-mean-square norm (Zhang & Sennrich 2019, arXiv 1910.07467): y = x r w, r = 1/sqrt(mean x^2 + eps).
 *   dx_i = r w_i dy_i - x_i r^3 / I sum_j(dy_j w_j x_j),   dw_i = sum_n dy_ni x_ni r_n
 * The forward keeps r per row. dw is summed in two stages, both in fixed order. */
#include "op.h"

static ar_status backward(ar_graph *g, const void *ctx) {
    return ar__norm_backward(g, ctx, &(ar__norm_kernels){AR_K_rms_norm_dx, AR_K_rms_norm_dw, 8.0, 3.0});
}

ar_status ar_op_rms_norm(ar_graph *g, ar_tensor **y, ar_tensor *x, ar_tensor *w, float eps) {
    *y = NULL;
    AR_TRY(ar__expect("rms_norm x", x, AR_F32, 2, (int64_t[]){-1, -1}));
    AR_TRY(ar__expect("rms_norm w", w, AR_F32, 1, (int64_t[]){-1}));
    if (w->dims[0] < 1 || x->dims[1] % w->dims[0])
        return ar__fail(AR_ERR_SHAPE, "rms_norm: x has %lld columns, w %lld, expected a divisor",
                        (long long)x->dims[1], (long long)w->dims[0]);
    /* a row of x holds one or several vectors of I, each normed by itself */
    int64_t I = w->dims[0], N = x->dims[0] * (x->dims[1] / I);
    ar__norm_ctx c = {.x = x, .w = w, .N = N, .I = I};
    AR_TRY(ar__output(g, &c.y, AR_F32, 2, x->dims, x, w, NULL));
    AR_TRY(ar_graph_temp(g, &c.stat, AR_F32, 1, &N));
    uint32_t group = ar__row_group(ar__graph_device(g));
    struct {
        uint32_t rows, row0, I;
        float eps;
    } p = {0, 0, (uint32_t)I, eps};
    ar__emit_desc d = {.kernel = AR_K_rms_norm,
                       .specs = {group, 1},
                       .params = &p,
                       .operands = {{x, 0, 0}, {w, 0, 0}, {c.y, 0, 0}, {c.stat, 0, 0}},
                       .flops = 4.0 * (double)(N * I),
                       .bytes = 8.0 * (double)(N * I)};
    ar__split split = {.units = N, .split = 1u | 1u << 2, .items_per_unit = group, .pass_start = true};
    AR_TRY(ar__emit_split(g, &d, &split));
    if (c.y->needs_grad) AR_TRY(ar__node(g, backward, &c, sizeof c));
    *y = c.y;
    return AR_OK;
}
