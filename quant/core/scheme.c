/* Quantized linears in host memory, and the quantizer as plain f32 C: the scalar truth that devices and file
 * readers are compared with. Equations: docs/methods.md. No tuning here: V = 0, range coefficients 1. */
#include "ar_error.h"
#include "core.h"
#include <math.h>
#include <stdlib.h>

static const float scale_min = 1.001358032e-5f; /* fp16(1e-5) */

static ar_status init_super(ar_qlinear *q, bool has_mins) {
    if (q->I % AR_SUPER_BLOCK != 0)
        return ar__fail(AR_ERR_SHAPE, "quantized linear: found %lld inputs, expected a multiple of %d",
                        (long long)q->I, AR_SUPER_BLOCK);
    size_t rows = (size_t)q->O, groups = rows * (size_t)q->groups;
    q->supers = q->I / AR_SUPER_BLOCK;
    q->codes = ar__alloc(rows, (size_t)q->I);
    q->d = ar__alloc(rows * (size_t)q->supers, sizeof *q->d);
    q->sub_scales = ar__alloc(groups, sizeof *q->sub_scales);
    if (has_mins) q->dmin = ar__alloc(rows * (size_t)q->supers, sizeof *q->dmin);
    if (has_mins) q->sub_mins = ar__alloc(groups, sizeof *q->sub_mins);
    if (q->codes && q->d && q->sub_scales && (!has_mins || (q->dmin && q->sub_mins))) return AR_OK;
    ar_qlinear_deinit(q);
    return AR_ERR_MEMORY;
}

ar_status ar_qlinear_init(ar_qlinear *q, const ar_scheme *scheme, int64_t O, int64_t I) {
    *q = (ar_qlinear){0};
    AR_TRY(ar_scheme_check(scheme));
    if (O < 0 || I < 1 || O > INT32_MAX || I > INT32_MAX)
        return ar__fail(AR_ERR_SHAPE, "quantized linear: shape (%lld, %lld)", (long long)O, (long long)I);
    q->scheme = *scheme;
    q->O = O;
    q->I = I;
    q->groups = ar_scheme_groups(scheme, I);
    size_t rows = (size_t)O, groups = rows * (size_t)q->groups;
    bool has_mins = scheme->zero == AR_ZERO_F16MIN;
    if (scheme->super != AR_SUPER_NONE) return init_super(q, has_mins);
    q->codes = ar__alloc(rows, (size_t)I);
    q->scales = q->codes ? ar__alloc(groups, sizeof *q->scales) : NULL;
    q->zeros = q->scales ? ar__alloc(groups, 1) : NULL;
    q->mins = q->zeros && has_mins ? ar__alloc(groups, sizeof *q->mins) : NULL;
    if (q->zeros && (q->mins || !has_mins)) return AR_OK;
    ar_qlinear_deinit(q);
    return AR_ERR_MEMORY;
}

void ar_qlinear_deinit(ar_qlinear *q) {
    if (!q) return;
    free(q->codes);
    free(q->scales);
    free(q->zeros);
    free(q->mins);
    free(q->d);
    free(q->dmin);
    free(q->sub_scales);
    free(q->sub_mins);
    ar_qlinear_drop_extras(q);
    *q = (ar_qlinear){0};
}

void ar_qlinear_free(ar_qlinear *q) {
    if (q) ar_qlinear_deinit(q);
    free(q);
}

static int64_t group_size(const ar_qlinear *q) { return q->groups == 1 ? q->I : q->scheme.group; }

/* The scales of one group are products rounded to f32, as the readers of GGUF's K types have them. */
static void dequant_super(float *dst, const ar_qlinear *q) {
    int64_t G = q->scheme.group;
    float middle = (float)(1 << (q->scheme.bits - 1));
    for (int64_t group = 0; group < q->O * q->groups; group++) {
        int64_t super = group * G / AR_SUPER_BLOCK;
        float scale = ar_f16_to_f32(q->d[super]) * (float)q->sub_scales[group];
        float min = q->dmin ? ar_f16_to_f32(q->dmin[super]) * (float)q->sub_mins[group] : 0.0f;
        for (int64_t at = group * G; at < (group + 1) * G; at++)
            dst[at] = q->dmin ? scale * (float)q->codes[at] - min : scale * ((float)q->codes[at] - middle);
    }
}

