/* soft_start: where weights lie on their group's grid, U = clamp((W + M) / S, -1, Q + 1).
 *   W, U (rows, I)   GRID (rows, gpr): S, M of w = S c - M   G weights to a group, the last may be short
 * One item per group. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(soft_start)
RO(0, float, W) RO(1, float2, GRID) WO(2, float, U)
PARAMS P(uint, rows) P(uint, I) P(uint, G) P(uint, gpr) P(float, Q)
LOCALS
BODY
    const uint g = GLIN;
    if (g < rows * gpr) {
        const uint row = g / gpr, from = (g - row * gpr) * G, to = min(from + G, I);
        const float2 grid = GRID[g];
        const float y = FABS(grid.x) > 0.0f ? 1.0f / grid.x : 0.0f;
        for (uint c = row * I + from; c < row * I + to; c++)
            U[c] = clamp((W[c] + grid.y) * y, -1.0f, Q + 1.0f);
    }
END
