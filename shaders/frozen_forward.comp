/* frozen_forward: WQ = a S c(U) - M' with the two-candidate code c (soft.h, FROZEN_CODE), M' = a M where the
 * zero point is tied to the scale, else b M; with `hard` the nearest code.
 *   U, WQ (rows, RV) hvec vectors: RV to a row, GV to a group
 *   GRID (rows, gpr): S, M   AB (rows, upr, 2): a, b and their moments   NG groups to an AB
 * One item per hvec. */
#include "soft.h"
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, HW, 4)
WGSIZE(WGX, WGY)
KERNEL(frozen_forward)
RO(0, hvec, U) RO(1, float2, GRID) RO(2, float4, AB) WO(3, hvec, WQ)
PARAMS P(uint, rows) P(uint, RV) P(uint, GV) P(uint, NG) P(uint, gpr) P(uint, upr) P(float, Q)
P(uint, tied) P(uint, hard)
LOCALS
BODY
    const uint i = GLIN;
    if (i < rows * RV) {
        const uint row = i / RV, at = (i - row * RV) / GV;
        const float2 grid = GRID[row * gpr + at];
        const float4 ab = AB[2u * (row * upr + at / NG)];
        const float b = tied != 0u ? ab.x : ab.y;
        const hvec u = U[i];
        FROZEN_CODE(hvec, HV, u, Q)
        WQ[i] = HV(ab.x * grid.x) * (hard != 0u ? r : code) - HV(b * grid.y);
    }
END
