/* scale_forward: WQ = a S c - M' of codes that stay, M' = a M where the zero point is tied to the scale,
 * else b M.
 *   C (rows, words): codes, four to a word, rows padded   WQ (rows, I)
 *   G weights to a group, the last may be short   GRID (rows, gpr): S, M
 *   AB (rows, upr): a, b   NG groups to an AB
 * One item per weight. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(scale_forward)
RO(0, uint, C) RO(1, float2, GRID) RO(2, float2, AB) WO(3, float, WQ)
PARAMS P(uint, rows) P(uint, I) P(uint, words) P(uint, G) P(uint, NG) P(uint, gpr) P(uint, upr) P(uint, tied)
LOCALS
BODY
    const uint i = GLIN;
    if (i < rows * I) {
        const uint row = i / I, col = i - row * I, at = col / G;
        const float2 grid = GRID[row * gpr + at], ab = AB[row * upr + at / NG];
        const float code = TOF((C[row * words + col / 4u] >> (8u * (col & 3u))) & 255u);
        WQ[i] = ab.x * grid.x * code - (tied != 0u ? ab.x : ab.y) * grid.y;
    }
END
