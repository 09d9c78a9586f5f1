/* attention_dq_lanes: attention_dq for devices that pay for every lane of a load (llvmpipe), the same bits.
 * The items of a group are LANES tiles of queries side by side, of one head: each loads the rows of two keys
 * and takes those of the others from its neighbours. All go over the keys that one of them sees, KN = 2 LANES
 * at a time, as loading and storing dq costs more than all else; what an item's query does not see adds 0.
 * `blocks` and block0 are multiples of LANES, HW is 4, HN even: two vectors a pass, as llvmpipe loads and
 * stores all sums once a pass. Operands and parameters as attention_dq's. */
SPEC(0, uint, WGX, 8) SPEC(1, uint, WGY, 1) SPEC(2, uint, HW, 4) SPEC(3, uint, QN, 2) SPEC(4, uint, LANES, 8)
SPEC(5, uint, CAPPED, 0)
WGSIZE(WGX, WGY)
#include "cap.h"
#define KN (2u * LANES)
#define KQ (KN / 4u)
#define OF(c, mine, next) SG_FROM4((c) < LANES ? mine : next, (c) % LANES) /* of the c-th row */
KERNEL(attention_dq_lanes)
TEX(0, hvec, Q) TEX(1, hvec, K) TEX(2, hvec, V) TEX(3, hvec, dY) RO(4, float, lse) RO(5, float, delta)
RW(6, hvec, dQ)
PARAMS P(uint, B) P(uint, h0) P(uint, hn) P(uint, block0) P(uint, blocks) P(uint, T) P(uint, H)
P(uint, KH) P(uint, HN) P(uint, window) P(float, scale) P(uint, acc) P(float, cap)
LOCALS
BODY
    uint tile = block0 + GLIN % blocks, rest = GLIN / blocks, b = rest / hn;
    uint t0 = tile * QN, start = (tile - LID0) * QN;
    if (b < B) {
        uint h = h0 + rest % hn, kh = h / (H / KH), end = min(start + QN * LANES, T);
        uint first = start + 1u > window ? start + 1u - window : 0u;
        hvec s[QN * KN];
        hvec d[QN * KN];
        hvec a[KN];
        hvec q[2u * QN];
        hvec dy[2u * QN];
        float4 p[QN * KQ];
        float del[QN];
        uint qrow[QN];
        UNROLL for (uint r = 0u; r < QN; r++) {
            qrow[r] = ((b * T + min(t0 + r, T - 1u)) * H + h) * HN;
            del[r] = delta[qrow[r] / HN];
        }
        for (uint j = first; j < end; j += KN) {
            uint own = ((b * T + min(j + SG_LANE, T - 1u)) * KH + kh) * HN;
            uint next = ((b * T + min(j + LANES + SG_LANE, T - 1u)) * KH + kh) * HN;
            UNROLL for (uint c = 0u; c < QN * KN; c++) {
                s[c] = HV(0.0f);
                d[c] = HV(0.0f);
            }
            for (uint i = 0u; i < HN; i += 2u) {
                hvec k0 = TEXEL(K, own + i), k1 = TEXEL(K, own + i + 1u);
                hvec v0 = TEXEL(V, own + i), v1 = TEXEL(V, own + i + 1u);
                hvec m0 = TEXEL(K, next + i), m1 = TEXEL(K, next + i + 1u);
                hvec w0 = TEXEL(V, next + i), w1 = TEXEL(V, next + i + 1u);
                UNROLL for (uint r = 0u; r < 2u * QN; r++) {
                    q[r] = TEXEL(Q, qrow[r / 2u] + i + r % 2u);
                    dy[r] = TEXEL(dY, qrow[r / 2u] + i + r % 2u);
                }
                UNROLL for (uint c = 0u; c < KN; c++) {
                    hvec a0 = OF(c, k0, m0), a1 = OF(c, k1, m1), e0 = OF(c, v0, w0), e1 = OF(c, v1, w1);
                    UNROLL for (uint r = 0u; r < QN; r++) {
                        s[r * KN + c] = fma(q[2u * r + 1u], a1, fma(q[2u * r], a0, s[r * KN + c]));
                        d[r * KN + c] = fma(dy[2u * r + 1u], e1, fma(dy[2u * r], e0, d[r * KN + c]));
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
                hvec k0 = TEXEL(K, own + i), m0 = TEXEL(K, next + i);
                UNROLL for (uint c = 0u; c < KN; c++) a[c] = OF(c, k0, m0);
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
