/* Kullback-Leibler divergence of the logits' distribution q from the reference's p, per row, in nats:
 *   kl[n] = sum_v p (ln p - ln q). No gradient. */
#include "op.h"

ar_status ar_op_kl(ar_graph *g, ar_tensor **kl, const ar_tensor *ref, const ar_tensor *logits) {
    *kl = NULL;
    AR_TRY(ar__expect("kl ref", ref, AR_F32, 2, (int64_t[]){-1, -1}));
    AR_TRY(ar__expect("kl logits", logits, AR_F32, 2, (int64_t[]){ref->dims[0], ref->dims[1]}));
    int64_t N = ref->dims[0], V = ref->dims[1];
    ar_tensor *out = NULL;
    AR_TRY(ar_graph_temp(g, &out, AR_F32, 1, &N));
    uint32_t group = ar__row_group(ar__graph_device(g));
    struct {
        uint32_t rows, row0, V;
    } p = {0, 0, (uint32_t)V};
    ar__emit_desc d = {.kernel = AR_K_kl,
                       .specs = {group, 1},
                       .params = &p,
                       .operands = {{ref, 0, 0}, {logits, 0, 0}, {out, 0, 0}},
                       .flops = 12.0 * (double)(N * V),
                       .bytes = 24.0 * (double)(N * V)};
    ar__split split = {.units = N, .split = 3u, .items_per_unit = group, .pass_start = true};
    AR_TRY(ar__emit_split(g, &d, &split));
    *kl = out;
    return AR_OK;
}
