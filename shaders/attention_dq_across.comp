/* attention_dq_across: attention_dq, whose lanes are keys as in attention_across.
 *   q, k, dy, dq, lse, delta as in attention_dq.comp   kt, vt: panels of VW keys, (B T / VW, K D, VW)
 * HN = D / VW. One item per QN queries t of (b, h in [h0, h0 + hn)), keys in order, VW at a time; `blocks`
 * such tiles of every head, from block0 on. acc = 1 adds to dq. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, QN, 8)
WGSIZE(WGX, WGY)
KERNEL(attention_dq_across)
RO(0, float, Q) RO(1, fvec, K) RO(2, fvec, KT) RO(3, fvec, VT) RO(4, float, dY) RO(5, float, lse)
RO(6, float, delta) RW(7, fvec, dQ)
PARAMS P(uint, B) P(uint, h0) P(uint, hn) P(uint, block0) P(uint, blocks) P(uint, T) P(uint, H)
P(uint, KH) P(uint, HN) P(uint, window) P(float, scale) P(uint, acc)
LOCALS
BODY
    uint t0 = (block0 + GLIN % blocks) * QN, rest = GLIN / blocks, b = rest / hn;
    if (b < B) {
        uint h = h0 + rest % hn, kh = h / (H / KH), end = min(t0 + QN, T), D = HN * VW;
        uint first = t0 + 1u > window ? (t0 + 1u - window) / VW * VW : 0u;
        fvec s[QN];
        fvec x[QN];
        float p[QN * VW];
        uint row[QN];
        UNROLL for (uint r = 0u; r < QN; r++) row[r] = (b * T + min(t0 + r, T - 1u)) * H + h;
        for (uint j = first; j < end; j += VW) {
            uint panel = ((b * T + j) / VW * KH + kh) * D, key = ((b * T + j) * KH + kh) * HN;
            UNROLL for (uint r = 0u; r < QN; r++) {
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
                float t = TOF(t0 + r) - TOF(j);
                fvec z = FVKEEP(s[r] * FV(scale) - FV(lse[row[r]]), t - TOF(window), t);
                STV(p, r * VW, exp(z) * (x[r] - FV(delta[row[r]])) * FV(scale));
            }
            for (uint i = 0u; i < HN; i++) {
                UNROLL for (uint r = 0u; r < QN; r++) {
                    s[r] = j != first || acc != 0u ? dQ[row[r] * HN + i] : FV(0.0f);
                }
                PASSES for (uint c = 0u; c < VW; c += 4u) {
                    UNROLL for (uint e = c; e < c + 4u; e++) {
                        fvec k = K[key + e * KH * HN + i];
                        UNROLL for (uint r = 0u; r < QN; r++) s[r] = fma(FV(p[r * VW + e]), k, s[r]);
                    }
                }
                UNROLL for (uint r = 0u; r < QN; r++) {
                    if (t0 + r < T) dQ[row[r] * HN + i] = s[r];
                }
            }
        }
    }
END
