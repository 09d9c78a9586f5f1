/* pack_half: panels of T rows for gemm_coop, as fp16, of a matrix whose rows run along k (ALONG_K 1) or
 * across; BRAIN: for gemm_coop_bf16, as bf16, which holds any number.
 *   D[d0 + panel*pitch + (k*T + j) / 8] = S[s0 + (panel*T + j)*ld + k] or S[s0 + k*ld + panel*T + j] times
 * the panel's scale, half to even, eight numbers to a vector; zero where panel*T + j >= rows. What passes
 * fp16's largest number, or is none, becomes an infinity, which tells gemm_coop to look at S.
 * slices != 0: TOP holds the largest |x| of as many slices of each panel (panel_top), from t0 on, of which
 * its scale is made; otherwise TOP is not read and the scale is 1.
 * One item per (8 rows of a panel, 4 values of k), neighbours along k, or per (panel, k, 8 rows), neighbours
 * along the rows. 8 divides T. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, T, 64) SPEC(3, uint, ALONG_K, 1)
SPEC(4, uint, BRAIN, 0)
WGSIZE(WGX, WGY)
#include "brain.h"
#include "scale.h"
FN uint half_or_wide(float v) {
    uint h = ar_half_bits(v);
    return (ASU(v) & 0x7fffffffu) > 0x477fe000u ? 0x7c00u : h;
}
#define PAIR(a, b)                                                                                           \
    (BRAIN != 0u ? ar_brain_pair((a)*scale, (b)*scale)                                                       \
                 : half_or_wide((a)*scale) | (half_or_wide((b)*scale) << 16u))
#define PUT(at, lo, hi)                                                                                      \
    u.x = PAIR((lo).x, (lo).y), u.y = PAIR((lo).z, (lo).w);                                              \
    u.z = PAIR((hi).x, (hi).y), u.w = PAIR((hi).z, (hi).w);                                              \
    D[at] = u
KERNEL(pack_half)
RO(0, float, S) WO(1, uint4, D) RO(2, float, TOP)
PARAMS P(uint, items) P(uint, rows) P(uint, depth) P(uint, ld) P(uint, s0) P(uint, d0) P(uint, pitch)
P(uint, slices) P(uint, t0)
LOCALS
BODY
    uint item = GLIN, row = 0u, k = 0u, count = 1u;
    if (item >= items) return;
    if (ALONG_K != 0u) {
        uint quads = (depth + 3u) / 4u, part = item / quads;
        k = (item - part * quads) * 4u, row = part * 8u, count = min(4u, depth - k);
    } else {
        uint line = item / (T / 8u), panel_ = line / depth;
        k = line - panel_ * depth, row = panel_ * T + (item - line * (T / 8u)) * 8u;
    }
    uint panel = row / T, to = d0 + panel * pitch + (k * T + row - panel * T) / 8u;
    uint across = ALONG_K != 0u ? ld : 1u, along = ALONG_K != 0u ? 1u : ld;
    uint from = s0 + row * across + k * along;
    uint4 u;
    COOP_SCALE(scale, TOP, t0 + panel * slices);
    if (ALONG_K != 0u && row + 8u <= rows && count == 4u) {
        float4 a = LD4(S, from), b = LD4(S, from + ld), c = LD4(S, from + 2u * ld);
        float4 d = LD4(S, from + 3u * ld), e = LD4(S, from + 4u * ld), f = LD4(S, from + 5u * ld);
        float4 g = LD4(S, from + 6u * ld), h = LD4(S, from + 7u * ld);
        PUT(to, F4(a.x, b.x, c.x, d.x), F4(e.x, f.x, g.x, h.x));
        PUT(to + T / 8u, F4(a.y, b.y, c.y, d.y), F4(e.y, f.y, g.y, h.y));
        PUT(to + 2u * (T / 8u), F4(a.z, b.z, c.z, d.z), F4(e.z, f.z, g.z, h.z));
        PUT(to + 3u * (T / 8u), F4(a.w, b.w, c.w, d.w), F4(e.w, f.w, g.w, h.w));
    } else if (ALONG_K == 0u && row + 8u <= rows) {
        float4 lo = LD4(S, from), hi = LD4(S, from + 4u);
        PUT(to, lo, hi);
    } else {
        for (uint l = 0u; l < count; l++) {
            float4 lo = F4S(0.0f), hi = F4S(0.0f);
            for (uint j = 0u; j < 4u; j++) {
                if (row + j < rows) LANE_SET(lo, j, S[from + j * across + l * along]);
                if (row + 4u + j < rows) LANE_SET(hi, j, S[from + (4u + j) * across + l * along]);
            }
            PUT(to + l * (T / 8u), lo, hi);
        }
    }
END
