/* Calls through a hook and what it stands on, and what nobody there makes, composed from products and plain
 * ops. */
#include "ar_error.h"
#include "ar_quant.h"

ar_status ar_hook_linear(const ar_hook *hook, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x) {
    for (; hook; hook = hook->base)
        if (hook->linear) return hook->linear(hook->ctx, g, y, i, x);
    return ar__fail(AR_ERR_ARG, "hook: nobody makes products");
}

ar_status ar_hook_norm(const ar_hook *hook, ar_graph *g, ar_tensor **y, int32_t j, ar_tensor *x) {
    for (; hook; hook = hook->base)
        if (hook->norm) return hook->norm(hook->ctx, g, y, j, x);
    return ar__fail(AR_ERR_ARG, "hook: nobody makes norms");
}

ar_status ar_hook_add(const ar_hook *hook, ar_graph *g, ar_tensor **y, ar_tensor *a, ar_tensor *b) {
    for (; hook; hook = hook->base)
        if (hook->add) return hook->add(hook->ctx, g, y, a, b);
    return ar_op_add(g, y, a, b);
}

ar_status ar_hook_linears(const ar_hook *hook, ar_graph *g, ar_tensor **y, const int32_t *i, int32_t count,
                          ar_tensor *x) {
    while (hook->base && !hook->linears && !hook->linear) hook = hook->base;
    if (hook->linears) return hook->linears(hook->ctx, g, y, i, count, x);
    for (int32_t n = 0; n < count; n++) AR_TRY(ar_hook_linear(hook, g, &y[n], i[n], x));
    return AR_OK;
}

ar_status ar_hook_gated(const ar_hook *hook, ar_graph *g, ar_tensor **y, int32_t gate, int32_t up, ar_act act,
                        ar_tensor *x) {
    while (hook->base && !hook->gated && !hook->linear) hook = hook->base;
    if (hook->gated) return hook->gated(hook->ctx, g, y, gate, up, act, x);
    ar_tensor *a, *b;
    AR_TRY(ar_hook_linear(hook, g, &a, gate, x));
    AR_TRY(ar_hook_linear(hook, g, &b, up, x));
    return ar_op_gated(g, y, a, b, act);
}

ar_status ar_hook_linear_add(const ar_hook *hook, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x,
                             ar_tensor *residual) {
    while (hook->base && !hook->linear_add && !hook->linear && !hook->add) hook = hook->base;
    if (hook->linear_add) return hook->linear_add(hook->ctx, g, y, i, x, residual);
    ar_tensor *product;
    AR_TRY(ar_hook_linear(hook, g, &product, i, x));
    return ar_hook_add(hook, g, y, residual, product);
}

ar_status ar_hook_attention(const ar_hook *hook, ar_graph *g, ar_tensor **y, ar_tensor *q, ar_tensor *k,
                            ar_tensor *v, const ar_attention *a, int32_t T) {
    for (; hook; hook = hook->base)
        if (hook->attention) return hook->attention(hook->ctx, g, y, q, k, v, a);
    if (a->scale != 0.0f)
        return ar__fail(AR_ERR_UNSUPPORTED, "attention: found scale %g, expected 0", (double)a->scale);
    if (a->freq) {
        ar_tensor *freq;
        float turn = a->turn != 0.0f ? a->turn : 1.0f;
        bool is_long = a->long_freq && T > a->long_above;
        AR_TRY(ar_graph_constant(g, &freq, is_long ? a->long_freq : a->freq, a->pairs));
        AR_TRY(ar_op_rope(g, &q, q, freq, T, a->D, 0, turn));
        AR_TRY(ar_op_rope(g, &k, k, freq, T, a->D, 0, turn));
    }
    return ar_op_attention(g, y, q, k, v, T, a->D, a->window, a->cap);
}
