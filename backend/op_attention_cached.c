/* Attention of one new token a sequence over its key and value caches, and the append to a cache. */
#include "op.h"
#include <math.h>

ar_status ar_op_cache_append(ar_graph *g, ar_tensor *cache, const ar_tensor *x, const ar_tensor *pos) {
    AR_TRY(ar__expect("cache_append x", x, AR_F32, 2, (int64_t[]){-1, -1}));
    AR_TRY(ar__expect("cache_append pos", pos, AR_I32, 1, (int64_t[]){1}));
    if (cache->dim_count != 3 || cache->dims[0] != x->dims[0] || cache->dims[2] != x->dims[1] || cache->dtype != AR_F32)
        return ar__fail(AR_ERR_SHAPE, "cache_append: cache is (%lld, %lld, %lld), x is (%lld, %lld)", (long long)cache->dims[0],
                        (long long)cache->dims[1], (long long)cache->dims[2], (long long)x->dims[0], (long long)x->dims[1]);
    uint32_t wg = ar__graph_device(g)->plan.wg;
    struct {
        uint32_t count, C, I;
    } p = {(uint32_t)ar_tensor_count(x), (uint32_t)cache->dims[1], (uint32_t)cache->dims[2]};
    if (p.count == 0) return AR_OK;
    ar__emit_desc d = {.kernel = AR_K_cache_append, .specs = {wg, 1}, .params = &p,
                       .operands = {{cache, 0, 0}, {x, 0, 0}, {pos, 0, 0}}, .bytes = 8.0 * p.count};
    ar__groups_1d(ar__graph_device(g), d.groups, p.count, wg);
    return ar__emit(g, &d);
}

ar_status ar_op_attention_cached(ar_graph *g, ar_tensor **y, const ar_tensor *q, const ar_tensor *k_cache,
                                 const ar_tensor *v_cache, const ar_tensor *pos, int32_t D) {
    *y = NULL;
    AR_TRY(ar__expect("attention_cached q", q, AR_F32, 2, (int64_t[]){-1, -1}));
    AR_TRY(ar__expect("attention_cached pos", pos, AR_I32, 1, (int64_t[]){1}));
    int64_t B = q->dims[0], C = k_cache->dims[1], width = k_cache->dims[2];
    if (D < 4 || D % 4 || D > 512) return ar__fail(AR_ERR_ARG, "attention_cached: D %d, expected a multiple of 4 up to 512", D);
    if (k_cache->dim_count != 3 || v_cache->dim_count != 3 || k_cache->dims[0] != B || v_cache->dims[0] != B || v_cache->dims[1] != C ||
        v_cache->dims[2] != width || q->dims[1] % D || width % D || width == 0 || q->dims[1] % width)
        return ar__fail(AR_ERR_SHAPE, "attention_cached: q is (%lld, %lld), caches (%lld, %lld, %lld), D %d", (long long)B,
                        (long long)q->dims[1], (long long)k_cache->dims[0], (long long)C, (long long)width, D);
    ar_device *device = ar__graph_device(g);
    uint32_t wg = device->plan.attn_wg;
    struct {
        uint32_t items, C, H, KH;
        float scale;
    } p = {(uint32_t)(B * q->dims[1] / D), (uint32_t)C, (uint32_t)(q->dims[1] / D), (uint32_t)(width / D),
           (float)(1.0 / sqrt((double)D))};
    ar_tensor *out = NULL;
    AR_TRY(ar__output(g, &out, AR_F32, 2, q->dims, NULL, NULL, NULL));
    *y = out;
    if (p.items == 0) return AR_OK;
    ar__emit_desc d = {.kernel = AR_K_attention_cached, .specs = {wg, 1, (uint32_t)D / 4}, .params = &p,
                       .operands = {{q, 0, 0}, {k_cache, 0, 0}, {v_cache, 0, 0}, {pos, 0, 0}, {out, 0, 0}},
                       .flops = 4.0 * (double)B * (double)q->dims[1] * (double)C / 2, .bytes = 4.0 * (double)B * (double)width * (double)C};
    ar__groups_1d(device, d.groups, p.items, wg);
    return ar__emit(g, &d);
}
