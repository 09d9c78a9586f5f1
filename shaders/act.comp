/* act: y = f(x) with f by kind: 0 relu(x) = max(x, 0); 1 gelu(x) = x (1 + erf(x / sqrt 2)) / 2; 2 its tanh
 * form, x s(2 u) with s(a) = 1 / (1 + exp(-a)), u = sqrt(2 / pi) (x + 0.044715 x^3)     (Hendrycks & Gimpel
 * 2016, arXiv 1606.08415; (1 + tanh u) / 2 = s(2 u))
 *   x, y: n elements, read by vectors of VW lanes; the last one may reach into the padding of the buffers
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
KERNEL(act)
RO(0, fvec, X) WO(1, fvec, Y)
PARAMS P(uint, n) P(uint, kind)
LOCALS
BODY
    if (GLIN * VW < n) {
        fvec x = X[GLIN], y = max(x, FV(0.0f));
        if (kind == 1u) {
            fvec z = x * FV(0.70710678f);
            y = FV(0.5f) * x * (FV(1.0f) + erf_of(z, exp(-min(z * z, FV(80.0f)))));
        } else if (kind == 2u) {
            fvec a = FV(1.5957691216f) * (x + FV(0.044715f) * x * x * x);
            y = x / (FV(1.0f) + exp(clamp(-a, FV(-80.0f), FV(80.0f))));
        }
        Y[GLIN] = y;
    }
END
