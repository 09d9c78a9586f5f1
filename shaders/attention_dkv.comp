/* attention_dkv: with p_tj = exp(q_t.k_j scale - lse_t),
 *   dv_j (+)= sum_{t >= j} p_tj dy_t,   dk_j (+)= scale sum_{t >= j} p_tj (dy_t.v_j - delta_t) q_t
 * over all H / K query heads of the key head, in order    (Dao et al. 2022, arXiv 2205.14135, B.2)
 *   q, dy (B T, H D)   k, v, dk, dv (B T, K D)   lse, delta (B T, H)
 * One item per (b, key head in [h0, h0 + hn), j), queries two at a time. acc_k, acc_v = 1 add to dk, dv. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, HW, 4) SPEC(3, uint, HN, 4)
WGSIZE(WGX, WGY)
KERNEL(attention_dkv)
RO(0, hvec, Q) RO(1, hvec, K) RO(2, hvec, V) RO(3, hvec, dY) RO(4, float, lse) RO(5, float, delta)
RW(6, hvec, dK) RW(7, hvec, dV)
PARAMS P(uint, B) P(uint, h0) P(uint, hn) P(uint, T) P(uint, H) P(uint, KH) P(float, scale)
P(uint, acc_k) P(uint, acc_v)
LOCALS
BODY
    uint j = GLIN % T, rest = GLIN / T, b = rest / hn;
    if (b < B) {
        uint kh = h0 + rest % hn, row = (b * T + j) * KH + kh, group = H / KH;
        hvec k[HN];
        hvec v[HN];
        hvec dk[HN];
        hvec dv[HN];
        UNROLL for (uint i = 0u; i < HN; i++) {
            k[i] = K[row * HN + i] * HV(scale);
            v[i] = V[row * HN + i];
            dk[i] = HV(0.0f);
            dv[i] = HV(0.0f);
        }
        for (uint h = kh * group; h < (kh + 1u) * group; h++) {
            for (uint t = j; t < T; t += 2u) {
                uint r0 = (b * T + t) * H + h, r1 = (b * T + min(t + 1u, T - 1u)) * H + h;
                hvec s0 = HV(0.0f), s1 = HV(0.0f), d0 = HV(0.0f), d1 = HV(0.0f);
                UNROLL for (uint i = 0u; i < HN; i++) {
                    s0 = fma(k[i], Q[r0 * HN + i], s0);
                    s1 = fma(k[i], Q[r1 * HN + i], s1);
                    d0 = fma(v[i], dY[r0 * HN + i], d0);
                    d1 = fma(v[i], dY[r1 * HN + i], d1);
                }
                float p0 = exp(HVSUM(s0) - lse[r0]), p1 = t + 1u < T ? exp(HVSUM(s1) - lse[r1]) : 0.0f;
                float c0 = p0 * (HVSUM(d0) - delta[r0]) * scale, c1 = p1 * (HVSUM(d1) - delta[r1]) * scale;
                UNROLL for (uint i = 0u; i < HN; i++) {
                    dv[i] = fma(HV(p1), dY[r1 * HN + i], fma(HV(p0), dY[r0 * HN + i], dv[i]));
                    dk[i] = fma(HV(c1), Q[r1 * HN + i], fma(HV(c0), Q[r0 * HN + i], dk[i]));
                }
            }
        }
        UNROLL for (uint i = 0u; i < HN; i++) {
            dK[row * HN + i] = acc_k != 0u ? dK[row * HN + i] + dk[i] : dk[i];
            dV[row * HN + i] = acc_v != 0u ? dV[row * HN + i] + dv[i] : dv[i];
        }
    }
END
