/* Negative log-likelihood of labels under logits x W^T that never stand in memory whole: a piece of the
 * vocabulary at a time goes into a running maximum and sum (Milakov & Gimelshein 2018, arXiv 1805.02867),
 *   nll[n] = lse[n] - logits[n, labels[n]],  lse = log sum exp(logits),
 * and backward computes each piece again:  Z = dnll (exp(logits - lse) - onehot),  dx += Z W_p,
 * dW_p += Z^T x. A vocabulary in one piece keeps its logits. */
#include "op.h"

typedef struct head_nll {
    ar_tensor *nll, *x, *W, *lse, *whole; /* whole: the logits, where they are kept */
    const ar_tensor *labels;
    int64_t step; /* ids of a piece */
} head_nll;

/* ---- rows of a tensor as a tensor of their own ---- */

/* Rows of I floats after which a binding may begin, and a vector of the widest device does. */
static int64_t aligned_rows(const ar_device *device, int64_t I) {
    uint64_t align = device->plan.offset_align > 64 ? device->plan.offset_align : 64, step = 1;
    while (step * (uint64_t)I * 4 % align) step *= 2; /* align is a power of two */
    return (int64_t)step;
}

/* Ids to a piece: what is wished, in whole steps, and no more than a binding of W holds. */
static ar_status piece_ids(int64_t *step, const ar_device *device, const ar_tensor *W, int64_t wished) {
    int64_t V = W->dims[0], row_bytes = W->dims[1] * 4, unit = aligned_rows(device, W->dims[1]);
    *step = V;
    if (wished <= 0 || wished >= V) return AR_OK; /* no rows are cut out: the product cuts as it likes */
    int64_t fit = (int64_t)(device->plan.piece_bytes - 64) / row_bytes / unit * unit;
    if (fit == 0)
        return ar__fail(AR_ERR_UNSUPPORTED, "head_nll: %lld rows are %lld bytes, this device binds %llu",
                        (long long)unit, (long long)(unit * row_bytes),
                        (unsigned long long)device->plan.piece_bytes);
    wished = (wished + unit - 1) / unit * unit;
    *step = wished < fit ? wished : fit;
    return AR_OK;
}

/* Rows [first, first + count) of `of`, from a row that aligned_rows gives on, are copied to `part` (count,
 * I), or part is added to or put there. */
typedef enum move { TAKE, ADD, PUT } move;
static ar_status move_rows(ar_graph *g, move how, ar_tensor *of, ar_tensor *part, int64_t first) {
    const ar_plan *plan = &ar__graph_device(g)->plan;
    int64_t count = part->dims[0], I = part->dims[1], unit = aligned_rows(ar__graph_device(g), I);
    double bytes = 8.0 * (double)(count * I);
    for (ar__cut c = ar__cut_by_time(plan, count, unit, 0, bytes); ar__cut_next(&c);) {
        struct {
            uint32_t n, acc;
        } p = {(uint32_t)(c.count * I), how == ADD};
        uint64_t at = (uint64_t)(first + c.first) * (uint64_t)I * 4, size = (uint64_t)(c.count * I) * 4;
        ar__operand there = {of, at, first + c.first + c.count == of->dims[0] ? 0 : size};
        ar__operand here = {part, (uint64_t)(c.first * I) * 4, ar__cut_is_last(&c) ? 0 : size};
        ar__emit_desc d = {.kernel = how == TAKE ? AR_K_copy : AR_K_add_to,
                           .specs = {plan->wg, 1},
                           .params = &p,
                           .bytes = bytes * (double)c.count / (double)count};
        d.operands[0] = how == TAKE ? there : here;
        d.operands[1] = how == TAKE ? here : there;
        uint64_t items = how == TAKE ? p.n : (p.n + plan->vw - 1) / plan->vw;
        ar__groups_1d(ar__graph_device(g), d.groups, items, plan->wg);
        AR_TRY(ar__emit(g, &d));
    }
    return AR_OK;
}

/* Rows of one piece of W: W itself, or a copy. */
static ar_status piece_of(ar_graph *g, ar_tensor **rows, ar_tensor *W, const ar__cut *v) {
    *rows = W;
    if (v->count == W->dims[0]) return AR_OK;
    AR_TRY(ar_graph_temp(g, rows, AR_F32, 2, (int64_t[]){v->count, W->dims[1]}));
    return move_rows(g, TAKE, W, *rows, v->first);
}

/* *z (N, count) = x rows^T */
static ar_status logits_of(ar_graph *g, ar_tensor **z, ar_tensor *x, ar_tensor *rows) {
    int64_t N = x->dims[0], I = x->dims[1], count = rows->dims[0];
    AR_TRY(ar_graph_temp(g, z, AR_F32, 2, (int64_t[]){N, count}));
    return ar__gemm_forward(g, *z, (ar__matrix){x, false}, (ar__matrix){rows, true}, N, count, I, NULL);
}

/* ---- backward ---- */

static ar_status weight_gradient(ar_graph *g, const head_nll *c, ar_tensor *dW, ar_tensor *z,
                                 const ar__cut *v, bool accumulate) {
    int64_t N = c->x->dims[0], I = c->x->dims[1];
    ar_tensor *part = NULL;
    ar__matrix dz = {z, true}, x = {c->x, false};
    if (v->count == dW->dims[0]) return ar__gemm_gradient(g, dW, dz, x, v->count, I, N, accumulate);
    AR_TRY(ar_graph_temp(g, &part, AR_F32, 2, (int64_t[]){v->count, I}));
    AR_TRY(ar__gemm_gradient(g, part, dz, x, v->count, I, N, false));
    return move_rows(g, accumulate ? ADD : PUT, dW, part, v->first);
}

