/* soft_step_any: one step of Lion (Chen 2023, arXiv 2302.06675; 0.9, 0.95, no decay) on the places U along
 * the
 * true gradient of soft_forward, and on a and b; places far enough from a border become decided codes.
 *   DW, U, X (rows, RV) numbers, RV to a row, GV to a group, the last of a row may be short; X the momentum
 *   of U
 *   GRID (rows, gpr): S, M   AB (rows, upr): a, b, their momenta   NG groups to an AB
 *   R (T, 4): beta, rate of U, rate of a and b, share that stays soft   At (1) step
 *   dU = DW a S slope,  da = sum DW (S c - M), or sum DW S c and db = -sum DW M where M is on its own
 * One item per AB, its groups in order: equal inputs give equal bits. */
#include "soft.h"
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(soft_step_any)
RO(0, float, DW) RW(1, float, U) RW(2, float, X) RO(3, float2, GRID) RW(4, float4, AB) RO(5, float4, R)
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
            float sc = TOF(0.0f), sd = TOF(0.0f);
            for (uint i = row * RV + k * GV; i < end; i++) {
                const float u = U[i], d = DW[i], m = X[i];
                SOFT_CODE(float, TOF, SOFT_LESS, SOFT_LOW, SOFT_HIGH, u, rate.x, Q)
                const float g = d * TOF(ab.x * grid.x) * slope;
                const float moved = u - TOF(rate.y) * sign(TOF(0.9f) * m + TOF(0.1f) * g);
                const float to = min(max(moved, TOF(-1.0f)), TOF(Q + 1.0f));
                const float next = min(max(RINT(to), TOF(0.0f)), TOF(Q));
                const float inside = min(max(to, TOF(0.0f)), TOF(Q));
                /* a border lies 0.5 from a code; outside of the grid there is none */
                const float room = TOF(0.5f - 0.5f * rate.w) - FABS(inside - next);
                X[i] = TOF(0.95f) * m + TOF(0.05f) * g;
                const float open = room > 0.0f ? SOFT_DECIDED + next : to;
                U[i] = free > 0.0f ? open : u;
                sc += d * code;
                sd += d;
            }
            da += grid.x * (sc);
            db -= grid.y * (sd);
        }
        if (tied != 0u) da += db;
        AB[n] = F4(clamp(ab.x - rate.z * sign(0.9f * ab.z + 0.1f * da), 0.25f, 4.0f),
                   clamp(ab.y - rate.z * sign(0.9f * ab.w + 0.1f * db), 0.25f, 4.0f),
                   0.95f * ab.z + 0.05f * da, 0.95f * ab.w + 0.05f * db);
    }
END
