/* attention_cached: y = softmax(q k^T scale) v for one query a sequence, over the positions 0..pos[0] of the
 * caches, with a running maximum and sum (Milakov & Gimelshein 2018, arXiv 1805.02867).
 *   q, y (B, H D)   kc, vc (B, C, KH D)   pos (1)   scale = 1 / sqrt(D), D = 4 HN
 * One item per (b, h), positions in order. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, HN, 4)
WGSIZE(WGX, WGY)
KERNEL(attention_cached)
RO(0, float4, Q) RO(1, float4, KC) RO(2, float4, VC) RO(3, int, pos) WO(4, float4, Y)
PARAMS P(uint, items) P(uint, C) P(uint, H) P(uint, KH) P(float, scale)
LOCALS
BODY
    if (GLIN < items) {
        uint b = GLIN / H, kv = (b * C * KH + (GLIN % H) / (H / KH)) * HN, last = TOU(pos[0]);
        float4 q[HN];
        float4 acc[HN];
        UNROLL for (uint i = 0u; i < HN; i++) {
            q[i] = Q[GLIN * HN + i] * F4S(scale);
            acc[i] = F4S(0.0f);
        }
        float m = -3.0e38f, l = 0.0f;
        for (uint j = 0u; j <= last; j++) {
            uint at = kv + j * KH * HN;
            float4 s4 = F4S(0.0f);
            UNROLL for (uint i = 0u; i < HN; i++) s4 = fma(q[i], KC[at + i], s4);
            float s = (s4.x + s4.y) + (s4.z + s4.w), top = max(s, m), fade = exp(m - top), p = exp(s - top);
            m = top;
            l = l * fade + p;
            UNROLL for (uint i = 0u; i < HN; i++) acc[i] = fma(F4S(p), VC[at + i], acc[i] * F4S(fade));
        }
        float r = 1.0f / l;
        UNROLL for (uint i = 0u; i < HN; i++) Y[GLIN * HN + i] = acc[i] * F4S(r);
    }
END
