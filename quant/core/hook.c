/* What a hook leaves out, composed from its products and plain ops. */
#include "ar_error.h"
#include "ar_quant.h"

ar_status ar_hook_linears(const ar_hook *hook, ar_graph *g, ar_tensor **y, const int32_t *i, int32_t count,
                          ar_tensor *x) {
    if (hook->linears) return hook->linears(hook->ctx, g, y, i, count, x);
    for (int32_t n = 0; n < count; n++) AR_TRY(hook->linear(hook->ctx, g, &y[n], i[n], x));
    return AR_OK;
}

ar_status ar_hook_gated(const ar_hook *hook, ar_graph *g, ar_tensor **y, int32_t gate, int32_t up,
                        ar_tensor *x) {
    if (hook->gated) return hook->gated(hook->ctx, g, y, gate, up, x);
    ar_tensor *a, *b;
    AR_TRY(hook->linear(hook->ctx, g, &a, gate, x));
    AR_TRY(hook->linear(hook->ctx, g, &b, up, x));
    return ar_op_silu_mul(g, y, a, b);
}

ar_status ar_hook_linear_add(const ar_hook *hook, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x,
                             ar_tensor *residual) {
    if (hook->linear_add) return hook->linear_add(hook->ctx, g, y, i, x, residual);
    ar_tensor *product;
    AR_TRY(hook->linear(hook->ctx, g, &product, i, x));
    return ar_op_add(g, y, residual, product);
}

ar_status ar_hook_attention(const ar_hook *hook, ar_graph *g, ar_tensor **y, ar_tensor *q, ar_tensor *k,
                            ar_tensor *v, const ar_attention *a, int32_t T) {
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
    return ar_op_attention(g, y, q, k, v, T, a->D, a->window);
}
