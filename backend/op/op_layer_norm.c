/* Layer norm (Ba et al. 2016, arXiv 1607.06450): y = u w + b, u = (x - m) r, m = mean x, r = 1/sqrt(var x +
 * eps).
 * With g = w dy:  dx_i = r (g_i - mean g - u_i mean(g u)),   dw_i = sum_n dy_ni u_ni,   db_i = sum_n dy_ni
 * The forward keeps m and r per row. dw is summed in two stages, both in fixed order. */
#include "op.h"

static ar_status backward(ar_graph *g, const void *ctx) {
    return ar__norm_backward(g, ctx, &(ar__norm_kernels){AR_K_layer_norm_dx, AR_K_layer_norm_dw, 12.0, 4.0});
}

ar_status ar_op_layer_norm(ar_graph *g, ar_tensor **y, ar_tensor *x, ar_tensor *w, ar_tensor *b, float eps) {
    *y = NULL;
    AR_TRY(ar__expect("layer_norm x", x, AR_F32, 2, (int64_t[]){-1, -1}));
    AR_TRY(ar__expect("layer_norm w", w, AR_F32, 1, (int64_t[]){x->dims[1]}));
    if (b) AR_TRY(ar__expect("layer_norm b", b, AR_F32, 1, (int64_t[]){x->dims[1]}));
    int64_t N = x->dims[0], I = x->dims[1];
    ar__norm_ctx c = {.x = x, .w = w, .b = b, .N = N, .I = I};
    AR_TRY(ar__output(g, &c.y, AR_F32, 2, x->dims, x, w, b));
    AR_TRY(ar_graph_temp(g, &c.stat, AR_F32, 2, (int64_t[]){N, 2}));
    uint32_t group = ar__row_group(ar__graph_device(g));
    struct {
        uint32_t rows, row0, I;
        float eps;
        uint32_t has_b;
    } p = {0, 0, (uint32_t)I, eps, b != NULL};
    ar__emit_desc d = {.kernel = AR_K_layer_norm,
                       .specs = {group, 1},
                       .params = &p,
                       .operands = {{x, 0, 0}, {w, 0, 0}, {b ? b : w, 0, 0}, {c.y, 0, 0}, {c.stat, 0, 0}},
                       .flops = 8.0 * (double)(N * I),
                       .bytes = 8.0 * (double)(N * I)};
    ar__split split = {.units = N, .split = 1u | 1u << 3, .items_per_unit = group, .pass_start = true};
    AR_TRY(ar__emit_split(g, &d, &split));
    if (c.y->needs_grad) AR_TRY(ar__node(g, backward, &c, sizeof c));
    *y = c.y;
    return AR_OK;
}
