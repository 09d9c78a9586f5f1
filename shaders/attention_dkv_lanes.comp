/* attention_dkv_lanes: attention_dkv for devices that pay for every lane of a load (llvmpipe), the same bits.
 * The items of a group are LANES tiles of keys side by side, of one head: each loads the rows of two queries
 * and takes those of the others from its neighbours. All begin with the first query that one of their keys
 * sees, KN = 2 LANES at a time, as loading and storing dk and dv costs more than all else; what an item's key
 * is not seen by adds 0. `blocks` and block0 are multiples of LANES, HW is 4, HN even: two vectors a pass, as
 * llvmpipe loads and stores all sums once a pass. Operands and parameters as attention_dkv's. */
SPEC(0, uint, WGX, 8) SPEC(1, uint, WGY, 1) SPEC(2, uint, HW, 4) SPEC(3, uint, QN, 2) SPEC(4, uint, LANES, 8)
SPEC(5, uint, CAPPED, 0)
WGSIZE(WGX, WGY)
#include "cap.h"
#define KN (2u * LANES)
#define KQ (KN / 4u)
#define OF(c, mine, next) SG_FROM4((c) < LANES ? mine : next, (c) % LANES) /* of the c-th row */
KERNEL(attention_dkv_lanes)
TEX(0, hvec, Q) TEX(1, hvec, K) TEX(2, hvec, V) TEX(3, hvec, dY) RO(4, float, lse) RO(5, float, delta)
RW(6, hvec, dK) RW(7, hvec, dV)
PARAMS P(uint, B) P(uint, h0) P(uint, hn) P(uint, block0) P(uint, blocks) P(uint, T) P(uint, H)
P(uint, KH) P(uint, HN) P(uint, window) P(float, scale) P(uint, acc_k) P(uint, acc_v)
P(float, cap)
LOCALS
BODY
    uint tile = block0 + GLIN % blocks, rest = GLIN / blocks, b = rest / hn;
    uint j0 = tile * QN, start = (tile - LID0) * QN;
    if (b < B) {
        uint kh = h0 + rest % hn, group = H / KH, add_k = acc_k, add_v = acc_v;
        uint end = min(start + QN * LANES - 1u + window, T); /* of the queries that see one of these keys */
        hvec s[QN * KN];
        hvec d[QN * KN];
        hvec a[KN];
        hvec y[KN];
        float4 p[QN * KQ];
        float4 e[QN * KQ];
        hvec k[2u * QN];
        hvec v[2u * QN];
        uint krow[QN];
        UNROLL for (uint r = 0u; r < QN; r++) krow[r] = ((b * T + min(j0 + r, T - 1u)) * KH + kh) * HN;
        for (uint h = kh * group; h < (kh + 1u) * group; h++) {
            for (uint t = start; t < end; t += KN) {
                uint own = ((b * T + min(t + SG_LANE, T - 1u)) * H + h) * HN;
                uint next = ((b * T + min(t + LANES + SG_LANE, T - 1u)) * H + h) * HN;
                UNROLL for (uint c = 0u; c < QN * KN; c++) {
                    s[c] = HV(0.0f);
                    d[c] = HV(0.0f);
                }
                for (uint i = 0u; i < HN; i += 2u) {
                    hvec q0 = TEXEL(Q, own + i), q1 = TEXEL(Q, own + i + 1u);
                    hvec e0 = TEXEL(dY, own + i), e1 = TEXEL(dY, own + i + 1u);
                    hvec m0 = TEXEL(Q, next + i), m1 = TEXEL(Q, next + i + 1u);
                    hvec w0 = TEXEL(dY, next + i), w1 = TEXEL(dY, next + i + 1u);
                    UNROLL for (uint r = 0u; r < 2u * QN; r++) {
                        k[r] = TEXEL(K, krow[r / 2u] + i + r % 2u);
                        v[r] = TEXEL(V, krow[r / 2u] + i + r % 2u);
                    }
                    UNROLL for (uint c = 0u; c < KN; c++) {
                        hvec a0 = OF(c, q0, m0), a1 = OF(c, q1, m1), y0 = OF(c, e0, w0), y1 = OF(c, e1, w1);
                        UNROLL for (uint r = 0u; r < QN; r++) {
                            s[r * KN + c] = fma(k[2u * r + 1u], a1, fma(k[2u * r], a0, s[r * KN + c]));
                            d[r * KN + c] = fma(v[2u * r + 1u], y1, fma(v[2u * r], y0, d[r * KN + c]));
                        }
                    }
                }
                float ls0 = lse[own / HN], ls1 = lse[next / HN];
                float del0 = delta[own / HN], del1 = delta[next / HN];
                UNROLL for (uint c = 0u; c < KQ; c++) {
                    uint query = t + 4u * c, l = 4u * c % LANES;
                    float ls_of = 4u * c < LANES ? ls0 : ls1, del_of = 4u * c < LANES ? del0 : del1;
                    float4 ls = F4(SG_FROM(ls_of, l), SG_FROM(ls_of, l + 1u), SG_FROM(ls_of, l + 2u),
                                   SG_FROM(ls_of, l + 3u));
                    float4 del = F4(SG_FROM(del_of, l), SG_FROM(del_of, l + 1u), SG_FROM(del_of, l + 2u),
                                    SG_FROM(del_of, l + 3u));
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
                    hvec q0 = TEXEL(Q, own + i), e0 = TEXEL(dY, own + i);
                    hvec m0 = TEXEL(Q, next + i), w0 = TEXEL(dY, next + i);
                    UNROLL for (uint c = 0u; c < KN; c++) {
                        a[c] = OF(c, q0, m0);
                        y[c] = OF(c, e0, w0);
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
