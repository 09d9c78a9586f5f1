/* Layer norm (Ba et al. 2016, arXiv 1607.06450): y = u w + b, u = (x - m) r, m = mean x, r = 1/sqrt(var x +
 * eps). With g = w dy:  dx_i = r (g_i - mean g - u_i mean(g u)),   dw_i = sum_n dy_ni u_ni,   db_i = sum_n
 * dy_ni The forward keeps m and r per row. dw is summed in two stages, both in fixed order. */
#include "op.h"

typedef struct norm_ctx {
    ar_tensor *x, *w, *b, *y, *stat;
} norm_ctx;

static ar_status backward_x(ar_graph *g, const norm_ctx *c) {
    ar_tensor *dx = NULL;
    bool accumulate = false;
    AR_TRY(ar__grad(g, &dx, &accumulate, c->x));
    if (!dx) return AR_OK;
    int64_t N = c->x->dims[0], I = c->x->dims[1];
    uint32_t group = ar__row_group(ar__graph_device(g));
    struct {
        uint32_t rows, row0, I, acc;
    } p = {0, 0, (uint32_t)I, accumulate};
    ar__emit_desc d = {
        .kernel = AR_K_layer_norm_dx,
        .specs = {group, 1},
        .params = &p,
        .operands = {{c->x, 0, 0}, {c->w, 0, 0}, {c->stat, 0, 0}, {c->y->grad, 0, 0}, {dx, 0, 0}},
        .flops = 12.0 * (double)(N * I),
        .bytes = 12.0 * (double)(N * I)};
    ar__split split = {
        .units = N, .split = 1u | 1u << 3 | 1u << 4, .items_per_unit = group, .pass_start = true};
    return ar__emit_split(g, &d, &split);
}

static ar_status backward_w(ar_graph *g, const norm_ctx *c) {
    ar_tensor *dw = NULL, *part = NULL;
    bool accumulate = false;
    AR_TRY(ar__grad(g, &dw, &accumulate, c->w));
    if (!dw) return AR_OK;
    int64_t N = c->x->dims[0], I = c->x->dims[1];
    if (N == 0) return accumulate ? AR_OK : ar__emit_fill(g, dw, 0.0f);
    int64_t chunk_rows = (N + 63) / 64 < 16 ? 16 : (N + 63) / 64, chunks = (N + chunk_rows - 1) / chunk_rows;
    AR_TRY(ar_graph_temp(g, &part, AR_F32, 2, (int64_t[]){chunks, I}));
    struct {
        uint32_t rows, row0, I, chunk_rows;
    } p = {0, 0, (uint32_t)I, (uint32_t)chunk_rows};
    ar__emit_desc d = {.kernel = AR_K_layer_norm_dw,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{c->x, 0, 0}, {c->stat, 0, 0}, {c->y->grad, 0, 0}, {part, 0, 0}},
                       .flops = 4.0 * (double)(N * I),
                       .bytes = 8.0 * (double)(N * I)};
    ar__split split = {.units = N,
                       .split = 1u | 1u << 2,
                       .items_per_unit = (uint32_t)I,
                       .units_per_item = (uint32_t)chunk_rows,
                       .pass_start = true};
    AR_TRY(ar__emit_split(g, &d, &split));
    return ar__emit_sum_rows(g, dw, part, accumulate);
}

static ar_status backward_b(ar_graph *g, const norm_ctx *c) {
    ar_tensor *db = NULL;
    bool accumulate = false;
    if (!c->b) return AR_OK;
    AR_TRY(ar__grad(g, &db, &accumulate, c->b));
    return db ? ar__emit_sum_rows(g, db, c->y->grad, accumulate) : AR_OK;
}

static ar_status backward(ar_graph *g, const void *ctx) {
    const norm_ctx *c = ctx;
    if (!c->y->grad) return AR_OK;
    AR_TRY(backward_x(g, c));
    AR_TRY(backward_w(g, c));
    return backward_b(g, c);
}

ar_status ar_op_layer_norm(ar_graph *g, ar_tensor **y, ar_tensor *x, ar_tensor *w, ar_tensor *b, float eps) {
    *y = NULL;
    AR_TRY(ar__expect("layer_norm x", x, AR_F32, 2, (int64_t[]){-1, -1}));
    AR_TRY(ar__expect("layer_norm w", w, AR_F32, 1, (int64_t[]){x->dims[1]}));
    if (b) AR_TRY(ar__expect("layer_norm b", b, AR_F32, 1, (int64_t[]){x->dims[1]}));
    norm_ctx c = {.x = x, .w = w, .b = b};
    int64_t N = x->dims[0], I = x->dims[1];
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
