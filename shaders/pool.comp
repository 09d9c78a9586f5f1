/* pool: y[b, oh, ow, c] = the largest of x[b, oh stride + kh, ow stride + kw, c], kh, kw < K, or their mean
 * with mean = 1.
 *   x (B H W, C)   y, at (B OH OW, C): at = kh K + kw of the largest, the first of equals
 * One item per element of y. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(pool)
RO(0, float, X) WO(1, float, Y) WO(2, int, at)
PARAMS P(uint, images) P(uint, H) P(uint, W) P(uint, C) P(uint, K) P(uint, stride) P(uint, OH) P(uint, OW)
    P(uint, mean)
LOCALS
BODY
    uint c = GLIN % C, place = GLIN / C, b = place / (OH * OW);
    if (b < images) {
        uint top = (b * H + place / OW % OH * stride) * W + place % OW * stride, found = 0u;
        float best = X[top * C + c], sum = 0.0f;
        for (uint k = 0u; k < K * K; k++) {
            float x = X[(top + k / K * W + k % K) * C + c];
            sum += x;
            if (x > best) {
                best = x;
                found = k;
            }
        }
        Y[GLIN] = mean != 0u ? sum / TOF(K * K) : best;
        at[GLIN] = TOI(found);
    }
END
