/* attention_dq: with p_tj = exp(q_t.k_j scale - lse_t) and delta_t = dy_t.y_t,
 *   dq_t (+)= scale sum_{j <= t} p_tj (dy_t.v_j - delta_t) k_j     (Dao et al. 2022, arXiv 2205.14135, B.2)
 *   q, y, dy, dq (B T, H D)   k, v (B T, K D)   lse (B T, H)   delta (B T, H), kept for attention_dkv
 * One item per (b, h in [h0, h0 + hn), t), keys in order, four at a time. acc = 1 adds to dq. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, HW, 4) SPEC(3, uint, HN, 4)
WGSIZE(WGX, WGY)
KERNEL(attention_dq)
RO(0, hvec, Q) RO(1, hvec, K) RO(2, hvec, V) RO(3, hvec, Y) RO(4, hvec, dY) RO(5, float, lse)
RW(6, hvec, dQ) WO(7, float, delta)
PARAMS P(uint, B) P(uint, h0) P(uint, hn) P(uint, T) P(uint, H) P(uint, KH) P(float, scale) P(uint, acc)
LOCALS
BODY
    uint t = GLIN % T, rest = GLIN / T, b = rest / hn;
    if (b < B) {
        uint h = h0 + rest % hn, row = (b * T + t) * H + h, k_row = b * T * KH + h / (H / KH);
        hvec q[HN];
        hvec dy[HN];
        hvec dq[HN];
        hvec e = HV(0.0f);
        UNROLL for (uint i = 0u; i < HN; i++) {
            q[i] = Q[row * HN + i] * HV(scale);
            dy[i] = dY[row * HN + i];
            dq[i] = HV(0.0f);
            e = fma(dy[i], Y[row * HN + i], e);
        }
        float del = HVSUM(e), ls = lse[row];
        for (uint j = 0u; j <= t; j += 4u) {
            uint k0 = (k_row + j * KH) * HN, k1 = (k_row + min(j + 1u, t) * KH) * HN;
            uint k2 = (k_row + min(j + 2u, t) * KH) * HN, k3 = (k_row + min(j + 3u, t) * KH) * HN;
            hvec s0 = HV(0.0f), s1 = HV(0.0f), s2 = HV(0.0f), s3 = HV(0.0f);
            hvec d0 = HV(0.0f), d1 = HV(0.0f), d2 = HV(0.0f), d3 = HV(0.0f);
            UNROLL for (uint i = 0u; i < HN; i++) {
                s0 = fma(q[i], K[k0 + i], s0);
                s1 = fma(q[i], K[k1 + i], s1);
                s2 = fma(q[i], K[k2 + i], s2);
                s3 = fma(q[i], K[k3 + i], s3);
                d0 = fma(dy[i], V[k0 + i], d0);
                d1 = fma(dy[i], V[k1 + i], d1);
                d2 = fma(dy[i], V[k2 + i], d2);
                d3 = fma(dy[i], V[k3 + i], d3);
            }
            float4 s = F4(HVSUM(s0), j + 1u <= t ? HVSUM(s1) : -3.0e38f,
                          j + 2u <= t ? HVSUM(s2) : -3.0e38f, j + 3u <= t ? HVSUM(s3) : -3.0e38f);
            float4 d = F4(HVSUM(d0), HVSUM(d1), HVSUM(d2), HVSUM(d3)) - F4S(del);
            float4 c = exp(s - F4S(ls)) * d * F4S(scale);
            UNROLL for (uint i = 0u; i < HN; i++) {
                hvec a = fma(HV(c.x), K[k0 + i], dq[i]);
                a = fma(HV(c.y), K[k1 + i], a);
                a = fma(HV(c.z), K[k2 + i], a);
                dq[i] = fma(HV(c.w), K[k3 + i], a);
            }
        }
        UNROLL for (uint i = 0u; i < HN; i++) dQ[row * HN + i] = acc != 0u ? dQ[row * HN + i] + dq[i] : dq[i];
        delta[row] = del;
    }
END
