/* mse_bwd: dY[i] = 2 scale weight[row] (Y[i] - R[i]) dloss[0], added when acc != 0; scale = 1 / (N I), R the
 * target, row = (start + i) / I. has_weight = 0: all rows count 1 (weight is not read). One item per
 * element or, with QUADS, which n, start and I are then multiples of, per four. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, QUADS, 0)
WGSIZE(WGX, WGY)
KERNEL(mse_bwd)
RO(0, float, Y) RO(1, float, R) RO(2, float, weight) RO(3, float, dloss) RW(4, float, dY)
PARAMS P(uint, n) P(uint, start) P(uint, I) P(uint, has_weight) P(uint, acc) P(float, scale)
LOCALS VIEW(0, float4, Y4, Y) VIEW(1, float4, R4, R) RW_VIEW(4, float4, dY4, dY)
BODY
    uint i = GLIN * (QUADS != 0u ? 4u : 1u);
    if (i >= n) return;
    if (QUADS != 0u) {
        float4 u = F4S(2.0f * scale) * (Y4[i / 4u] - R4[i / 4u]) * F4S(dloss[0]);
        if (has_weight != 0u) u = u * F4S(weight[(start + i) / I]);
        if (acc != 0u) u = u + dY4[i / 4u];
        dY4[i / 4u] = u;
        return;
    }
    float v = 2.0f * scale * (Y[i] - R[i]) * dloss[0];
    if (has_weight != 0u) v *= weight[(start + i) / I];
    if (acc != 0u) v += dY[i];
    dY[i] = v;
END
