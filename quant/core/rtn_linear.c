/* Codes, scales and zeros of weights on a device, and round to nearest there: what ar_qlinear_rtn does on the
 * host, with the same bits. */
#include "ar_error.h"
#include "core.h"
#include <math.h>
#include <stdlib.h>

/* Scales and zeros as the device gave them: sz (O, groups, 4). Under a scale that fp16 does not hold, which
 * the caller refuses, the rest may be NaN. */
static void take_plain(ar_qlinear *q, const float *sz) {
    for (int64_t i = 0; i < q->O * q->groups; i++) {
        q->scales[i] = ar_f32_to_f16(sz[4 * i]);
        q->zeros[i] = isfinite(sz[4 * i]) ? (uint8_t)sz[4 * i + 1] : 0;
        if (q->mins) q->mins[i] = ar_f32_to_f16(sz[4 * i + 2]);
    }
}

/* The products sz = (d sc, dmin mn) are exact, and so are the quotients. start (O, groups, 4): d, dmin; what
 * fp16 does not hold as in take_plain. */
static void take_super(ar_qlinear *q, const float *sz, const float *start) {
    int64_t per = AR_SUPER_BLOCK / q->scheme.group;
    for (int64_t i = 0; i < q->O * q->groups; i++) {
        float d = start[4 * i], dmin = start[4 * i + 1];
        q->d[i / per] = d != 0.0f ? ar_f32_to_f16(d) : 0; /* no negative zero */
        q->sub_scales[i] = d != 0.0f && isfinite(d) ? (int8_t)(sz[4 * i] / d) : 0;
        if (!q->dmin) continue;
        q->dmin[i / per] = ar_f32_to_f16(dmin);
        q->sub_mins[i] = dmin != 0.0f && isfinite(dmin) ? (uint8_t)(sz[4 * i + 1] / dmin) : 0;
    }
}

/* Codes and sz of one weight, recorded and run; the caller destroys *g. */
static ar_status run_codes(ar_graph **g, ar_tensor **codes, ar_tensor **sz, ar_device *device,
                           const ar_tensor *W, ar_tensor *made, const ar_tensor *range, const ar_fq_state *st,
                           const ar_fq_desc *fq) {
    AR_TRY(ar_graph_create(g, device));
    if (made) AR_TRY(ar_op_group_range(*g, made, W, &fq->scheme));
    AR_TRY(ar_op_fq_codes(*g, codes, sz, W, made ? made : range, st, fq));
    ar_graph_keep(*g, *codes);
    ar_graph_keep(*g, *sz);
    AR_TRY(ar_graph_build(*g));
    return ar_graph_run(*g);
}

ar_status ar__read_codes(ar_qlinear *q, ar_device *device, const ar_tensor *W, const ar_tensor *range,
                         const ar_fq_state *st, const ar_fq_desc *fq) {
    ar_status status = AR_OK;
    ar_graph *g = NULL;
    ar_tensor *made = NULL, *codes = NULL, *sz = NULL;
    float *host = NULL, *start = NULL;
    uint32_t *words = NULL;
    bool super = q->scheme.super != AR_SUPER_NONE;
    int64_t groups = q->O * q->groups, elems = q->O * q->I, word_count = (elems + 3) / 4;
    if (!range)
        AR_GO(ar_tensor_create(&made, device, AR_F32, 3, (const int64_t[]){q->O, q->groups, super ? 4 : 2}));
    AR_GO(run_codes(&g, &codes, &sz, device, W, made, range, st, fq));
    host = ar__alloc((size_t)groups, 4 * sizeof *host);
    words = ar__alloc((size_t)word_count, sizeof *words);
    if (!host || !words) AR_GO(AR_ERR_MEMORY);
    AR_GO(ar_tensor_read(codes, words, 0, word_count));
    AR_GO(ar_tensor_read(sz, host, 0, groups * 4));
    for (int64_t i = 0; i < elems; i++) q->codes[i] = (uint8_t)(words[i / 4] >> (8 * (i % 4)));
    if (super) {
        start = ar__alloc((size_t)groups, 4 * sizeof *start);
        if (!start) AR_GO(AR_ERR_MEMORY);
        AR_GO(ar_tensor_read(made ? made : range, start, 0, groups * 4));
        take_super(q, host, start);
    } else {
        take_plain(q, host);
    }
    AR_GO(ar__recompute(q, device, W, made ? made : range, st, fq));
done:
    free(host);
    free(start);
    free(words);
    ar_graph_destroy(g);
    ar_tensor_destroy(made);
    return status;
}

