/* attention: y = causal softmax(q k^T scale) v with grouped queries, streamed over the keys KN at a time
 * with a running maximum m and sum l (Milakov & Gimelshein 2018, arXiv 1805.02867; Dao et al. 2022, arXiv
 * 2205.14135). A query t sees the keys j <= t with t - j < window (Beltagy 2020, arXiv 2004.05150); window =
 * T is all of them. Keys before a tile's first window are not read.
 *   q, y (B T, H D)   k, v (B T, K D)   lse (B T, H) = m + log l, kept for the backward   scale = 1 / sqrt(D)
 * CAPPED: scores become cap tanh(score / cap) before the softmax.
 * HN = D / HW vectors per head, KN = 4 KQ. One item per QN queries t of (b, h in [h0, h0 + hn)), t fastest,
 * so that neighbours read the same keys; y itself holds the running sum; no shared memory, keys in order. A
 * launch has `blocks` such tiles of every head, from block0 on.
 * Ladder: q and the sum in private arrays, all unrolled, 21 GFLOP/s on PoCL and 2 on llvmpipe, with compile
 * times growing with D -> loops over D, tiles of QN x KN: 40 and 8. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, HW, 4) SPEC(3, uint, QN, 1) SPEC(4, uint, KQ, 1)
SPEC(5, uint, CAPPED, 0)
WGSIZE(WGX, WGY)
#include "cap.h"
#define KN (4u * KQ)
KERNEL(attention)
RO(0, hvec, Q) RO(1, hvec, K) RO(2, hvec, V) RW(3, hvec, Y) WO(4, float, lse)
PARAMS P(uint, B) P(uint, h0) P(uint, hn) P(uint, block0) P(uint, blocks) P(uint, T) P(uint, H)
P(uint, KH) P(uint, HN) P(uint, window) P(float, scale) P(float, cap)
LOCALS
BODY
    uint t0 = (block0 + GLIN % blocks) * QN, rest = GLIN / blocks, b = rest / hn;
    if (b < B) {
        uint h = h0 + rest % hn, kh = h / (H / KH), end = min(t0 + QN, T);
        uint first = t0 + 1u > window ? t0 + 1u - window : 0u;
        hvec s[QN * KN];
        hvec a[KN];
        float4 p[QN * KQ];
        float m[QN];
        float l[QN];
        float fade[QN];
        uint qrow[QN];
        uint krow[KN];
        UNROLL for (uint r = 0u; r < QN; r++) {
            qrow[r] = ((b * T + min(t0 + r, T - 1u)) * H + h) * HN;
            m[r] = -3.0e38f;
            l[r] = 0.0f;
        }
        for (uint j = first; j < end; j += KN) {
            UNROLL for (uint c = 0u; c < KN; c++) krow[c] = ((b * T + min(j + c, T - 1u)) * KH + kh) * HN;
            UNROLL for (uint c = 0u; c < QN * KN; c++) s[c] = HV(0.0f);
            for (uint i = 0u; i < HN; i++) {
                UNROLL for (uint c = 0u; c < KN; c++) a[c] = K[krow[c] + i];
                UNROLL for (uint r = 0u; r < QN; r++) {
                    hvec q = Q[qrow[r] + i];
                    UNROLL for (uint c = 0u; c < KN; c++) s[r * KN + c] = fma(q, a[c], s[r * KN + c]);
                }
            }
            UNROLL for (uint r = 0u; r < QN; r++) {
                uint t = t0 + r; /* keys past it wrap around; QN <= KN: the first KN hold one that counts */
                float top = m[r], sum = 0.0f;
                UNROLL for (uint c = 0u; c < KQ; c++) {
                    uint at = r * KN + 4u * c, key = j + 4u * c;
                    float4 z = HVSUM4(s[at], s[at + 1u], s[at + 2u], s[at + 3u]);
                    z = z * F4S(scale);
                    if (CAPPED != 0u) z = capped4(z, cap);
                    z = F4(t - key < window ? z.x : -3.0e38f, t - key - 1u < window ? z.y : -3.0e38f,
                           t - key - 2u < window ? z.z : -3.0e38f, t - key - 3u < window ? z.w : -3.0e38f);
                    top = max(max(max(z.x, z.y), max(z.z, z.w)), top);
                    p[r * KQ + c] = z;
                }
                fade[r] = exp(m[r] - top);
                UNROLL for (uint c = 0u; c < KQ; c++) {
                    float4 e = exp(p[r * KQ + c] - F4S(top));
                    p[r * KQ + c] = e;
                    sum += (e.x + e.y) + (e.z + e.w);
                }
                m[r] = top;
                l[r] = l[r] * fade[r] + sum;
            }
            for (uint i = 0u; i < HN; i++) {
                UNROLL for (uint c = 0u; c < KN; c++) a[c] = V[krow[c] + i];
                UNROLL for (uint r = 0u; r < QN; r++) {
                    hvec y = j != first ? Y[qrow[r] + i] * HV(fade[r]) : HV(0.0f);
                    UNROLL for (uint c = 0u; c < KQ; c++) {
                        float4 e = p[r * KQ + c];
                        y = fma(HV(e.x), a[4u * c], y);
                        y = fma(HV(e.y), a[4u * c + 1u], y);
                        y = fma(HV(e.z), a[4u * c + 2u], y);
                        y = fma(HV(e.w), a[4u * c + 3u], y);
                    }
                    if (t0 + r < T) Y[qrow[r] + i] = y;
                }
            }
        }
        UNROLL for (uint r = 0u; r < QN; r++) {
            if (t0 + r < T) {
                float part = 1.0f / l[r];
                for (uint i = 0u; i < HN; i++) Y[qrow[r] + i] = Y[qrow[r] + i] * HV(part);
                lse[qrow[r] / HN] = m[r] + log(l[r]);
            }
        }
    }
END
