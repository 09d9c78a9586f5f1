/* mse_bwd: dY[i] = 2 scale weight[row] (Y[i] - R[i]) dloss[0], added when acc != 0; scale = 1 / (N I), R the
 * target, row = (start + i) / I. has_weight = 0: all rows count 1 (weight is not read). One item per
 * element. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(mse_bwd)
RO(0, float, Y) RO(1, float, R) RO(2, float, weight) RO(3, float, dloss) RW(4, float, dY)
PARAMS P(uint, n) P(uint, start) P(uint, I) P(uint, has_weight) P(uint, acc) P(float, scale)
LOCALS
BODY
    uint i = GLIN;
    if (i >= n) return;
    float v = 2.0f * scale * (Y[i] - R[i]) * dloss[0];
    if (has_weight != 0u) v *= weight[(start + i) / I];
    if (acc != 0u) v += dY[i];
    dY[i] = v;
END
