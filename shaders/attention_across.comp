/* attention_across: attention, whose lanes are keys: scores of VW keys come without sums across lanes, and
 * one exponential covers them. For T and D that VW divides, scores not capped.
 *   q, y, v, lse as in attention.comp   kt: panels of VW keys of k, (B T / VW, K D, VW), by pack_k
 * HN = D / VW. One item per QN queries t of (b, h in [h0, h0 + hn)), keys in order, VW at a time; `blocks`
 * such tiles of every head, from block0 on. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, QN, 8)
WGSIZE(WGX, WGY)
KERNEL(attention_across)
RO(0, float, Q) RO(1, fvec, KT) RO(2, fvec, V) RW(3, fvec, Y) WO(4, float, lse)
PARAMS P(uint, B) P(uint, h0) P(uint, hn) P(uint, block0) P(uint, blocks) P(uint, T) P(uint, H)
P(uint, KH) P(uint, HN) P(uint, window) P(float, scale)
LOCALS
BODY
    uint t0 = (block0 + GLIN % blocks) * QN, rest = GLIN / blocks, b = rest / hn;
    if (b < B) {
        uint h = h0 + rest % hn, kh = h / (H / KH), end = min(t0 + QN, T), D = HN * VW;
        uint first = t0 + 1u > window ? (t0 + 1u - window) / VW * VW : 0u;
        fvec s[QN];
        float p[QN * VW];
        float m[QN];
        float l[QN];
        float fade[QN];
        uint row[QN];
        UNROLL for (uint r = 0u; r < QN; r++) {
            row[r] = (b * T + min(t0 + r, T - 1u)) * H + h;
            m[r] = -3.0e38f;
            l[r] = 0.0f;
        }
        for (uint j = first; j < end; j += VW) {
            uint panel = ((b * T + j) / VW * KH + kh) * D, key = ((b * T + j) * KH + kh) * HN;
            UNROLL for (uint r = 0u; r < QN; r++) s[r] = FV(0.0f);
            for (uint d = 0u; d < D; d++) {
                fvec k = KT[panel + d];
                UNROLL for (uint r = 0u; r < QN; r++) s[r] = fma(FV(Q[row[r] * D + d]), k, s[r]);
            }
            UNROLL for (uint r = 0u; r < QN; r++) {
                float t = TOF(t0 + r) - TOF(j); /* the last lane that it sees */
                fvec z = FVKEEP(s[r] * FV(scale), t - TOF(window), t);
                float top = max(FVMAX(z), m[r]);
                z = exp(z - FV(top));
                STV(p, r * VW, z);
                fade[r] = exp(m[r] - top);
                m[r] = top;
                l[r] = l[r] * fade[r] + FVSUM(z);
            }
            for (uint i = 0u; i < HN; i++) {
                UNROLL for (uint r = 0u; r < QN; r++) {
                    s[r] = j != first ? Y[row[r] * HN + i] * FV(fade[r]) : FV(0.0f);
                }
                PASSES for (uint c = 0u; c < VW; c += 4u) {
                    UNROLL for (uint e = c; e < c + 4u; e++) {
                        fvec v = V[key + e * KH * HN + i];
                        UNROLL for (uint r = 0u; r < QN; r++) s[r] = fma(FV(p[r * VW + e]), v, s[r]);
                    }
                }
                UNROLL for (uint r = 0u; r < QN; r++) {
                    if (t0 + r < T) Y[row[r] * HN + i] = s[r];
                }
            }
        }
        PASSES for (uint r = 0u; r < QN; r++) {
            if (t0 + r < T) {
                float part = 1.0f / l[r];
                for (uint i = 0u; i < HN; i++) Y[row[r] * HN + i] = Y[row[r] * HN + i] * FV(part);
                lse[row[r]] = m[r] + log(l[r]);
            }
        }
    }
END
