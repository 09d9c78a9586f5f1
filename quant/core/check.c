/* What no code can stand for: weights that are not finite, and scales beyond fp16. Quantizing either invents
 * numbers without a word, so every path that makes codes asks here, before and after. And activations that
 * are not finite, from which nothing can be learned or measured. */
#include "ar_error.h"
#include "core.h"
#include <float.h>
#include <math.h>

/* No structure holds more than fp16's largest number times its multiples (at most 128) times its codes. The
 * limit is coarse: below it sums of cubes of weights stay finite, so that ar_qlinear_check_scales decides. */
static float weight_limit(const ar_scheme *scheme) { return 65504.0f * 128.0f * (float)(1 << scheme->bits); }

/* Without an early exit, so that it becomes vector code. */
static bool has_bad(const float *w, int64_t count, float limit) {
    int bad = 0;
    for (int64_t i = 0; i < count; i++) bad |= !(fabsf(w[i]) <= limit);
    return bad != 0;
}

static const char *name_of(float x) { return isnan(x) ? "NaN" : x > 0.0f ? "Inf" : "-Inf"; }

ar_status ar_quant_check_weights(const char *what, const float *W, const ar_scheme *scheme, int64_t row,
                                 int64_t rows, int64_t I) {
    float limit = scheme ? weight_limit(scheme) : FLT_MAX;
    for (int64_t r = 0; r < rows; r++) {
        const float *w = W + r * I;
        if (!has_bad(w, I, limit)) continue;
        int64_t i = 0;
        while (fabsf(w[i]) <= limit) i++;
        long long at[] = {row + r, i};
        if (isfinite(w[i]))
            return ar__fail(AR_ERR_FORMAT, "%s: found %g at row %lld, column %lld, expected at most %g", what,
                            (double)w[i], at[0], at[1], (double)limit);
        if (row < 0)
            return ar__fail(AR_ERR_FORMAT, "%s: found %s at element %lld, expected finite weights", what,
                            name_of(w[i]), at[1]);
        return ar__fail(AR_ERR_FORMAT, "%s: found %s at row %lld, column %lld, expected finite weights", what,
                        name_of(w[i]), at[0], at[1]);
    }
    return AR_OK;
}

ar_status ar__chain_check(const ar_chain *c, const char *what) {
    for (int64_t row = 0; row < c->rows; row++) {
        const float *x = c->data + row * c->width;
        if (!has_bad(x, c->width, FLT_MAX)) continue;
        int64_t i = 0;
        while (isfinite(x[i])) i++;
        return ar__fail(AR_ERR_FORMAT, "%s: found %s at token %lld, column %lld, expected finite activations",
                        what, name_of(x[i]), (long long)row, (long long)i);
    }
    return AR_OK;
}

ar_status ar_qlinear_check_scales(const ar_qlinear *q, const char *what, int64_t row) {
    const uint16_t *scales = q->d ? q->d : q->scales, *mins = q->d ? q->dmin : q->mins;
    int64_t each = q->d ? q->supers : q->groups, width = q->d        ? AR_SUPER_BLOCK
                                                         : each == 1 ? q->I
                                                                     : q->scheme.group;
    for (int64_t k = 0; k < q->O * each; k++) {
        bool no_scale = (scales[k] & 0x7c00) == 0x7c00, no_min = mins && (mins[k] & 0x7c00) == 0x7c00;
        if (no_scale || no_min)
            return ar__fail(
                AR_ERR_FORMAT,
                "%s: found weights from row %lld, column %lld on whose %s is beyond fp16's range, "
                "expected at most 65504",
                what, (long long)(row + k / each), (long long)(k % each * width),
                no_scale ? "scale" : "minimum");
    }
    return AR_OK;
}
