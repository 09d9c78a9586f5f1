/* Activations and their slopes by kind (ar_act): 0 relu(x) = max(x, 0); 1 gelu(x) = x (1 + erf(x / sqrt 2)) /
 * 2; 2 its tanh form, x s(2 u) with s(a) = 1 / (1 + exp(-a)), u = sqrt(2 / pi) (x + 0.044715 x^3) (Hendrycks
 * & Gimpel 2016, arXiv 1606.08415; (1 + tanh u) / 2 = s(2 u)); 3 silu(x) = x s(x), with -x clamped so that
 * exp stays finite: silu is 0 there to 1e-33. Slopes: relu' = 1 where x > 0; gelu' = (1 + erf(x / sqrt 2)) /
 * 2 + x exp(-x^2 / 2) / sqrt(2 pi); with s = s(a), a = 2 u: gelu' = s + x s (1 - s) a', a' = sqrt(8 / pi) (1
 * + 0.134145 x^2); silu' = s (1 + x (1 - s)). */

/* erf by Abramowitz & Stegun 7.1.26: off by at most 1.5e-7. e = exp(-z^2). */
FN fvec erf_of(fvec z, fvec e) {
    fvec t = FV(1.0f) / (FV(1.0f) + FV(0.3275911f) * FABS(z));
    fvec p = FV(-1.453152027f) + t * FV(1.061405429f);
    p = t * (FV(0.254829592f) + t * (FV(-0.284496736f) + t * (FV(1.421413741f) + t * p)));
    return clamp(z * FV(1e30f), FV(-1.0f), FV(1.0f)) * (FV(1.0f) - p * e);
}

FN fvec act_of(fvec x, uint kind) {
    if (kind == 1u) {
        fvec z = x * FV(0.70710678f);
        return FV(0.5f) * x * (FV(1.0f) + erf_of(z, exp(-min(z * z, FV(80.0f)))));
    }
    if (kind == 2u) {
        fvec a = FV(1.5957691216f) * (x + FV(0.044715f) * x * x * x);
        return x / (FV(1.0f) + exp(clamp(-a, FV(-80.0f), FV(80.0f))));
    }
    if (kind == 3u) return x / (FV(1.0f) + exp(min(-x, FV(80.0f))));
    return max(x, FV(0.0f));
}

FN fvec act_slope(fvec x, uint kind) {
    fvec one = FV(1.0f);
    if (kind == 1u) {
        fvec z = x * FV(0.70710678f), e = exp(-min(z * z, FV(80.0f)));
        return FV(0.5f) * (one + erf_of(z, e)) + x * e * FV(0.39894228f);
    }
    if (kind == 2u) {
        fvec a = FV(1.5957691216f) * (x + FV(0.044715f) * x * x * x);
        fvec s = one / (one + exp(clamp(-a, FV(-80.0f), FV(80.0f))));
        return s + x * s * (one - s) * FV(1.5957691216f) * (one + FV(0.134145f) * x * x);
    }
    if (kind == 3u) {
        fvec s = one / (one + exp(min(-x, FV(80.0f))));
        return s * (one + x * (one - s));
    }
    return clamp(x * FV(1e38f), FV(0.0f), one);
}

/* da = dy b f'(a), db = dy f(a) of y = f(a) b; with one exp where f is silu. */
#define GATED_GRADS(da, db, a, b, dy, kind)                                                                  \
    if ((kind) == 3u) {                                                                                      \
        fvec one_ = FV(1.0f), g_ = one_ / (one_ + exp(min(-(a), FV(80.0f))));                                \
        da = (dy) * (b)*g_ * (one_ + (a) * (one_ - g_));                                                     \
        db = (dy) * (a)*g_;                                                                                  \
    } else {                                                                                                 \
        da = (dy) * (b)*act_slope(a, kind);                                                                  \
        db = (dy)*act_of(a, kind);                                                                           \
    }
