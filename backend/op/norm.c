/* The backward that layer norm and RMS norm share: per row for dx, in two stages of fixed order for dw. */
#include "op.h"

static ar_status backward_x(ar_graph *g, const ar__norm_ctx *c, const ar__norm_kernels *k) {
    ar_tensor *dx = NULL;
    bool accumulate = false;
    AR_TRY(ar__grad(g, &dx, &accumulate, c->x));
    if (!dx) return AR_OK;
    int64_t N = c->N, I = c->I;
    uint32_t group = ar__row_group(ar__graph_device(g));
    struct {
        uint32_t rows, row0, I, acc;
    } p = {0, 0, (uint32_t)I, accumulate};
    ar__emit_desc d = {
        .kernel = k->dx,
        .specs = {group, 1},
        .params = &p,
        .operands = {{c->x, 0, 0}, {c->w, 0, 0}, {c->stat, 0, 0}, {c->y->grad, 0, 0}, {dx, 0, 0}},
        .flops = k->dx_flops * (double)(N * I),
        .bytes = 12.0 * (double)(N * I)};
    ar__split split = {
        .units = N, .split = 1u | 1u << 3 | 1u << 4, .items_per_unit = group, .pass_start = true};
    return ar__emit_split(g, &d, &split);
}

static ar_status backward_w(ar_graph *g, const ar__norm_ctx *c, const ar__norm_kernels *k) {
    ar_tensor *dw = NULL, *part = NULL;
    bool accumulate = false;
    AR_TRY(ar__grad(g, &dw, &accumulate, c->w));
    if (!dw) return AR_OK;
    int64_t N = c->N, I = c->I;
    if (N == 0) return accumulate ? AR_OK : ar__emit_fill(g, dw, 0.0f);
    int64_t chunk_rows = (N + 63) / 64 < 16 ? 16 : (N + 63) / 64, chunks = (N + chunk_rows - 1) / chunk_rows;
    AR_TRY(ar_graph_temp(g, &part, AR_F32, 2, (int64_t[]){chunks, I}));
    struct {
        uint32_t rows, row0, I, chunk_rows;
    } p = {0, 0, (uint32_t)I, (uint32_t)chunk_rows};
    ar__emit_desc d = {.kernel = k->dw,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{c->x, 0, 0}, {c->stat, 0, 0}, {c->y->grad, 0, 0}, {part, 0, 0}},
                       .flops = k->dw_flops * (double)(N * I),
                       .bytes = 8.0 * (double)(N * I)};
    ar__split split = {.units = N,
                       .split = 1u | 1u << 2,
                       .items_per_unit = (uint32_t)I,
                       .units_per_item = (uint32_t)chunk_rows,
                       .pass_start = true};
    AR_TRY(ar__emit_split(g, &d, &split));
    return ar__emit_sum_rows(g, dw, part, accumulate);
}

static ar_status backward_b(ar_graph *g, const ar__norm_ctx *c) {
    ar_tensor *db = NULL;
    bool accumulate = false;
    if (!c->b) return AR_OK;
    AR_TRY(ar__grad(g, &db, &accumulate, c->b));
    return db ? ar__emit_sum_rows(g, db, c->y->grad, accumulate) : AR_OK;
}

ar_status ar__norm_backward(ar_graph *g, const ar__norm_ctx *c, const ar__norm_kernels *k) {
    if (!c->y->grad) return AR_OK;
    AR_TRY(backward_x(g, c, k));
    AR_TRY(backward_w(g, c, k));
    return backward_b(g, c);
}
