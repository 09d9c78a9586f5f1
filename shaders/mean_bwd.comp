/* mean_bwd: dX[i] = dm[0] * scale, added when acc != 0; n floats, scale = 1 / count. One item per element. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(mean_bwd)
RO(0, float, dm) RW(1, float, dX)
PARAMS P(uint, n) P(uint, acc) P(float, scale)
LOCALS
BODY
    uint i = GLIN;
    if (i >= n) return;
    float v = dm[0] * scale;
    if (acc != 0u) v += dX[i];
    dX[i] = v;
END
