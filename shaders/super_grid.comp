/* super_grid: the grid w = S c - M of every group of a double-quantized structure.
 *   START (n): d, dmin, multiples i, j   GRID (n): S = d i, M = dmin j, or d i zp where there is no dmin
 * One item per group. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(super_grid)
RO(0, float4, START) WO(1, float2, GRID)
PARAMS P(uint, n) P(uint, pairs) P(float, zp)
LOCALS
BODY
    const uint g = GLIN;
    if (g < n) {
        const float4 at = START[g];
        GRID[g] = F2(at.x * at.z, pairs != 0u ? at.y * at.w : at.x * at.z * zp);
    }
END