void ar_qlinear_dequant(float *dst, const ar_qlinear *q) {
    if (q->scheme.super != AR_SUPER_NONE) {
        dequant_super(dst, q);
        return;
    }
    int64_t G = group_size(q);
    for (int64_t o = 0; o < q->O; o++)
        for (int64_t i = 0; i < q->I; i++) {
            int64_t group = o * q->groups + i / G, at = o * q->I + i;
            float s = ar_f16_to_f32(q->scales[group]), code = (float)q->codes[at];
            dst[at] =
                q->mins ? s * code + ar_f16_to_f32(q->mins[group]) : s * (code - (float)q->zeros[group]);
        }
}

void ar__qlinear_grid(float *grid, const ar_qlinear *q) {
    for (int64_t i = 0; i < q->O * q->groups; i++) {
        int64_t super = q->supers ? i / (AR_SUPER_BLOCK / q->scheme.group) : 0;
        float S = q->d ? ar_f16_to_f32(q->d[super]) * (float)q->sub_scales[i] : ar_f16_to_f32(q->scales[i]);
        grid[2 * i] = S;
        if (q->dmin)
            grid[2 * i + 1] = ar_f16_to_f32(q->dmin[super]) * (float)q->sub_mins[i];
        else if (q->mins)
            grid[2 * i + 1] = -ar_f16_to_f32(q->mins[i]);
        else
            grid[2 * i + 1] = S * (q->d ? (float)(1 << (q->scheme.bits - 1)) : (float)q->zeros[i]);
    }
}

void ar__group_grid(float *s, float *zp, const ar_scheme *scheme, float lo, float hi) {
    float Q = (float)((1 << scheme->bits) - 1);
    if (scheme->zero == AR_ZERO_SYM) {
        float M = (float)(1 << (scheme->bits - 1)), top = (-lo > hi ? -lo : hi) / M;
        *s = ar_f16_to_f32(ar_f32_to_f16(hi < -lo ? top : -top));
        *s = *s < 0.0f ? fminf(*s, -scale_min) : fmaxf(*s, scale_min);
        *zp = M;
        return;
    }
    *s = fmaxf(ar_f16_to_f32(ar_f32_to_f16((hi - lo) / Q)), scale_min);
    *zp = fminf(fmaxf(rintf(-lo / *s), (float)scheme->zero_min), Q);
}

void ar__group_scale(uint16_t *scale, uint16_t *min, const ar_scheme *scheme, const float range[2]) {
    float s, zp;
    ar__group_grid(&s, &zp, scheme, range[0], range[1]);
    *scale = ar_f32_to_f16(s);
    if (min) *min = ar_f32_to_f16(-zp * s);
}

ar_status ar_qlinear_rtn(ar_qlinear *q, const float *W) {
    AR_TRY(ar_quant_check_weights("weight", W, &q->scheme, 0, q->O, q->I));
    if (q->scheme.super != AR_SUPER_NONE) return ar__qlinear_rtn_super(q, W);
    int64_t G = group_size(q);
    float Q = (float)((1 << q->scheme.bits) - 1);
    for (int64_t o = 0; o < q->O; o++)
        for (int64_t j = 0; j < q->groups; j++) {
            int64_t group = o * q->groups + j, from = o * q->I + j * G, end = from + G;
            if (end > (o + 1) * q->I) end = (o + 1) * q->I;
            float lo = 0.0f, hi = 0.0f, s, zp;
            for (int64_t i = from; i < end; i++) {
                lo = fminf(lo, W[i]);
                hi = fmaxf(hi, W[i]);
            }
            ar__group_grid(&s, &zp, &q->scheme, lo, hi);
            for (int64_t i = from; i < end; i++)
                q->codes[i] = (uint8_t)fminf(fmaxf(rintf(W[i] / s) + zp, 0.0f), Q);
            q->scales[group] = ar_f32_to_f16(s);
            q->zeros[group] = (uint8_t)zp;
            if (q->mins) q->mins[group] = ar_f32_to_f16(-zp * s);
        }
    return ar_qlinear_check_scales(q, "weight", 0);
}

void ar_stored_deinit(ar_stored *s) {
    ar_qlinear_free(s->codes);
    free(s->row_order);
    free(s->rows);
    *s = (ar_stored){0};
}
