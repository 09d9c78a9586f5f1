/* rtn: round to nearest. Every weight is quantized from its own numbers, no calibration (V = 0, coefficients 1;
 * docs/methods.md). The floor every other method has to beat. */
#include "methods.h"
#include <stdlib.h>

ar_status ar__read_codes(ar_qlinear *q, ar_device *device, const ar_tensor *W, const ar_fq_state *st, const ar_fq_desc *fq) {
    ar_status status = AR_OK;
    ar_graph *g = NULL;
    ar_tensor *range = NULL, *codes = NULL, *sz = NULL;
    float *host = NULL;
    uint32_t *words = NULL;
    int64_t groups = q->groups, elems = q->O * q->I, word_count = (elems + 3) / 4;
    AR_GO(ar_tensor_create(&range, device, AR_F32, 3, (const int64_t[]){q->O, groups, 2}));
    AR_GO(ar_graph_create(&g, device));
    AR_GO(ar_op_group_range(g, range, W, &fq->scheme));
    AR_GO(ar_op_fq_codes(g, &codes, &sz, W, range, st, fq));
    ar_graph_keep(g, codes);
    ar_graph_keep(g, sz);
    AR_GO(ar_graph_build(g));
    AR_GO(ar_graph_run(g));
    host = ar__alloc((size_t)(q->O * groups), 4 * sizeof *host);
    words = ar__alloc((size_t)word_count, sizeof *words);
    if (!host || !words) AR_GO(AR_ERR_MEMORY);
    AR_GO(ar_tensor_read(codes, words, 0, word_count));
    AR_GO(ar_tensor_read(sz, host, 0, q->O * groups * 4));
    for (int64_t i = 0; i < elems; i++) q->codes[i] = (uint8_t)(words[i / 4] >> (8 * (i % 4)));
    for (int64_t i = 0; i < q->O * groups; i++) {
        q->scales[i] = ar_f32_to_f16(host[4 * i]);
        q->zeros[i] = (uint8_t)host[4 * i + 1];
        if (q->mins) q->mins[i] = ar_f32_to_f16(host[4 * i + 2]);
    }
done:
    free(host);
    free(words);
    ar_graph_destroy(g);
    ar_tensor_destroy(range);
    return status;
}

ar_status ar__rtn_block(ar_qlinear *q, const ar_block_weights *weights, const bool *skip, ar_device *device) {
    for (int32_t i = 0; i < weights->block->linear_count; i++) {
        if (skip[i]) continue;
        ar_fq_desc fq = {.scheme = q[i].scheme};
        AR_TRY(ar__read_codes(&q[i], device, weights->linears[i], &(ar_fq_state){0}, &fq));
    }
    return AR_OK;
}

static ar_status run(const ar_model *model, ar_device *device, const ar_samples *samples, const ar_quant_desc *desc,
                     const ar_sink *sink, const ar_observer *observer) {
    (void)samples;
    return ar__walk_blocks(model, device, NULL, desc, sink, observer, NULL);
}

const ar_method ar__method_rtn = {"rtn", "round to nearest; no calibration data", false, run};
