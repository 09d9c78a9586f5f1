/* attention_dkv: with p_tj = exp(q_t.k_j scale - lse_t),
 *   dv_j (+)= sum_t p_tj dy_t,   dk_j (+)= scale sum_t p_tj (dy_t.v_j - delta_t) q_t
 * over the queries that see j, t >= j with t - j < window, of all H / K query heads of the key head, in order
 * (Dao et al. 2022, arXiv 2205.14135, B.2)
 *   q, dy (B T, H D)   k, v, dk, dv (B T, K D)   lse, delta (B T, H)
 * CAPPED: as in attention_dq.
 * HN = D / HW vectors per head, KN = 4 KQ. One item per QN keys j of (b, key head in [h0, h0 + hn)), queries
 * in order, KN at a time; `blocks` such tiles of every head, from block0 on. acc_k, acc_v = 1 add to dk,
 * dv. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, HW, 4) SPEC(3, uint, QN, 1) SPEC(4, uint, KQ, 1)
SPEC(5, uint, CAPPED, 0)
WGSIZE(WGX, WGY)
#include "cap.h"
#define KN (4u * KQ)
KERNEL(attention_dkv)
RO(0, hvec, Q) RO(1, hvec, K) RO(2, hvec, V) RO(3, hvec, dY) RO(4, float, lse) RO(5, float, delta)
RW(6, hvec, dK) RW(7, hvec, dV)
PARAMS P(uint, B) P(uint, h0) P(uint, hn) P(uint, block0) P(uint, blocks) P(uint, T) P(uint, H)
P(uint, KH) P(uint, HN) P(uint, window) P(float, scale) P(uint, acc_k) P(uint, acc_v)
P(float, cap)
LOCALS
BODY
    uint j0 = (block0 + GLIN % blocks) * QN, rest = GLIN / blocks, b = rest / hn;
    if (b < B) {
        uint kh = h0 + rest % hn, group = H / KH, add_k = acc_k, add_v = acc_v;
        uint end = min(j0 + QN - 1u + window, T); /* of the queries that see one of these keys */
        hvec s[QN * KN];
        hvec d[QN * KN];
        hvec a[KN];
        hvec y[KN];
        float4 p[QN * KQ];
        float4 e[QN * KQ];
        uint krow[QN];
        uint qrow[KN];
        UNROLL for (uint r = 0u; r < QN; r++) krow[r] = ((b * T + min(j0 + r, T - 1u)) * KH + kh) * HN;
        for (uint h = kh * group; h < (kh + 1u) * group; h++) {
            for (uint t = j0; t < end; t += KN) {
                UNROLL for (uint c = 0u; c < KN; c++) qrow[c] = ((b * T + min(t + c, T - 1u)) * H + h) * HN;
                UNROLL for (uint c = 0u; c < QN * KN; c++) {
                    s[c] = HV(0.0f);
                    d[c] = HV(0.0f);
                }
                for (uint i = 0u; i < HN; i++) {
                    UNROLL for (uint c = 0u; c < KN; c++) {
                        a[c] = Q[qrow[c] + i];
                        y[c] = dY[qrow[c] + i];
                    }
                    UNROLL for (uint r = 0u; r < QN; r++) {
                        hvec k = K[krow[r] + i], v = V[krow[r] + i];
                        UNROLL for (uint c = 0u; c < KN; c++) {
                            s[r * KN + c] = fma(k, a[c], s[r * KN + c]);
                            d[r * KN + c] = fma(v, y[c], d[r * KN + c]);
                        }
                    }
                }
                UNROLL for (uint c = 0u; c < KQ; c++) {
                    uint n0 = qrow[4u * c] / HN, n1 = qrow[4u * c + 1u] / HN;
                    uint n2 = qrow[4u * c + 2u] / HN, n3 = qrow[4u * c + 3u] / HN, query = t + 4u * c;
                    float4 ls = F4(lse[n0], lse[n1], lse[n2], lse[n3]);
                    float4 del = F4(delta[n0], delta[n1], delta[n2], delta[n3]);
                    UNROLL for (uint r = 0u; r < QN; r++) {
                        uint at = r * KN + 4u * c, j = j0 + r;
                        float4 z = HVSUM4(s[at], s[at + 1u], s[at + 2u], s[at + 3u]);
                        float4 x = HVSUM4(d[at], d[at + 1u], d[at + 2u], d[at + 3u]);
                        float4 slope = F4S(scale);
                        if (CAPPED != 0u) {
                            z = capped4(z * F4S(scale), cap);
                            slope = slope * (F4S(1.0f) - z * z / F4S(cap * cap));
                            z = z - ls;
                        } else {
                            z = z * F4S(scale) - ls;
                        }
                        z = F4(query < T && query - j < window ? z.x : -3.0e38f,
                               query + 1u < T && query + 1u - j < window ? z.y : -3.0e38f,
                               query + 2u < T && query + 2u - j < window ? z.z : -3.0e38f,
                               query + 3u < T && query + 3u - j < window ? z.w : -3.0e38f);
                        z = exp(z);
                        p[r * KQ + c] = z;
                        e[r * KQ + c] = z * (x - del) * slope;
                    }
                }
                for (uint i = 0u; i < HN; i++) {
                    UNROLL for (uint c = 0u; c < KN; c++) {
                        a[c] = Q[qrow[c] + i];
                        y[c] = dY[qrow[c] + i];
                    }
                    UNROLL for (uint r = 0u; r < QN; r++) {
                        hvec dk = add_k != 0u ? dK[krow[r] + i] : HV(0.0f);
                        hvec dv = add_v != 0u ? dV[krow[r] + i] : HV(0.0f);
                        UNROLL for (uint c = 0u; c < KQ; c++) {
                            float4 x = e[r * KQ + c], z = p[r * KQ + c];
                            dk = fma(HV(x.y), a[4u * c + 1u], fma(HV(x.x), a[4u * c], dk));
                            dk = fma(HV(x.w), a[4u * c + 3u], fma(HV(x.z), a[4u * c + 2u], dk));
                            dv = fma(HV(z.y), y[4u * c + 1u], fma(HV(z.x), y[4u * c], dv));
                            dv = fma(HV(z.w), y[4u * c + 3u], fma(HV(z.z), y[4u * c + 2u], dv));
                        }
                        if (j0 + r < T) {
                            dK[krow[r] + i] = dk;
                            dV[krow[r] + i] = dv;
                        }
                    }
                }
                add_k = 1u;
                add_v = 1u;
            }
        }
    }
END
