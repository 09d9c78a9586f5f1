/* frozen_start: where weights lie on their group's grid, as U = f + t: f = clamp(floor u, -1, Q) of
 * u = (W + M) / S, t such that its code f + 1.2 t - .1 is u, but for .001 at either end.
 *   W, U (rows, I)   GRID (rows, gpr): S, M of w = S c - M   G weights to a group, the last may be short
 * One item per group. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(frozen_start)
RO(0, float, W) RO(1, float2, GRID) WO(2, float, U)
PARAMS P(uint, rows) P(uint, I) P(uint, G) P(uint, gpr) P(float, Q)
LOCALS
BODY
    const uint g = GLIN;
    if (g < rows * gpr) {
        const uint row = g / gpr, from = (g - row * gpr) * G, to = min(from + G, I);
        const float2 grid = GRID[g];
        const float y = FABS(grid.x) > 0.0f ? 1.0f / grid.x : 0.0f;
        for (uint c = row * I + from; c < row * I + to; c++) {
            const float u = (W[c] + grid.y) * y, f = floor(u), part = clamp(u - f, 0.001f, 0.999f);
            U[c] = clamp(f, -1.0f, Q) + (part + 0.1f) / 1.2f;
        }
    }
END
