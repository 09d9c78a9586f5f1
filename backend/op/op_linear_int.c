/* y = x' W'^T by codes: int8 activations times weights of at most 8 bits, added up in 32-bit integers.
 * Kernel: int_linear. No gradients. */
#include "int_weight.h"
#include "op.h"

/* A launch's rows and the bytes that each of them takes. */
typedef struct rows {
    int64_t first, count, all;
} rows;

static ar__operand slice(const ar_tensor *t, const rows *r, int64_t row_bytes) {
    bool last = r->first + r->count == r->all;
    return (ar__operand){t, (uint64_t)(r->first * row_bytes), last ? 0 : (uint64_t)(r->count * row_bytes)};
}

static ar_status emit_rows(ar_graph *g, const ar_tensor *y, const ar_tensor *codes, const ar_tensor *grid,
                           const ar_int_weight *w, const rows *r) {
    bool each = grid->dims[0] > 1;
    struct {
        uint32_t panels, panel0, rows, O, words, group_words, groups, each;
    } p = {0,
           0,
           (uint32_t)r->count,
           (uint32_t)w->O,
           (uint32_t)w->words,
           (uint32_t)w->group_words,
           (uint32_t)w->groups,
           each};
    ar__emit_desc d = {.kernel = AR_K_int_linear, .specs = {ar__graph_device(g)->plan.wg, 1}, .params = &p};
    d.operands[0] = slice(codes, r, w->words * 4);
    d.operands[1] = each ? slice(grid, r, 8) : (ar__operand){grid, 0, 0};
    d.operands[2] = (ar__operand){w->codes, 0, 0};
    d.operands[3] = (ar__operand){w->grid, 0, 0};
    d.operands[4] = slice(y, r, w->O * 4);
    d.flops = 8.0 * (double)r->count * (double)w->O * (double)w->I;
    d.bytes = (double)(w->O * w->I) * (double)((r->count + 3) / 4);
    ar__split split = {.units = w->panels,
                       .split = 1u << 2 | 1u << 3,
                       .items_per_unit = (uint32_t)((r->count + 3) / 4 * AR__INT_PANEL),
                       .pass_start = true};
    return ar__emit_split(g, &d, &split);
}

static ar_status add_bias(ar_graph *g, ar_tensor *y, const ar_tensor *bias) {
    uint32_t p[2] = {0, (uint32_t)y->dims[1]};
    ar__emit_desc d = {.kernel = AR_K_add_row,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = p,
                       .operands = {{y, 0, 0}, {bias, 0, 0}},
                       .bytes = 8.0 * (double)ar_tensor_count(y)};
    return ar__emit_split(
        g, &d, &(ar__split){.units = y->dims[0], .split = 1u, .items_per_unit = (uint32_t)y->dims[1]});
}

/* Rows of a launch: what a binding holds and, for a panel, the time allows; slices begin at aligned bytes. */
static int64_t rows_of_launch(const ar_plan *plan, int64_t N, const ar_int_weight *w) {
    int64_t step = plan->offset_align / 4 > 4 ? plan->offset_align / 4 : 4,
            width = w->O > w->words ? w->O : w->words, bound = (int64_t)(plan->piece_bytes / 4) / width;
    int64_t most = ar__launch_units(plan, N, step, 8.0 * AR__INT_PANEL * (double)w->I * (double)N,
                                    4.0 * (double)w->I * (double)N);
    if (most > bound) most = bound / step * step;
    return most < step ? step : most;
}

ar_status ar_op_linear_int(ar_graph *g, ar_tensor **y, const ar_tensor *codes, const ar_tensor *grid,
                           const ar_int_weight *w, ar_tensor *bias) {
    AR_TRY(ar__op_check("linear_int", "codes", codes, AR_U32, -1, w->words));
    AR_TRY(ar__op_check("linear_int", "grid", grid, AR_F32, grid->dims[0] == 1 ? 1 : codes->dims[0], 2));
    if (bias) AR_TRY(ar__op_check("linear_int", "bias", bias, AR_F32, w->O, 0));
    rows r = {.all = codes->dims[0]};
    AR_TRY(ar__output(g, y, AR_F32, 2, (int64_t[]){r.all, w->O}, NULL, NULL, NULL));
    ar__cut c = ar__cut_into(r.all, rows_of_launch(&ar__graph_device(g)->plan, r.all, w));
    while (ar__cut_next(&c)) {
        r.first = c.first;
        r.count = c.count;
        AR_TRY(emit_rows(g, *y, codes, grid, w, &r));
    }
    return bias ? add_bias(g, *y, bias) : AR_OK;
}
