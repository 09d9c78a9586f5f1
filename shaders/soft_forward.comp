/* soft_forward: WQ = a S c(U) - M' with the soft code c (soft.h), M' = a M where the zero point is tied to
 * the scale, else b M; with `hard` the nearest code.
 *   U, WQ (rows, RV) hvec vectors: RV to a row, GV to a group
 *   GRID (rows, gpr): S, M   AB (rows, upr): a, b and their momenta   NG groups to an AB
 *   R (T, 4): beta, ...   At (1) step
 * One item per hvec. */
#include "soft.h"
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, HW, 4)
WGSIZE(WGX, WGY)
KERNEL(soft_forward)
RO(0, hvec, U) RO(1, float2, GRID) RO(2, float4, AB) WO(3, hvec, WQ) RO(4, float4, R) RO(5, int, At)
PARAMS P(uint, rows) P(uint, RV) P(uint, GV) P(uint, NG) P(uint, gpr) P(uint, upr) P(float, Q)
P(uint, tied) P(uint, hard)
LOCALS
BODY
    const uint i = GLIN;
    if (i < rows * RV) {
        const uint row = i / RV, at = (i - row * RV) / GV;
        const float2 grid = GRID[row * gpr + at];
        const float4 ab = AB[row * upr + at / NG];
        const float beta = R[TOU(At[0])].x, b = tied != 0u ? ab.x : ab.y;
        const hvec u = U[i];
        SOFT_CODE(hvec, HV, u, beta, Q)
        WQ[i] = HV(ab.x * grid.x) * (hard != 0u ? r : code) - HV(b * grid.y);
    }
END
