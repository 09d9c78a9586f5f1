/* Weights and activations of few states: rounding that a gradient passes as if it were not there. */
#include "op.h"

#define DEVIATION_EPS 1e-5f

typedef struct weight_ctx {
    ar_tensor *W, *y, *stat;
    ar_state_weight s;
    float lo, hi;
} weight_ctx;

ar_status ar_state_range(int32_t *low, int32_t *high, int32_t M) {
    if (M < 2) return ar__fail(AR_ERR_ARG, "states: found %d, expected at least 2", (int)M);
    *low = M == 2 ? -1 : -(M / 2);
    *high = M == 2 ? 1 : (M - 1) / 2;
    return AR_OK;
}

static ar_status check_states(int32_t M, float gain) {
    int32_t low, high;
    if (M) AR_TRY(ar_state_range(&low, &high, M));
    if (gain > 0) return AR_OK;
    return ar__fail(AR_ERR_ARG, "states: found a gain of %g, expected a positive one", (double)gain);
}

static ar_status weight_backward(ar_graph *g, const void *ctx) {
    const weight_ctx *c = ctx;
    ar_tensor *dW = NULL;
    bool adds = false;
    if (!c->y->grad) return AR_OK;
    AR_TRY(ar__grad(g, &dW, &adds, c->W));
    if (!dW) return AR_OK;
    uint32_t group = ar__row_group(ar__graph_device(g));
    struct {
        uint32_t rows, row0, I, standardize;
        float e, plain, gain;
        uint32_t inside;
        float lo, hi;
        uint32_t acc;
    } p = {0,
           0,
           (uint32_t)c->W->dims[1],
           c->s.standardize,
           DEVIATION_EPS,
           c->s.plain,
           c->s.gain,
           c->s.inside && c->s.M,
           c->lo,
           c->hi,
           adds};
    ar__emit_desc d = {.kernel = AR_K_state_weight_grad,
                       .specs = {group, 1},
                       .params = &p,
                       .operands = {{c->W, 0, 0}, {c->y->grad, 0, 0}, {c->stat, 0, 0}, {dW, 0, 0}},
                       .flops = 12.0 * (double)ar_tensor_count(c->W),
                       .bytes = 20.0 * (double)ar_tensor_count(c->W)};
    ar__split split = {.units = c->W->dims[0], .split = 11, .items_per_unit = group, .pass_start = true};
    return ar__emit_split(g, &d, &split);
}

ar_status ar_op_state_weight(ar_graph *g, ar_tensor **y, ar_tensor *W, const ar_state_weight *s) {
    int32_t low = 0, high = 0;
    *y = NULL;
    AR_TRY(ar__expect("state_weight W", W, AR_F32, 2, (int64_t[]){-1, -1}));
    AR_TRY(check_states(s->M, s->gain));
    if (s->M) AR_TRY(ar_state_range(&low, &high, s->M));
    weight_ctx c = {.W = W, .s = *s, .lo = (float)low, .hi = (float)high};
    AR_TRY(ar__output(g, &c.y, AR_F32, 2, W->dims, W, NULL, NULL));
    AR_TRY(ar_graph_temp(g, &c.stat, AR_F32, 2, (int64_t[]){W->dims[0], 2}));
    uint32_t group = ar__row_group(ar__graph_device(g));
    struct {
        uint32_t rows, row0, I, standardize;
        float e, plain, gain;
        uint32_t rule;
        float lo, hi;
    } p = {0,
           0,
           (uint32_t)W->dims[1],
           s->standardize,
           DEVIATION_EPS,
           s->plain,
           s->gain,
           s->M == 0   ? 0
           : s->M == 2 ? 2
                       : 1,
           c.lo,
           c.hi};
    ar__emit_desc d = {.kernel = AR_K_state_weight,
                       .specs = {group, 1},
                       .params = &p,
                       .operands = {{W, 0, 0}, {c.y, 0, 0}, {c.stat, 0, 0}},
                       .flops = 8.0 * (double)ar_tensor_count(W),
                       .bytes = 16.0 * (double)ar_tensor_count(W)};
    ar__split split = {.units = W->dims[0], .split = 3, .items_per_unit = group, .pass_start = true};
    AR_TRY(ar__emit_split(g, &d, &split));
    *y = c.y;
    return c.y->needs_grad ? ar__node(g, weight_backward, &c, sizeof c) : AR_OK;
}

/* ---- activations ---- */

typedef struct round_ctx {
    ar_tensor *x, *y;
    ar_state_round s;
} round_ctx;

static ar_status round_backward(ar_graph *g, const void *ctx) {
    const round_ctx *c = ctx;
    ar_tensor *dx = NULL;
    bool adds = false;
    if (!c->y->grad) return AR_OK;
    AR_TRY(ar__grad(g, &dx, &adds, c->x));
    if (!dx) return AR_OK;
    struct {
        uint32_t n;
        float gain, lo, hi;
        uint32_t acc;
    } p = {0, c->s.gain, -c->s.margin, (float)(c->s.M - 1) + c->s.margin, adds};
    if (c->s.M == 0) p.lo = 0, p.hi = 3e38f;
    ar__emit_desc d = {.kernel = AR_K_state_round_grad,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{c->x, 0, 0}, {c->y->grad, 0, 0}, {dx, 0, 0}},
                       .bytes = 12.0 * (double)ar_tensor_count(dx)};
    return ar__emit_split(g, &d, &(ar__split){.units = ar_tensor_count(dx), .split = 7});
}

ar_status ar_op_state_round(ar_graph *g, ar_tensor **y, ar_tensor *x, const ar_state_round *s) {
    *y = NULL;
    AR_TRY(ar__expect("state_round x", x, AR_F32, 2, (int64_t[]){-1, -1}));
    AR_TRY(check_states(s->M, s->gain));
    round_ctx c = {.x = x, .s = *s};
    AR_TRY(ar__output(g, &c.y, AR_F32, 2, x->dims, x, NULL, NULL));
    struct {
        uint32_t n;
        float gain, hi;
        uint32_t rounds;
    } p = {0, s->gain, (float)(s->M - 1), s->M != 0};
    ar__emit_desc d = {.kernel = AR_K_state_round,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{x, 0, 0}, {c.y, 0, 0}},
                       .bytes = 8.0 * (double)ar_tensor_count(x)};
    AR_TRY(ar__emit_split(g, &d, &(ar__split){.units = ar_tensor_count(x), .split = 3}));
    *y = c.y;
    return c.y->needs_grad ? ar__node(g, round_backward, &c, sizeof c) : AR_OK;
}
