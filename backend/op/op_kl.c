/* Kullback-Leibler divergence of the logits' distribution q from the reference's p, per row, in nats:
 *   kl[n] = sum_v p (ln p - ln q),   dlogits = dkl (q - p) */
#include "op.h"

typedef struct kl_ctx {
    const ar_tensor *ref;
    ar_tensor *logits, *kl;
} kl_ctx;

static ar_status backward(ar_graph *g, const void *ctx) {
    const kl_ctx *c = ctx;
    if (!c->kl->grad) return AR_OK;
    ar_tensor *dlogits = NULL;
    bool accumulate = false;
    AR_TRY(ar__grad(g, &dlogits, &accumulate, c->logits));
    if (!dlogits) return AR_OK;
    int64_t N = c->logits->dims[0], V = c->logits->dims[1];
    uint32_t group = ar__row_group(ar__graph_device(g));
    struct {
        uint32_t rows, row0, V, acc;
    } p = {0, 0, (uint32_t)V, accumulate};
    ar__emit_desc d = {.kernel = AR_K_kl_grad,
                       .specs = {group, 1},
                       .params = &p,
                       .operands = {{c->ref, 0, 0}, {c->logits, 0, 0}, {c->kl->grad, 0, 0}, {dlogits, 0, 0}},
                       .flops = 16.0 * (double)(N * V),
                       .bytes = 28.0 * (double)(N * V)};
    ar__split split = {.units = N, .split = 1u | 2u | 8u, .items_per_unit = group, .pass_start = true};
    return ar__emit_split(g, &d, &split);
}

ar_status ar_op_kl(ar_graph *g, ar_tensor **kl, const ar_tensor *ref, ar_tensor *logits) {
    *kl = NULL;
    AR_TRY(ar__expect("kl ref", ref, AR_F32, 2, (int64_t[]){-1, -1}));
    AR_TRY(ar__expect("kl logits", logits, AR_F32, 2, (int64_t[]){ref->dims[0], ref->dims[1]}));
    int64_t N = ref->dims[0], V = ref->dims[1];
    kl_ctx c = {.ref = ref, .logits = logits};
    AR_TRY(ar__output(g, &c.kl, AR_F32, 1, &N, logits, NULL, NULL));
    uint32_t group = ar__row_group(ar__graph_device(g));
    struct {
        uint32_t rows, row0, V;
    } p = {0, 0, (uint32_t)V};
    ar__emit_desc d = {.kernel = AR_K_kl,
                       .specs = {group, 1},
                       .params = &p,
                       .operands = {{ref, 0, 0}, {logits, 0, 0}, {c.kl, 0, 0}},
                       .flops = 12.0 * (double)(N * V),
                       .bytes = 24.0 * (double)(N * V)};
    ar__split split = {.units = N, .split = 3u, .items_per_unit = group, .pass_start = true};
    AR_TRY(ar__emit_split(g, &d, &split));
    if (c.kl->needs_grad) AR_TRY(ar__node(g, backward, &c, sizeof c));
    *kl = c.kl;
    return AR_OK;
}
