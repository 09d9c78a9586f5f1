/* Dropout (Srivastava 2014): y = x / (1 - share) where kept.  dx = dy / (1 - share) there. The numbers are a
 * hash of seed, counter and place, so that nothing is stored and replays of a graph differ by the counter. */
#include "op.h"
#include <math.h>

typedef struct dropout {
    ar_tensor *y, *x;
    const ar_tensor *count;
    uint32_t seed, below;
    float scale;
} dropout;

static ar_status emit(ar_graph *g, const dropout *c, ar_tensor *to, ar_tensor *from, bool accumulate) {
    int64_t n = ar_tensor_count(from);
    struct {
        uint32_t n, first, seed, below;
        float scale;
        uint32_t acc;
    } p = {0, 0, c->seed, c->below, c->scale, accumulate};
    ar__emit_desc d = {.kernel = AR_K_dropout,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{from, 0, 0}, {c->count, 0, 0}, {to, 0, 0}},
                       .flops = 16.0 * (double)n,
                       .bytes = 8.0 * (double)n};
    return ar__emit_split(g, &d, &(ar__split){.units = n, .split = 5u, .pass_start = true});
}

static ar_status backward(ar_graph *g, const void *ctx) {
    const dropout *c = ctx;
    ar_tensor *dx = NULL;
    bool accumulate = false;
    if (!c->y->grad) return AR_OK;
    AR_TRY(ar__grad(g, &dx, &accumulate, c->x));
    return dx ? emit(g, c, dx, c->y->grad, accumulate) : AR_OK;
}

ar_status ar_op_dropout(ar_graph *g, ar_tensor **y, ar_tensor *x, float share, uint32_t seed,
                        const ar_tensor *count) {
    *y = x;
    if (!(share >= 0 && share < 1))
        return ar__fail(AR_ERR_ARG, "dropout: found %g, expected at least 0 and less than 1", (double)share);
    if (share <= 0) return AR_OK;
    AR_TRY(ar__expect("dropout x", x, AR_F32, 2, (int64_t[]){-1, -1}));
    AR_TRY(ar__op_check("dropout", "count", count, AR_I32, 1, 0));
    dropout c = {.x = x, .count = count, .seed = seed, .scale = 1 / (1 - share)};
    c.below = (uint32_t)ceil((double)share * 4294967296.0);
    AR_TRY(ar__output(g, &c.y, AR_F32, 2, x->dims, x, NULL, NULL));
    AR_TRY(emit(g, &c, c.y, x, false));
    *y = c.y;
    return c.y->needs_grad ? ar__node(g, backward, &c, sizeof c) : AR_OK;
}
