/* act_grad: dx (+)= dy f'(x), f and kind as in act: relu' = 1 where x > 0; gelu' = (1 + erf(x / sqrt 2)) / 2
 * + x exp(-x^2 / 2) / sqrt(2 pi); with s = s(a), a = 2 u: gelu' = s + x s (1 - s) a', a' = sqrt(8 / pi) (1 +
 * 0.134145 x^2).
 *   x, dy, dx: n elements, read by vectors of VW lanes; the last may reach into the padding   acc = 1 adds to
 *   dx
 * One item per vector. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
/* erf by Abramowitz & Stegun 7.1.26: off by at most 1.5e-7. e = exp(-z^2). */
FN fvec erf_of(fvec z, fvec e) {
    fvec t = FV(1.0f) / (FV(1.0f) + FV(0.3275911f) * FABS(z));
    fvec p = t * (FV(0.254829592f) + t * (FV(-0.284496736f) + t * (FV(1.421413741f) +
        t * (FV(-1.453152027f) + t * FV(1.061405429f)))));
    return clamp(z * FV(1e30f), FV(-1.0f), FV(1.0f)) * (FV(1.0f) - p * e);
}
KERNEL(act_grad)
RO(0, fvec, X) RO(1, fvec, dY) RW(2, fvec, dX)
PARAMS P(uint, n) P(uint, kind) P(uint, acc)
LOCALS
BODY
    if (GLIN * VW < n) {
        fvec x = X[GLIN], one = FV(1.0f), d = clamp(x * FV(1e38f), FV(0.0f), one);
        if (kind == 1u) {
            fvec z = x * FV(0.70710678f), e = exp(-min(z * z, FV(80.0f)));
            d = FV(0.5f) * (one + erf_of(z, e)) + x * e * FV(0.39894228f);
        } else if (kind == 2u) {
            fvec a = FV(1.5957691216f) * (x + FV(0.044715f) * x * x * x);
            fvec s = one / (one + exp(clamp(-a, FV(-80.0f), FV(80.0f))));
            d = s + x * s * (one - s) * FV(1.5957691216f) * (one + FV(0.134145f) * x * x);
        }
        d *= dY[GLIN];
        if (acc != 0u) d += dX[GLIN];
        dX[GLIN] = d;
    }
END
