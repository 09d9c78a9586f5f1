/* soft_step: one step of Lion (Chen 2023, arXiv 2302.06675; 0.9, 0.95, no decay) on the places U along the
 * true gradient of soft_forward, and on a and b; places far enough from a border become decided codes.
 *   DW, U, X (rows, RV) hvec vectors: RV to a row, GV to a group; X the momentum of U
 *   GRID (rows, gpr): S, M   AB (rows, upr): a, b, their momenta   NG groups to an AB
 *   R (T, 4): beta, rate of U, rate of a and b, share that stays soft   At (1) step
 *   dU = DW a S slope,  da = sum DW (S c - M), or sum DW S c and db = -sum DW M where M is on its own
 * One item per AB, its groups in order: equal inputs give equal bits. */
#include "soft.h"
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, HW, 4)
WGSIZE(WGX, WGY)
KERNEL(soft_step)
RO(0, hvec, DW) RW(1, hvec, U) RW(2, hvec, X) RO(3, float2, GRID) RW(4, float4, AB) RO(5, float4, R)
RO(6, int, At)
PARAMS P(uint, rows) P(uint, RV) P(uint, GV) P(uint, NG) P(uint, gpr) P(uint, upr) P(float, Q)
P(uint, tied)
LOCALS
BODY
    const uint n = GLIN;
    const float4 rate = R[TOU(At[0])];
    SOFT_BETA(rate.x)
    if (n < rows * upr) {
        const uint row = n / upr, first = (n - row * upr) * NG;
        float4 ab = AB[n];
        float da = 0.0f, db = 0.0f;
        for (uint k = first; k < min(first + NG, gpr); k++) {
            const float2 grid = GRID[row * gpr + k];
            const uint end = row * RV + min((k + 1u) * GV, RV);
            hvec sc = HV(0.0f), sd = HV(0.0f);
            for (uint i = row * RV + k * GV; i < end; i++) {
                const hvec u = U[i], d = DW[i], m = X[i];
                SOFT_CODE(hvec, HV, HV_LESS, SOFT_LOWV, SOFT_HIGHV, u, rate.x, Q)
                const hvec g = d * HV(ab.x * grid.x) * slope;
                const hvec moved = u - HV(rate.y) * sign(HV(0.9f) * m + HV(0.1f) * g);
                const hvec to = min(max(moved, HV(-1.0f)), HV(Q + 1.0f));
                const hvec next = min(max(RINT(to), HV(0.0f)), HV(Q));
                const hvec inside = min(max(to, HV(0.0f)), HV(Q));
                /* a border lies 0.5 from a code; outside of the grid there is none */
                const hvec room = HV(0.5f - 0.5f * rate.w) - FABS(inside - next);
                X[i] = HV(0.95f) * m + HV(0.05f) * g;
                const hvec open = HV_LESS(HV(0.0f), room, HV(SOFT_DECIDED) + next, to);
                U[i] = HV_LESS(HV(0.0f), free, open, u);
                sc += d * code;
                sd += d;
            }
            da += grid.x * HVSUM(sc);
            db -= grid.y * HVSUM(sd);
        }
        if (tied != 0u) da += db;
        AB[n] = F4(clamp(ab.x - rate.z * sign(0.9f * ab.z + 0.1f * da), 0.25f, 4.0f),
                   clamp(ab.y - rate.z * sign(0.9f * ab.w + 0.1f * db), 0.25f, 4.0f),
                   0.95f * ab.z + 0.05f * da, 0.95f * ab.w + 0.05f * db);
    }
END
