/* attention_dq: with p_tj = exp(q_t.k_j scale - lse_t) and delta_t = dy_t.y_t,
 *   dq_t (+)= scale sum_j p_tj (dy_t.v_j - delta_t) k_j     (Dao et al. 2022, arXiv 2205.14135, B.2)
 *   q, dy, dq (B T, H D)   k, v (B T, K D)   lse, delta (B T, H), delta by attention_delta
 * CAPPED: the score is c = cap tanh(q_t.k_j scale / cap), and scale becomes scale (1 - (c / cap)^2) under the
 * sum.
 * Over the keys that t sees, j <= t with t - j < window, as in attention.comp.
 * HN = D / HW vectors per head, KN = 4 KQ. One item per QN queries t of (b, h in [h0, h0 + hn)), keys in
 * order, KN at a time; `blocks` such tiles of every head, from block0 on. acc = 1 adds to dq. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, HW, 4) SPEC(3, uint, QN, 1) SPEC(4, uint, KQ, 1)
SPEC(5, uint, CAPPED, 0)
WGSIZE(WGX, WGY)
#include "cap.h"
#define KN (4u * KQ)
KERNEL(attention_dq)
RO(0, hvec, Q) RO(1, hvec, K) RO(2, hvec, V) RO(3, hvec, dY) RO(4, float, lse) RO(5, float, delta)
RW(6, hvec, dQ)
PARAMS P(uint, B) P(uint, h0) P(uint, hn) P(uint, block0) P(uint, blocks) P(uint, T) P(uint, H)
P(uint, KH) P(uint, HN) P(uint, window) P(float, scale) P(uint, acc) P(float, cap)
LOCALS
BODY
    uint t0 = (block0 + GLIN % blocks) * QN, rest = GLIN / blocks, b = rest / hn;
    if (b < B) {
        uint h = h0 + rest % hn, kh = h / (H / KH), end = min(t0 + QN, T);
        uint first = t0 + 1u > window ? t0 + 1u - window : 0u;
        hvec s[QN * KN];
        hvec d[QN * KN];
        hvec a[KN];
        hvec v[KN];
        float4 p[QN * KQ];
        float del[QN];
        uint qrow[QN];
        uint krow[KN];
        UNROLL for (uint r = 0u; r < QN; r++) {
            qrow[r] = ((b * T + min(t0 + r, T - 1u)) * H + h) * HN;
            del[r] = delta[qrow[r] / HN];
        }
        for (uint j = first; j < end; j += KN) {
            UNROLL for (uint c = 0u; c < KN; c++) krow[c] = ((b * T + min(j + c, T - 1u)) * KH + kh) * HN;
            UNROLL for (uint c = 0u; c < QN * KN; c++) {
                s[c] = HV(0.0f);
                d[c] = HV(0.0f);
            }
            for (uint i = 0u; i < HN; i++) {
                UNROLL for (uint c = 0u; c < KN; c++) {
                    a[c] = K[krow[c] + i];
                    v[c] = V[krow[c] + i];
                }
                UNROLL for (uint r = 0u; r < QN; r++) {
                    hvec q = Q[qrow[r] + i], dy = dY[qrow[r] + i];
                    UNROLL for (uint c = 0u; c < KN; c++) {
                        s[r * KN + c] = fma(q, a[c], s[r * KN + c]);
                        d[r * KN + c] = fma(dy, v[c], d[r * KN + c]);
                    }
                }
            }
            UNROLL for (uint r = 0u; r < QN; r++) {
                uint t = t0 + r;
                float ls = lse[qrow[r] / HN];
                UNROLL for (uint c = 0u; c < KQ; c++) {
                    uint at = r * KN + 4u * c, key = j + 4u * c;
                    float4 z = HVSUM4(s[at], s[at + 1u], s[at + 2u], s[at + 3u]);
                    float4 e = HVSUM4(d[at], d[at + 1u], d[at + 2u], d[at + 3u]);
                    float4 slope = F4S(scale);
                    if (CAPPED != 0u) {
                        z = capped4(z * F4S(scale), cap);
                        slope = slope * (F4S(1.0f) - z * z / F4S(cap * cap));
                        z = z - F4S(ls);
                    } else {
                        z = z * F4S(scale) - F4S(ls);
                    }
                    z = F4(t - key < window ? z.x : -3.0e38f, t - key - 1u < window ? z.y : -3.0e38f,
                           t - key - 2u < window ? z.z : -3.0e38f, t - key - 3u < window ? z.w : -3.0e38f);
                    p[r * KQ + c] = exp(z) * (e - F4S(del[r])) * slope;
                }
            }
            for (uint i = 0u; i < HN; i++) {
                UNROLL for (uint c = 0u; c < KN; c++) a[c] = K[krow[c] + i];
                UNROLL for (uint r = 0u; r < QN; r++) {
                    hvec dq = j != first || acc != 0u ? dQ[qrow[r] + i] : HV(0.0f);
                    UNROLL for (uint c = 0u; c < KQ; c++) {
                        float4 e = p[r * KQ + c];
                        dq = fma(HV(e.x), a[4u * c], dq);
                        dq = fma(HV(e.y), a[4u * c + 1u], dq);
                        dq = fma(HV(e.z), a[4u * c + 2u], dq);
                        dq = fma(HV(e.w), a[4u * c + 3u], dq);
                    }
                    if (t0 + r < T) dQ[qrow[r] + i] = dq;
                }
            }
        }
    }
END
