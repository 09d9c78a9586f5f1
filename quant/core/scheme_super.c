/* Round to nearest in double-quantized structures as plain f32 C (equations 7 to 11 of docs/methods.md
 * without anything tuned). */
#include "core.h"
#include "super_start.h"
#include <math.h>

static void store(ar_qlinear *q, const float *w, const ar__super_fit *fit, int64_t block) {
    int64_t G = q->scheme.group, per = AR_SUPER_BLOCK / G;
    float Q = (float)((1 << q->scheme.bits) - 1), zp = q->dmin ? 0.0f : (float)(1 << (q->scheme.bits - 1));
    q->d[block] = fit->d != 0.0f ? ar_f32_to_f16(fit->d) : 0; /* no negative zero */
    if (q->dmin) q->dmin[block] = ar_f32_to_f16(fit->dmin);
    for (int64_t k = 0; k < AR_SUPER_BLOCK; k++) {
        int64_t group = k / G;
        float s = fit->d * fit->i[group], m = fit->dmin * fit->j[group];
        float x = s != 0.0f ? (w[k] + m) / s : 0.0f;
        q->codes[block * AR_SUPER_BLOCK + k] = (uint8_t)fminf(fmaxf(rintf(x) + zp, 0.0f), Q);
        q->sub_scales[block * per + group] = (int8_t)fit->i[group];
        if (q->dmin) q->sub_mins[block * per + group] = (uint8_t)fit->j[group];
    }
}

ar_status ar__qlinear_rtn_super(ar_qlinear *q, const float *W) {
    for (int64_t block = 0; block < q->O * q->supers; block++) {
        ar__super_fit fit;
        ar__super_start(&fit, &q->scheme, W + block * AR_SUPER_BLOCK, NULL);
        store(q, W + block * AR_SUPER_BLOCK, &fit, block);
    }
    return ar_qlinear_check_scales(q, "weight", 0);
}
