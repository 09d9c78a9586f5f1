/* frozen_forward: WQ = a S c(U) - M' with the two-candidate code c (soft.h, FROZEN_CODE), M' = a M where the
 * zero point is tied to the scale, else b M; with `hard` the nearest code.
 *   U, WQ (rows, RV) hvec vectors: RV to a row, GV to a group
 *   GRID (rows, gpr): S, M   AB (units, 2): a, b and their moments   1 << nshift groups to an AB
 * The group of number i is (i / LV) gpr + (i % LV) / GV; shifts: see ar_divu. One item per hvec. */
#include "soft.h"
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, HW, 4)
WGSIZE(WGX, WGY)
KERNEL(frozen_forward)
RO(0, hvec, U) RO(1, float2, GRID) RO(2, float4, AB) WO(3, hvec, WQ)
PARAMS P(uint, rows) P(uint, RV) P(uint, LV) P(uint, lshift) P(uint, GV) P(uint, gshift) P(uint, gpr)
P(uint, nshift) P(float, Q) P(uint, tied) P(uint, hard)
LOCALS
BODY
    const uint i = GLIN;
    if (i < rows * RV) {
        const uint l = ar_divu(i, LV, lshift), at = l * gpr + ar_divu(i - l * LV, GV, gshift);
        const float2 grid = GRID[at];
        const float4 ab = AB[2u * (at >> nshift)];
        const float b = tied != 0u ? ab.x : ab.y;
        const hvec u = U[i];
        FROZEN_CODE(hvec, HV, u, Q)
        WQ[i] = HV(ab.x * grid.x) * (hard != 0u ? r : code) - HV(b * grid.y);
    }
END
