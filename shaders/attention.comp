/* attention: y = causal softmax(q k^T scale) v with grouped queries, streamed over the keys four at a time
 * with a running maximum m and sum l (Milakov & Gimelshein 2018, arXiv 1805.02867; Dao et al. 2022, arXiv
 * 2205.14135).
 *   q, y (B T, H D)   k, v (B T, K D)   lse (B T, H) = m + log l, kept for the backward   scale = 1 / sqrt(D)
 * HN = D / HW vectors per head. One item per (b, h in [h0, h0 + hn), t), t fastest, so that neighbours read
 * the same keys; no shared memory, keys in order. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, HW, 4) SPEC(3, uint, HN, 4)
WGSIZE(WGX, WGY)
KERNEL(attention)
RO(0, hvec, Q) RO(1, hvec, K) RO(2, hvec, V) WO(3, hvec, Y) WO(4, float, lse)
PARAMS P(uint, B) P(uint, h0) P(uint, hn) P(uint, T) P(uint, H) P(uint, KH) P(float, scale)
LOCALS
BODY
    uint t = GLIN % T, rest = GLIN / T, b = rest / hn;
    if (b < B) {
        uint h = h0 + rest % hn, row = (b * T + t) * H + h, k_row = b * T * KH + h / (H / KH);
        hvec q[HN];
        hvec acc[HN];
        UNROLL for (uint i = 0u; i < HN; i++) {
            q[i] = Q[row * HN + i] * HV(scale);
            acc[i] = HV(0.0f);
        }
        float m = -3.0e38f, l = 0.0f;
        for (uint j = 0u; j <= t; j += 4u) {
            uint k0 = (k_row + j * KH) * HN, k1 = (k_row + min(j + 1u, t) * KH) * HN;
            uint k2 = (k_row + min(j + 2u, t) * KH) * HN, k3 = (k_row + min(j + 3u, t) * KH) * HN;
            hvec s0 = HV(0.0f), s1 = HV(0.0f), s2 = HV(0.0f), s3 = HV(0.0f);
            UNROLL for (uint i = 0u; i < HN; i++) {
                s0 = fma(q[i], K[k0 + i], s0);
                s1 = fma(q[i], K[k1 + i], s1);
                s2 = fma(q[i], K[k2 + i], s2);
                s3 = fma(q[i], K[k3 + i], s3);
            }
            float4 s = F4(HVSUM(s0), j + 1u <= t ? HVSUM(s1) : -3.0e38f,
                          j + 2u <= t ? HVSUM(s2) : -3.0e38f, j + 3u <= t ? HVSUM(s3) : -3.0e38f);
            float top = max(max(max(s.x, s.y), max(s.z, s.w)), m);
            float fade = exp(m - top);
            float4 p = exp(s - F4S(top));
            m = top;
            l = l * fade + ((p.x + p.y) + (p.z + p.w));
            UNROLL for (uint i = 0u; i < HN; i++) {
                hvec a = fma(HV(p.x), V[k0 + i], acc[i] * HV(fade));
                a = fma(HV(p.y), V[k1 + i], a);
                a = fma(HV(p.z), V[k2 + i], a);
                acc[i] = fma(HV(p.w), V[k3 + i], a);
            }
        }
        float r = 1.0f / l;
        UNROLL for (uint i = 0u; i < HN; i++) Y[row * HN + i] = acc[i] * HV(r);
        lse[row] = m + log(l);
    }
END
