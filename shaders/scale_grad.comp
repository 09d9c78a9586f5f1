/* scale_grad: D += the gradients of scale_forward's a and b,
 *   da = sum DW (S c - M), or where M is on its own da = sum DW S c and db = -sum DW M
 *   C (rows, words): codes, four to a word, rows padded   DW (rows, I)
 *   G weights to a group, the last may be short   GRID (rows, gpr): S, M   D (rows, upr)   NG groups to a D
 * One item per D, its groups in order: equal inputs give equal bits. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(scale_grad)
RO(0, uint, C) RO(1, float2, GRID) RW(2, float2, D) RO(3, float, DW)
PARAMS P(uint, rows) P(uint, I) P(uint, words) P(uint, G) P(uint, NG) P(uint, gpr) P(uint, upr) P(uint, tied)
LOCALS
BODY
    const uint n = GLIN;
    if (n < rows * upr) {
        const uint row = n / upr, first = (n - row * upr) * NG;
        float da = 0.0f, db = 0.0f;
        for (uint k = first; k < min(first + NG, gpr); k++) {
            const float2 grid = GRID[row * gpr + k];
            float sc = 0.0f, sd = 0.0f;
            for (uint col = k * G; col < min((k + 1u) * G, I); col++) {
                const float d = DW[row * I + col];
                sc += d * TOF((C[row * words + col / 4u] >> (8u * (col & 3u))) & 255u);
                sd += d;
            }
            da += grid.x * sc;
            db -= grid.y * sd;
        }
        if (tied != 0u) {
            da += db;
            db = 0.0f;
        }
        D[n] = D[n] + F2(da, db);
    }
END
