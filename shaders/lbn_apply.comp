/* lbn_apply: y = gamma_c (x - mu) r + beta_c,  r = 1 / sqrt(var + eps)
 *   x, y (images places, C)   gamma, beta (C)   stat (.., 2) = mu, var, number
 *   (first + b) by_image + c by_channel
 * One item per element. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(lbn_apply)
RO(0, float, X) RO(1, float, gamma) RO(2, float, beta) RO(3, float2, stat) WO(4, float, Y)
PARAMS P(uint, images) P(uint, first) P(uint, places) P(uint, C) P(uint, by_image) P(uint, by_channel)
    P(float, eps)
LOCALS
BODY
    uint c = GLIN % C, b = GLIN / C / places;
    if (b < images) {
        float2 s = stat[(first + b) * by_image + c * by_channel];
        Y[GLIN] = gamma[c] * ((X[GLIN] - s.x) / sqrt(s.y + eps)) + beta[c];
    }
END
