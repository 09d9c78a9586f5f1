/* attention_dkv_across: attention_dkv, whose lanes are keys as in attention_across.
 *   q, dy, lse, delta, dk, dv as in attention_dkv.comp   kt, vt: panels of VW keys, (B T / VW, K D, VW)
 * HN = D / VW, at most HM. One item per VW keys j of (b, key head in [h0, h0 + hn)), which holds their
 * gradients, lanes still keys; queries in order, QN at a time; `blocks` such tiles of every head, from block0
 * on. acc_k, acc_v = 1 add to dk, dv. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, QN, 8) SPEC(3, uint, HM, 4)
WGSIZE(WGX, WGY)
KERNEL(attention_dkv_across)
RO(0, float, Q) RO(1, fvec, KT) RO(2, fvec, VT) RO(3, float, dY) RO(4, float, lse) RO(5, float, delta)
RW(6, float, dK) RW(7, float, dV)
PARAMS P(uint, B) P(uint, h0) P(uint, hn) P(uint, block0) P(uint, blocks) P(uint, T) P(uint, H)
P(uint, KH) P(uint, HN) P(uint, window) P(float, scale) P(uint, acc_k) P(uint, acc_v)
LOCALS
BODY
    uint j = (block0 + GLIN % blocks) * VW, rest = GLIN / blocks, b = rest / hn;
    if (b < B) {
        uint kh = h0 + rest % hn, group = H / KH, D = HN * VW, end = min(j + VW - 1u + window, T);
        uint panel = ((b * T + j) / VW * KH + kh) * D;
        float gk[HM * VW * VW];
        float gv[HM * VW * VW];
        fvec s[QN];
        fvec x[QN];
        uint row[QN];
        for (uint d = 0u; d < D; d++) {
            STV(gk, d * VW, FV(0.0f));
            STV(gv, d * VW, FV(0.0f));
        }
        for (uint h = kh * group; h < (kh + 1u) * group; h++) {
            for (uint t0 = j; t0 < end; t0 += QN) {
                UNROLL for (uint r = 0u; r < QN; r++) {
                    row[r] = (b * T + min(t0 + r, T - 1u)) * H + h;
                    s[r] = FV(0.0f);
                    x[r] = FV(0.0f);
                }
                for (uint d = 0u; d < D; d++) {
                    fvec k = KT[panel + d], v = VT[panel + d];
                    UNROLL for (uint r = 0u; r < QN; r++) {
                        s[r] = fma(FV(Q[row[r] * D + d]), k, s[r]);
                        x[r] = fma(FV(dY[row[r] * D + d]), v, x[r]);
                    }
                }
                UNROLL for (uint r = 0u; r < QN; r++) {
                    float t = TOF(t0 + r) - TOF(j), last = t0 + r < T ? t : -1.0f;
                    s[r] = exp(FVKEEP(s[r] * FV(scale) - FV(lse[row[r]]), t - TOF(window), last));
                    x[r] = s[r] * (x[r] - FV(delta[row[r]])) * FV(scale);
                }
                for (uint d = 0u; d < D; d++) {
                    fvec dk = LDV(gk, d * VW), dv = LDV(gv, d * VW);
                    UNROLL for (uint r = 0u; r < QN; r++) {
                        dk = fma(FV(Q[row[r] * D + d]), x[r], dk);
                        dv = fma(FV(dY[row[r] * D + d]), s[r], dv);
                    }
                    STV(gk, d * VW, dk);
                    STV(gv, d * VW, dv);
                }
            }
        }
        for (uint c = 0u; c < VW; c++) {
            uint to = ((b * T + j + c) * KH + kh) * D;
            for (uint d = 0u; d < D; d++) {
                float dk = acc_k != 0u ? dK[to + d] : 0.0f, dv = acc_v != 0u ? dV[to + d] : 0.0f;
                dK[to + d] = dk + gk[d * VW + c];
                dV[to + d] = dv + gv[d * VW + c];
            }
        }
    }
END
