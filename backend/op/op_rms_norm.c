/* Root-mean-square norm (Zhang & Sennrich 2019, arXiv 1910.07467): y = x r w, r = 1/sqrt(mean x^2 + eps).
 *   dx_i = r w_i dy_i - x_i r^3 / I sum_j(dy_j w_j x_j),   dw_i = sum_n dy_ni x_ni r_n
 * The forward keeps r per row. dw is summed in two stages, both in fixed order. */
#include "op.h"

typedef struct rms_ctx {
    ar_tensor *x, *w, *y, *r;
} rms_ctx;

/* A row of x holds one or several vectors of I, each normed by itself. */
static int64_t row_count(const ar_tensor *x, int64_t I) { return x->dims[0] * (x->dims[1] / I); }

static ar_status backward_x(ar_graph *g, const rms_ctx *c) {
    ar_tensor *dx = NULL;
    bool accumulate = false;
    AR_TRY(ar__grad(g, &dx, &accumulate, c->x));
    if (!dx) return AR_OK;
    int64_t I = c->w->dims[0], N = row_count(c->x, I);
    uint32_t group = ar__row_group(ar__graph_device(g));
    struct {
        uint32_t rows, row0, I, acc;
    } p = {0, 0, (uint32_t)I, accumulate};
    ar__emit_desc d = {.kernel = AR_K_rms_norm_dx,
                       .specs = {group, 1},
                       .params = &p,
                       .operands = {{c->x, 0, 0}, {c->w, 0, 0}, {c->r, 0, 0}, {c->y->grad, 0, 0}, {dx, 0, 0}},
                       .flops = 8.0 * (double)(N * I),
                       .bytes = 12.0 * (double)(N * I)};
    ar__split split = {
        .units = N, .split = 1u | 1u << 3 | 1u << 4, .items_per_unit = group, .pass_start = true};
    return ar__emit_split(g, &d, &split);
}

static ar_status backward_w(ar_graph *g, const rms_ctx *c) {
    ar_tensor *dw = NULL, *part = NULL;
    bool accumulate = false;
    AR_TRY(ar__grad(g, &dw, &accumulate, c->w));
    if (!dw) return AR_OK;
    int64_t I = c->w->dims[0], N = row_count(c->x, I);
    if (N == 0) return accumulate ? AR_OK : ar__emit_fill(g, dw, 0.0f);
    int64_t chunk_rows = (N + 63) / 64 < 16 ? 16 : (N + 63) / 64, chunks = (N + chunk_rows - 1) / chunk_rows;
    AR_TRY(ar_graph_temp(g, &part, AR_F32, 2, (int64_t[]){chunks, I}));
    struct {
        uint32_t rows, row0, I, chunk_rows;
    } p = {0, 0, (uint32_t)I, (uint32_t)chunk_rows};
    ar__emit_desc d = {.kernel = AR_K_rms_norm_dw,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{c->x, 0, 0}, {c->r, 0, 0}, {c->y->grad, 0, 0}, {part, 0, 0}},
                       .flops = 3.0 * (double)(N * I),
                       .bytes = 8.0 * (double)(N * I)};
    ar__split split = {.units = N,
                       .split = 1u | 1u << 2,
                       .items_per_unit = (uint32_t)I,
                       .units_per_item = (uint32_t)chunk_rows,
                       .pass_start = true};
    AR_TRY(ar__emit_split(g, &d, &split));
    return ar__emit_sum_rows(g, dw, part, accumulate);
}

static ar_status backward(ar_graph *g, const void *ctx) {
    const rms_ctx *c = ctx;
    if (!c->y->grad) return AR_OK;
    AR_TRY(backward_x(g, c));
    return backward_w(g, c);
}

ar_status ar_op_rms_norm(ar_graph *g, ar_tensor **y, ar_tensor *x, ar_tensor *w, float eps) {
    *y = NULL;
    AR_TRY(ar__expect("rms_norm x", x, AR_F32, 2, (int64_t[]){-1, -1}));
    AR_TRY(ar__expect("rms_norm w", w, AR_F32, 1, (int64_t[]){-1}));
    if (w->dims[0] < 1 || x->dims[1] % w->dims[0])
        return ar__fail(AR_ERR_SHAPE, "rms_norm: x has %lld columns, w %lld, expected a divisor",
                        (long long)x->dims[1], (long long)w->dims[0]);
    rms_ctx c = {.x = x, .w = w};
    int64_t I = w->dims[0], N = row_count(x, I);
    AR_TRY(ar__output(g, &c.y, AR_F32, 2, x->dims, x, w, NULL));
    AR_TRY(ar_graph_temp(g, &c.r, AR_F32, 1, &N));
    uint32_t group = ar__row_group(ar__graph_device(g));
    struct {
        uint32_t rows, row0, I;
        float eps;
    } p = {0, 0, (uint32_t)I, eps};
    ar__emit_desc d = {.kernel = AR_K_rms_norm,
                       .specs = {group, 1},
                       .params = &p,
                       .operands = {{x, 0, 0}, {w, 0, 0}, {c.y, 0, 0}, {c.r, 0, 0}},
                       .flops = 4.0 * (double)(N * I),
                       .bytes = 8.0 * (double)(N * I)};
    ar__split split = {.units = N, .split = 1u | 1u << 2, .items_per_unit = group, .pass_start = true};
    AR_TRY(ar__emit_split(g, &d, &split));
    if (c.y->needs_grad) AR_TRY(ar__node(g, backward, &c, sizeof c));
    *y = c.y;
    return AR_OK;
}
