/* lbn_fold: what a norm with known statistics is: y = a_c x + b_c,  a = gamma / sqrt(var + eps),
 * b = beta - a mu.
 *   gamma, beta (C)   stat (.., 2) = mu, var, number c by_channel   fold (C, 2) = a, b
 * One item per channel. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(lbn_fold)
RO(0, float, gamma) RO(1, float, beta) RO(2, float2, stat) WO(3, float2, fold)
PARAMS P(uint, C) P(uint, by_channel) P(float, eps)
LOCALS
BODY
    if (GLIN < C) {
        float2 s = stat[GLIN * by_channel];
        float a = gamma[GLIN] / sqrt(s.y + eps);
        fold[GLIN] = F2(a, beta[GLIN] - a * s.x);
    }
END