ar_status ar__rtn_block(ar_qlinear *q, const ar_block_weights *weights, const bool *skip, ar_device *device) {
    for (int32_t i = 0; i < weights->block->linear_count; i++) {
        if (skip[i]) continue;
        ar_fq_desc fq = {.scheme = q[i].scheme};
        AR_TRY(ar__read_codes(&q[i], device, weights->linears[i], NULL, &(ar_fq_state){0}, &fq));
    }
    return AR_OK;
}

/* q's scales alone, which a range (O, groups, 2) or start (O, groups, 4) decides when nothing is tuned. */
static void take_scales(ar_qlinear *q, const float *range) {
    int64_t per = q->supers ? AR_SUPER_BLOCK / q->scheme.group : 1;
    for (int64_t i = 0; i < q->O * q->groups; i++)
        if (!q->supers) {
            ar__group_scale(&q->scales[i], q->mins ? &q->mins[i] : NULL, &q->scheme, range + 2 * i);
        } else if (i % per == 0) {
            q->d[i / per] = ar_f32_to_f16(range[4 * i]);
            if (q->dmin) q->dmin[i / per] = ar_f32_to_f16(range[4 * i + 1]);
        }
}

static ar_status run_range(ar_device *device, ar_tensor *range, const ar_tensor *W, const ar_scheme *scheme) {
    ar_status status = AR_OK;
    ar_graph *g = NULL;
    AR_GO(ar_graph_create(&g, device));
    AR_GO(ar_op_group_range(g, range, W, scheme));
    AR_GO(ar_graph_build(g));
    AR_GO(ar_graph_run(g));
done:
    ar_graph_destroy(g);
    return status;
}

/* q: without codes, which are neither made nor read. */
static ar_status check_linear(ar_qlinear *q, ar_device *device, const ar_tensor *W, const char *name) {
    ar_status status = AR_OK;
    ar_tensor *range = NULL;
    float *host = NULL;
    bool super = q->scheme.super != AR_SUPER_NONE, has_mins = q->scheme.zero == AR_ZERO_F16MIN;
    int64_t each = super ? 4 : 2, count = q->O * q->groups * each;
    size_t scales = (size_t)(q->O * (super ? q->supers : q->groups));
    uint16_t **scale = super ? &q->d : &q->scales, **min = super ? &q->dmin : &q->mins;
    *scale = ar__alloc(scales, sizeof **scale);
    if (has_mins) *min = ar__alloc(scales, sizeof **min);
    host = ar__alloc((size_t)count, sizeof *host);
    if (!*scale || (has_mins && !*min) || !host) AR_GO(AR_ERR_MEMORY);
    AR_GO(ar_tensor_create(&range, device, AR_F32, 3, (const int64_t[]){q->O, q->groups, each}));
    AR_GO(run_range(device, range, W, &q->scheme));
    AR_GO(ar_tensor_read(range, host, 0, count));
    take_scales(q, host);
    AR_GO(ar_qlinear_check_scales(q, name, 0));
done:
    free(host);
    ar_tensor_destroy(range);
    ar_qlinear_deinit(q);
    return status;
}

ar_status ar__check_scales(const ar_block_weights *weights, const bool *skip, const ar_scheme *schemes,
                           ar_device *device) {
    char name[AR__WEIGHT_NAME];
    for (int32_t i = 0; i < weights->block->linear_count; i++) {
        const ar_linear *lin = &weights->block->linears[i];
        if (skip[i]) continue;
        ar_qlinear q = {.scheme = schemes[i], .O = lin->O, .I = lin->I};
        q.groups = ar_scheme_groups(&schemes[i], lin->I);
        q.supers = schemes[i].super != AR_SUPER_NONE ? lin->I / AR_SUPER_BLOCK : 0;
        ar__weight_name(name, weights->block, i);
        AR_TRY(check_linear(&q, device, weights->linears[i], name));
    }
    return AR_OK;
}

ar_status ar_rtn_linear(ar_qlinear *q, ar_device *device, const float *W) {
    ar_status status = AR_OK;
    ar_tensor *weight = NULL;
    if (q->O == 0) return AR_OK;
    AR_TRY(ar_quant_check_weights("weight", W, &q->scheme, 0, q->O, q->I));
    AR_GO(ar_tensor_create(&weight, device, AR_F32, 2, (const int64_t[]){q->O, q->I}));
    AR_GO(ar_tensor_write(weight, W, 0, q->O * q->I));
    AR_GO(ar__read_codes(q, device, weight, NULL, &(ar_fq_state){0}, &(ar_fq_desc){.scheme = q->scheme}));
    AR_GO(ar_qlinear_check_scales(q, "weight", 0));
done:
    ar_tensor_destroy(weight);
    return status;
}
