/* Negative log-likelihood of the labels and the most likely token.
 *   nll[n] = logsumexp_v(logits[n]) - logits[n, labels[n]],   dlogits = dnll (p - onehot(labels)),
 * p = softmax(logits). A label outside [0, V) gives nll 0 and no gradient. */
#include "op.h"

typedef struct nll_ctx {
    ar_tensor *logits, *nll, *lse;
    const ar_tensor *labels;
} nll_ctx;

static ar_status backward(ar_graph *g, const void *ctx) {
    const nll_ctx *c = ctx;
    if (!c->nll->grad) return AR_OK;
    ar_tensor *dlogits = NULL;
    bool accumulate = false;
    AR_TRY(ar__grad(g, &dlogits, &accumulate, c->logits));
    if (!dlogits) return AR_OK;
    int64_t N = c->logits->dims[0], V = c->logits->dims[1];
    struct {
        uint32_t rows, row0, V, acc;
    } p = {0, 0, (uint32_t)V, accumulate};
    ar__emit_desc d = {.kernel = AR_K_nll_grad,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{c->logits, 0, 0},
                                    {c->labels, 0, 0},
                                    {c->lse, 0, 0},
                                    {c->nll->grad, 0, 0},
                                    {dlogits, 0, 0}},
                       .flops = 4.0 * (double)(N * V),
                       .bytes = 8.0 * (double)(N * V)};
    ar__split split = {.units = N, .split = 1u | 1u << 4, .items_per_unit = (uint32_t)V, .pass_start = true};
    return ar__emit_split(g, &d, &split);
}

ar_status ar_op_nll(ar_graph *g, ar_tensor **nll, ar_tensor **top1, ar_tensor *logits,
                    const ar_tensor *labels) {
    *nll = *top1 = NULL;
    AR_TRY(ar__expect("nll logits", logits, AR_F32, 2, (int64_t[]){-1, -1}));
    AR_TRY(ar__expect("nll labels", labels, AR_I32, 1, (int64_t[]){logits->dims[0]}));
    int64_t N = logits->dims[0], V = logits->dims[1];
    if (V > 1 << 24)
        return ar__fail(AR_ERR_UNSUPPORTED, "nll: %lld columns, expected at most 2^24", (long long)V);
    nll_ctx c = {.logits = logits, .labels = labels};
    ar_tensor *top = NULL;
    AR_TRY(ar__output(g, &c.nll, AR_F32, 1, &N, logits, NULL, NULL));
    AR_TRY(ar_graph_temp(g, &c.lse, AR_F32, 1, &N));
    AR_TRY(ar_graph_temp(g, &top, AR_I32, 1, &N));
    uint32_t group = ar__row_group(ar__graph_device(g));
    struct {
        uint32_t rows, row0, V;
    } p = {0, 0, (uint32_t)V};
    ar__emit_desc d = {
        .kernel = AR_K_nll,
        .specs = {group, 1},
        .params = &p,
        .operands = {{logits, 0, 0}, {labels, 0, 0}, {c.nll, 0, 0}, {c.lse, 0, 0}, {top, 0, 0}},
        .flops = 4.0 * (double)(N * V),
        .bytes = 8.0 * (double)(N * V)};
    ar__split split = {.units = N, .split = 1u, .items_per_unit = group, .pass_start = true};
    AR_TRY(ar__emit_split(g, &d, &split));
    if (c.nll->needs_grad) AR_TRY(ar__node(g, backward, &c, sizeof c));
    *nll = c.nll;
    *top1 = top;
    return AR_OK;
}
