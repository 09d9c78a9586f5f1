/* soft_forward: WQ = a S c(U) - M' with the soft code c (soft.h), M' = a M where the zero point is tied to
 * the scale, else b M; with `hard` the nearest code.
 *   U, WQ (rows, RV) hvec vectors: RV to a row, GV to a group
 *   GRID (rows, gpr): S, M   AB (units): a, b and their momenta   1 << nshift groups to an AB
 *   R (T, 4): beta, ...   At (1) step
 * The group of number i is (i / LV) gpr + (i % LV) / GV; shifts: see ar_divu. One item per hvec. */
#include "soft.h"
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, HW, 4)
WGSIZE(WGX, WGY)
KERNEL(soft_forward)
RO(0, hvec, U) RO(1, float2, GRID) RO(2, float4, AB) WO(3, hvec, WQ) RO(4, float4, R) RO(5, int, At)
PARAMS P(uint, rows) P(uint, RV) P(uint, LV) P(uint, lshift) P(uint, GV) P(uint, gshift) P(uint, gpr)
P(uint, nshift) P(float, Q) P(uint, tied) P(uint, hard)
LOCALS
BODY
    const uint i = GLIN;
    const float beta = R[TOU(At[0])].x, moves = hard != 0u ? 0.0f : 1.0f;
    SOFT_BETA(beta)
    if (i < rows * RV) {
        const uint l = ar_divu(i, LV, lshift), at = l * gpr + ar_divu(i - l * LV, GV, gshift);
        const float2 grid = GRID[at];
        const float4 ab = AB[at >> nshift];
        const float b = tied != 0u ? ab.x : ab.y;
        const hvec u = U[i];
        SOFT_CODE(hvec, HV, HV_LESS, SOFT_LOWV, SOFT_HIGHV, u, beta, Q)
        WQ[i] = HV(ab.x * grid.x) * (r + HV(moves) * shift) - HV(b * grid.y);
    }
END
