/* soft_forward_any: WQ = a S c(U) - M' with the soft code c (soft.h), M' = a M where the zero point is tied
 * to
 * the scale, else b M; with `hard` the nearest code.
 *   U, WQ (rows, RV) numbers, RV to a row, GV to a group, the last of a row may be short
 *   GRID (rows, gpr): S, M   AB (units): a, b and their momenta   1 << nshift groups to an AB
 *   R (T, 4): beta, ...   At (1) step
 * The group of number i is (i / LV) gpr + (i % LV) / GV; shifts: see ar_divu. One item per float. */
#include "soft.h"
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(soft_forward_any)
RO(0, float, U) RO(1, float2, GRID) RO(2, float4, AB) WO(3, float, WQ) RO(4, float4, R) RO(5, int, At)
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
        const float u = U[i];
        SOFT_CODE(float, TOF, SOFT_LESS, SOFT_LOW, SOFT_HIGH, u, beta, Q)
        WQ[i] = TOF(ab.x * grid.x) * (r + moves * shift) - TOF(b * grid.y);
    }
END
