/* attention_one: attention_cached with a group per query row and head, for a few rows on devices that want
 * many items.
 *   q, y (B T, H D)   caches (B, K, C, D) fp16   row b T + t is at position pos[0] + t
 * CAPPED: scores become cap tanh(score / cap).
 * In rounds of WGX keys: every item scores one key, the group shares the weights, then item i adds up the
 * values' words i % W (two dims each, W = D / 2) of the round's keys i / W, i / W + S, … (S = WGX / W
 * segments; with W > WGX an item has WN words); maximum and sum run as in attention_cached. A launch has
 * `units` rows and heads, from unit0 on. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, WN, 1) SPEC(3, uint, CAPPED, 0)
WGSIZE(WGX, WGY)
#include "cap.h"
KERNEL(attention_one)
RO(0, float, Q) RO(1, uint2, K) RO(2, uint, V) RO(3, int, pos) WO(4, float, Y)
PARAMS P(uint, units) P(uint, unit0) P(uint, T) P(uint, H) P(uint, KH) P(uint, C) P(uint, D) P(uint, window)
       P(float, scale) P(float, cap)
LOCALS SHARED(float, q, 512) SHARED(float, p, WGX) SHARED(float, red, WGX) SHARED(float, other, WGX)
#define HALF(w) ASF((((w) & 0x7fffu) << 13u) | (((w) & 0x8000u) << 16u)) * 5.192296858534828e33f
BODY
    if (WLIN < units) {
        uint unit = unit0 + WLIN, row = unit / H, h = unit % H;
        uint W = D / 2u, S = max(WGX / W, 1u), base = (row / T * KH + h / (H / KH)) * C;
        uint last = TOU(pos[0]) + row % T,
             first = window > 0u && last + 1u > window ? last + 1u - window : 0u;
        /* seg = LID0 / side, in floats: PoCL 5.0 gives every item of the group the first one's quotient of
         * whole numbers */
        uint side = min(W, WGX), seg = TOU((TOF(LID0) + 0.5f) / TOF(side)), word = LID0 - seg * side;
        float m = -3.0e38f, l = 0.0f;
        float2 acc[WN];
        UNROLL for (uint c = 0u; c < WN; c++) acc[c] = F2(0.0f, 0.0f);
        EACH(i, D) q[i] = Q[unit * D + i] * scale;
        BARRIER();
        for (uint j0 = first; j0 <= last; j0 += WGX) {
            uint j = j0 + LID0, n = min(WGX, last + 1u - j0);
            float s = -3.0e38f;
            if (j <= last) {
                float4 dot4 = F4S(0.0f);
                for (uint i = 0u; i < D / 4u; i++) {
                    uint2 w = K[(base + j) * (D / 4u) + i];
                    float4 k = F4(HALF(w.x), HALF(w.x >> 16u), HALF(w.y), HALF(w.y >> 16u));
                    dot4 = fma(F4(q[4u * i], q[4u * i + 1u], q[4u * i + 2u], q[4u * i + 3u]), k, dot4);
                }
                s = (dot4.x + dot4.y) + (dot4.z + dot4.w);
                if (CAPPED != 0u) s = capped(s, cap);
            }
            red[LID0] = s;
            TREE(red, MAX2);
            float top = max(m, red[0]), fade = exp(m - top), e = j <= last ? exp(s - top) : 0.0f;
            BARRIER();
            p[LID0] = e;
            red[LID0] = e;
            TREE(red, SUM2);
            l = l * fade + red[0];
            m = top;
            UNROLL for (uint c = 0u; c < WN; c++) {
                acc[c] = acc[c] * F2(fade, fade);
                uint w = word + c * WGX;
                if (w < W && seg < S)
                    for (uint i = seg; i < n; i += S) {
                        uint v = V[(base + j0 + i) * W + w];
                        acc[c] = fma(F2(p[i], p[i]), F2(HALF(v), HALF(v >> 16u)), acc[c]);
                    }
            }
            BARRIER();
        }
        float part = 1.0f / l;
        UNROLL for (uint c = 0u; c < WN; c++) {
            red[LID0] = acc[c].x;
            other[LID0] = acc[c].y;
            BARRIER();
            float2 sum = F2(0.0f, 0.0f);
            uint w = word + c * WGX;
            if (seg == 0u && w < W) {
                for (uint i = 0u; i < S; i++) sum = sum + F2(red[word + i * W], other[word + i * W]);
                Y[unit * D + 2u * w] = sum.x * part;
                Y[unit * D + 2u * w + 1u] = sum.y * part;
            }
            BARRIER();
        }
    }
END
