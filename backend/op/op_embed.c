/* Embedding lookup: y[n] = E[ids[n]].  dE[v] = sum of dy[n] over the n with ids[n] = v, in their order: rows
 * of one id are linked first, so that no two items add to one place. A table or a gradient larger than one
 * binding is read in pieces. */
#include "op.h"

typedef struct embed_ctx {
    ar_tensor *y, *E;
    const ar_tensor *ids;
} embed_ctx;

/* Rows of t per binding: all, or as many as fit and start on aligned offsets. */
static ar_status piece_rows(const ar_device *device, const ar_tensor *t, int64_t *rows) {
    uint64_t row_bytes = (uint64_t)t->dims[1] * 4, align = device->plan.offset_align, step = 1;
    *rows = t->dims[0];
    if (ar__tensor_bytes(t) <= device->plan.piece_bytes) return AR_OK;
    while (align && step * row_bytes % align) step *= 2; /* align is a power of two */
    uint64_t fit = device->plan.piece_bytes / row_bytes / step * step;
    if (fit == 0)
        return ar__fail(AR_ERR_UNSUPPORTED, "embed: one row is %llu bytes, this device binds %llu",
                        (unsigned long long)row_bytes, (unsigned long long)device->plan.piece_bytes);
    *rows = (int64_t)fit;
    return AR_OK;
}

/* Rows [first, first + count) of t, as an operand. */
static ar__operand rows_of(const ar_tensor *t, int64_t first, int64_t count) {
    uint64_t row_bytes = (uint64_t)t->dims[1] * 4;
    bool is_last = first + count == t->dims[0]; /* with the padding */
    return (ar__operand){t, (uint64_t)first * row_bytes, is_last ? 0 : (uint64_t)count * row_bytes};
}

/* What the rows of one binding of dy add to every piece of dE. */
static ar_status add_rows(ar_graph *g, const embed_ctx *c, ar_tensor *dE, int64_t v_step, const ar__cut *n) {
    const ar_device *device = ar__graph_device(g);
    ar_tensor *links = NULL;
    int64_t I = dE->dims[1];
    AR_TRY(ar_graph_temp(g, &links, AR_I32, 2, (int64_t[]){n->count, 2}));
    struct {
        uint32_t rows, row0, a, end;
    } lp = {0, 0, (uint32_t)n->first, (uint32_t)(n->first + n->count)};
    ar__emit_desc l = {.kernel = AR_K_embed_links,
                       .specs = {device->plan.wg, 1},
                       .params = &lp,
                       .operands = {{c->ids, 0, 0}, {links, 0, 0}},
                       .flops = (double)n->count * (double)n->count};
    AR_TRY(ar__emit_split(g, &l, &(ar__split){.units = n->count, .pass_start = true}));
    for (ar__cut v = ar__cut_into(dE->dims[0], v_step); ar__cut_next(&v);) {
        struct {
            uint32_t rows, row0, I, a, end, v0, count;
        } p = {0, 0, (uint32_t)I, lp.a, (uint32_t)n->count, (uint32_t)v.first, (uint32_t)v.count};
        ar__emit_desc d = {.kernel = AR_K_embed_grad,
                           .specs = {device->plan.wg, 1},
                           .params = &p,
                           .operands = {{c->ids, 0, 0},
                                        {links, 0, 0},
                                        rows_of(c->y->grad, n->first, n->count),
                                        rows_of(dE, v.first, v.count)},
                           .flops = (double)(n->count * I),
                           .bytes = 12.0 * (double)(n->count * I)};
        AR_TRY(ar__emit_split(
            g, &d, &(ar__split){.units = n->count, .items_per_unit = (uint32_t)I, .pass_start = true}));
    }
    return AR_OK;
}

static ar_status backward(ar_graph *g, const void *ctx) {
    const embed_ctx *c = ctx;
    ar_tensor *dE = NULL;
    bool accumulate = false;
    int64_t v_step = 0, n_step = 0;
    if (!c->y->grad) return AR_OK;
    AR_TRY(ar__grad(g, &dE, &accumulate, c->E));
    if (!dE) return AR_OK;
    AR_TRY(piece_rows(ar__graph_device(g), dE, &v_step));
    AR_TRY(piece_rows(ar__graph_device(g), c->y->grad, &n_step));
    if (!accumulate) AR_TRY(ar__emit_fill(g, dE, 0.0f));
    for (ar__cut n = ar__cut_into(c->y->dims[0], n_step); ar__cut_next(&n);)
        AR_TRY(add_rows(g, c, dE, v_step, &n));
    return AR_OK;
}

ar_status ar_op_embed(ar_graph *g, ar_tensor **y, ar_tensor *E, const ar_tensor *ids) {
    *y = NULL;
    AR_TRY(ar__expect("embed E", E, AR_F32, 2, (int64_t[]){-1, -1}));
    AR_TRY(ar__expect("embed ids", ids, AR_I32, 1, (int64_t[]){-1}));
    const ar_device *device = ar__graph_device(g);
    int64_t N = ids->dims[0], V = E->dims[0], I = E->dims[1], step = 0;
    if (V == 0) return ar__fail(AR_ERR_SHAPE, "embed: E has no rows");
    AR_TRY(piece_rows(device, E, &step));
    AR_TRY(ar__output(g, y, AR_F32, 2, (int64_t[]){N, I}, E, NULL, NULL));
    for (ar__cut v = ar__cut_into(V, step); ar__cut_next(&v);) {
        struct {
            uint32_t rows, row0, I, v0, count, V;
        } p = {0, 0, (uint32_t)I, (uint32_t)v.first, (uint32_t)v.count, (uint32_t)V};
        ar__emit_desc d = {.kernel = AR_K_embed,
                           .specs = {device->plan.wg, 1},
                           .params = &p,
                           .operands = {rows_of(E, v.first, v.count), {ids, 0, 0}, {*y, 0, 0}},
                           .bytes = 8.0 * (double)(N * I)};
        ar__split split = {.units = N, .split = 1u << 2, .items_per_unit = (uint32_t)I, .pass_start = true};
        AR_TRY(ar__emit_split(g, &d, &split));
    }
    if (!(*y)->needs_grad) return AR_OK;
    return ar__node(g, backward, &(embed_ctx){*y, E, ids}, sizeof(embed_ctx));
}