static ar_status emit_gradient(ar_graph *g, const head_nll *c, ar_tensor *z, int64_t v0) {
    int64_t N = z->dims[0], V = z->dims[1];
    struct {
        uint32_t rows, row0, V, v0, all;
    } p = {0, 0, (uint32_t)V, (uint32_t)v0, (uint32_t)c->W->dims[0]};
    ar__emit_desc d = {.kernel = AR_K_nll_part_grad,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{z, 0, 0}, {c->labels, 0, 0}, {c->lse, 0, 0}, {c->nll->grad, 0, 0}},
                       .flops = 4.0 * (double)(N * V),
                       .bytes = 8.0 * (double)(N * V)};
    ar__split split = {.units = N, .split = 1u, .items_per_unit = (uint32_t)V, .pass_start = true};
    return ar__emit_split(g, &d, &split);
}

static ar_status backward(ar_graph *g, const void *ctx) {
    const head_nll *c = ctx;
    ar_tensor *dx = NULL, *dW = NULL;
    bool add_x = false, add_W = false;
    int64_t N = c->x->dims[0], I = c->x->dims[1];
    if (!c->nll->grad) return AR_OK;
    AR_TRY(ar__grad(g, &dx, &add_x, c->x));
    AR_TRY(ar__grad(g, &dW, &add_W, c->W));
    for (ar__cut v = ar__cut_into(c->W->dims[0], c->step); ar__cut_next(&v);) {
        ar_tensor *rows = NULL, *z = c->whole;
        AR_TRY(piece_of(g, &rows, c->W, &v));
        if (!z) {
            ar__graph_turn(g);
            AR_TRY(logits_of(g, &z, c->x, rows));
            ar__graph_turn(g);
        }
        AR_TRY(emit_gradient(g, c, z, v.first));
        if (dx)
            AR_TRY(ar__gemm_gradient(g, dx, (ar__matrix){z, false}, (ar__matrix){rows, false}, N, I, v.count,
                                     add_x || v.first > 0));
        if (dW) AR_TRY(weight_gradient(g, c, dW, z, &v, add_W));
    }
    return AR_OK;
}

/* ---- forward ---- */

static ar_status emit_part(ar_graph *g, const head_nll *c, ar_tensor *state, ar_tensor *top1, ar_tensor *z,
                           int64_t v0) {
    int64_t N = z->dims[0], V = z->dims[1];
    uint32_t group = ar__row_group(ar__graph_device(g));
    struct {
        uint32_t rows, row0, V, v0, all;
    } p = {0, 0, (uint32_t)V, (uint32_t)v0, (uint32_t)c->W->dims[0]};
    ar__emit_desc d = {
        .kernel = AR_K_nll_part,
        .specs = {group, 1},
        .params = &p,
        .operands =
            {{z, 0, 0}, {c->labels, 0, 0}, {state, 0, 0}, {c->nll, 0, 0}, {c->lse, 0, 0}, {top1, 0, 0}},
        .flops = 6.0 * (double)(N * V),
        .bytes = 8.0 * (double)(N * V)};
    ar__split split = {.units = N, .split = 1u, .items_per_unit = group, .pass_start = true};
    return ar__emit_split(g, &d, &split);
}

ar_status ar_op_head_nll(ar_graph *g, ar_tensor **nll, ar_tensor **top1, ar_tensor *x, ar_tensor *W,
                         const ar_tensor *labels, int64_t piece) {
    ar_tensor *state = NULL;
    *nll = *top1 = NULL;
    AR_TRY(ar__expect("head_nll x", x, AR_F32, 2, (int64_t[]){-1, -1}));
    AR_TRY(ar__expect("head_nll W", W, AR_F32, 2, (int64_t[]){-1, x->dims[1]}));
    AR_TRY(ar__expect("head_nll labels", labels, AR_I32, 1, (int64_t[]){x->dims[0]}));
    int64_t N = x->dims[0], V = W->dims[0];
    if (V < 1 || V > 1 << 24)
        return ar__fail(AR_ERR_SHAPE, "head_nll: W has %lld rows, expected 1 to 2^24", (long long)V);
    head_nll c = {.x = x, .W = W, .labels = labels};
    AR_TRY(piece_ids(&c.step, ar__graph_device(g), W, piece));
    AR_TRY(ar__output(g, &c.nll, AR_F32, 1, &N, x, W, NULL));
    AR_TRY(ar_graph_temp(g, top1, AR_I32, 1, &N));
    AR_TRY(ar_graph_temp(g, &c.lse, AR_F32, 1, &N));
    AR_TRY(ar_graph_temp(g, &state, AR_F32, 2, (int64_t[]){N, 4}));
    for (ar__cut v = ar__cut_into(V, c.step); ar__cut_next(&v);) {
        ar_tensor *rows = NULL, *z = NULL;
        AR_TRY(piece_of(g, &rows, W, &v));
        AR_TRY(logits_of(g, &z, x, rows));
        AR_TRY(emit_part(g, &c, state, *top1, z, v.first));
        if (v.count == V) c.whole = z;
    }
    *nll = c.nll;
    return c.nll->needs_grad ? ar__node(g, backward, &c, sizeof c) : AR_OK;
}
