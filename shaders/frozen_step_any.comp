/* frozen_step_any: one step of Adam (Kingma & Ba 2015, arXiv 1412.6980; .9, .999) on the logits
 * r = ln t / (1 - t) of the places U = f + t, along the true gradient of frozen_forward, and on v of
 * a = 2 / (1 + exp(-v)), b alike (TesseraQ, arXiv 2410.19103).
 *   DW, U, X, Y (rows, RV) numbers, RV to a row, GV to a group, the last of a row may be short
 *   X, Y the moments of r
 *   GRID (rows, gpr): S, M   AB (rows, upr, 2): a, b, first moments; second ones
 *   NG groups to an AB   R (T, 4): rate of r and of v by the first moment's bias, the second's   At (1) step
 *   dr = DW a S dc/dr,  da = sum DW (S c - M), or sum DW S c and db = -sum DW M where M is on its own
 * One item per AB, its groups in order: equal inputs give equal bits. */
#include "soft.h"
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(frozen_step_any)
RO(0, float, DW) RW(1, float, U) RW(2, float, X) RW(3, float, Y) RO(4, float2, GRID) RW(5, float4, AB)
RO(6, float4, R) RO(7, int, At)
PARAMS P(uint, rows) P(uint, RV) P(uint, GV) P(uint, NG) P(uint, gpr) P(uint, upr) P(float, Q)
P(uint, tied)
LOCALS
BODY
    const uint n = GLIN;
    if (n < rows * upr) {
        const uint row = n / upr, first = (n - row * upr) * NG;
        const float4 rate = R[TOU(At[0])];
        const float4 ab = AB[2u * n], old = AB[2u * n + 1u];
        float da = 0.0f, db = 0.0f;
        for (uint k = first; k < min(first + NG, gpr); k++) {
            const float2 grid = GRID[row * gpr + k];
            const uint end = row * RV + min((k + 1u) * GV, RV);
            float sc = TOF(0.0f), sd = TOF(0.0f);
            for (uint i = row * RV + k * GV; i < end; i++) {
                const float u = U[i], d = DW[i];
                FROZEN_CODE(float, TOF, u, Q)
                const float g = d * TOF(ab.x * grid.x) * slope;
                const float m = TOF(0.9f) * X[i] + TOF(0.1f) * g;
                const float s = TOF(0.999f) * Y[i] + TOF(0.001f) * g * g;
                const float by = TOF(rate.x) * m / (sqrt(TOF(rate.z) * s) + TOF(1e-12f));
                const float to = TOF(1.0f) / (TOF(1.0f) + (TOF(1.0f) - t) / t * exp(by));
                X[i] = m;
                Y[i] = s;
                U[i] = done * u + (TOF(1.0f) - done) * (whole + clamp(to, TOF(0.01f), TOF(0.99f)));
                sc += d * code;
                sd += d;
            }
            da += grid.x * sc;
            db -= grid.y * sd;
        }
        if (tied != 0u) da += db;
        const float ga = da * ab.x * (1.0f - 0.5f * ab.x), gb = db * ab.y * (1.0f - 0.5f * ab.y);
        const float ma = 0.9f * ab.z + 0.1f * ga, mb = 0.9f * ab.w + 0.1f * gb;
        const float sa = 0.999f * old.x + 0.001f * ga * ga, sb = 0.999f * old.y + 0.001f * gb * gb;
        const float va = rate.y * ma / (sqrt(rate.z * sa) + 1e-12f);
        const float vb = rate.y * mb / (sqrt(rate.z * sb) + 1e-12f);
        AB[2u * n + 1u] = F4(sa, sb, 0.0f, 0.0f);
        AB[2u * n] = F4(clamp(2.0f / (1.0f + (2.0f - ab.x) / ab.x * exp(va)), 0.25f, 1.75f),
                   clamp(2.0f / (1.0f + (2.0f - ab.y) / ab.y * exp(vb)), 0.25f, 1.75f), ma, mb);
    }
END
