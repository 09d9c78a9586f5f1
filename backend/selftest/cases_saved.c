/* What a backward reads again, kept as fp16 (shaders/save_half.comp). */
#include "selftest.h"
#include "ref.h"
#include <math.h>

/* Numbers of all sizes next to each other: massive activations, beyond fp16's largest, beside small ones,
 * blocks of small ones alone, zeros, now and then an infinity. */
static float wild(ar__st *st, int64_t i) {
    static const float rare[] = {0.0f, -0.0f, 1e4f, -1e5f, 65504.0f, 65520.0f, 3e38f, -INFINITY};
    uint64_t r = ar__st_random(st);
    float sign = r & 1 ? -1.0f : 1.0f, mantissa = 1.0f + (float)(r >> 8 & 0x7fffff) * 0x1p-23f;
    if ((r >> 32) % 97 == 0) return rare[(r >> 40) % (i < 4096 ? 8 : 6)];
    int32_t low = i / 2048 % 2 ? -60 : -30;
    return sign * ldexpf(mantissa, low + (int32_t)((r >> 48) % 40));
}

/* p: blocks; 1: of wild numbers. */
ar_status ar__st_saved(ar__st *st, const int32_t *p) {
    int64_t n = (int64_t)p[0] * AR__SAVED_BLOCK;
    float *values = NULL;
    double *x = NULL, *want = NULL;
    float *bits = NULL;
    ar_tensor *tx = NULL, *y = NULL, *half = NULL, *inverse = NULL;
    AR_TRY(ar__st_normal(st, &values, n, 1.0f));
    for (int64_t i = 0; i < n && p[1]; i++) values[i] = wild(st, i);
    AR_TRY(ar__st_doubles(st, &x, values, n));
    AR_TRY(ar__st_doubles(st, &want, NULL, n));
    AR_TRY(ar__st_array(st, (void **)&bits, n, sizeof *bits));
    ref_saved(want, x, p[0], (int)st->device->plan.vw);
    AR_TRY(ar__st_tensor(st, &tx, AR_F32, n, 0, values));
    AR_TRY(ar__st_tensor(st, &y, AR_F32, n, 0, NULL));
    AR_TRY(ar__save_half(st->g, &half, &inverse, tx));
    AR_TRY(ar__load_half(st->g, y, half, inverse));
    AR_TRY(ar__st_run(st));
    for (int64_t i = 0; i < n; i++) bits[i] = (float)want[i];
    return ar__st_exact(st, "save_half load_half", y, bits);
}

/* p: blocks, kind. dup lies over dy. */
ar_status ar__st_gated_saved(ar__st *st, const int32_t *p) {
    int64_t n = (int64_t)p[0] * AR__SAVED_BLOCK;
    int32_t vw = (int32_t)st->device->plan.vw;
    double *x[2], *kept[2], *dy = NULL, *want[2];
    ar_tensor *tx[2], *tdy = NULL, *dgate = NULL, *half = NULL, *inverse = NULL;
    ar__saved_pair f;
    for (int k = 0; k < 2; k++) {
        AR_TRY(ar__st_leaf(st, &tx[k], &x[k], n, 0, 2.0f));
        AR_TRY(ar__st_doubles(st, &kept[k], NULL, n));
        AR_TRY(ar__st_doubles(st, &want[k], NULL, n));
        ref_saved(kept[k], x[k], p[0], vw);
        AR_TRY(ar__save_half(st->g, &half, &inverse, tx[k]));
        f.half[k] = half, f.inverse[k] = inverse;
    }
    AR_TRY(ar__st_leaf(st, &tdy, &dy, n, 0, 1.0f));
    AR_TRY(ar__st_tensor(st, &dgate, AR_F32, n, 0, NULL));
    ref_gated_grad(want[0], want[1], dy, kept[0], kept[1], p[1], (int)n);
    AR_TRY(ar__gated_grad_saved(st->g, dgate, tdy, &f, (uint32_t)p[1]));
    AR_TRY(ar__st_run(st));
    AR_TRY(ar__st_compare(st, "gated_grad_saved", dgate, want[0]));
    return ar__st_compare(st, "gated_grad_saved", tdy, want[1]);
}
