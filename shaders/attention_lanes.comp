/* attention_lanes: attention for devices that pay for every lane of a load (llvmpipe), without a window, the
 * same bits. The items of a group are LANES tiles of queries side by side, of one head: each loads the rows
 * of two keys and takes those of the others from its neighbours. All go over the keys that one of them sees,
 * KN = 2 LANES at a time, in two halves with a maximum each, as loading and storing y costs more than all
 * else; what an item's query does not see adds 0. `blocks` and block0 are multiples of LANES, HW is 4, HN
 * even: two vectors a pass, as llvmpipe loads and stores all sums once a pass. Operands and parameters as
 * attention's; window is T. */
SPEC(0, uint, WGX, 8) SPEC(1, uint, WGY, 1) SPEC(2, uint, HW, 4) SPEC(3, uint, QN, 2) SPEC(4, uint, LANES, 8)
SPEC(5, uint, CAPPED, 0)
WGSIZE(WGX, WGY)
#include "cap.h"
#define KN (2u * LANES)
#define KQ (LANES / 4u)
#define OF(c, mine, next) SG_FROM4((c) < LANES ? mine : next, (c) % LANES) /* of the c-th key */
KERNEL(attention_lanes)
TEX(0, hvec, Q) TEX(1, hvec, K) TEX(2, hvec, V) RW(3, hvec, Y) WO(4, float, lse)
PARAMS P(uint, B) P(uint, h0) P(uint, hn) P(uint, block0) P(uint, blocks) P(uint, T) P(uint, H)
P(uint, KH) P(uint, HN) P(uint, window) P(float, scale) P(float, cap)
LOCALS
BODY
    uint tile = block0 + GLIN % blocks, rest = GLIN / blocks, b = rest / hn;
    uint t0 = tile * QN, start = (tile - LID0) * QN;
    if (b < B) {
        uint h = h0 + rest % hn, kh = h / (H / KH), end = min(start + QN * LANES, T);
        hvec s[QN * KN];
        hvec a[KN];
        float4 p[QN * 2u * KQ];
        float m[QN];
        float l[QN];
        float fade[2u * QN];
        uint qrow[QN];
        hvec q[2u * QN];
        UNROLL for (uint r = 0u; r < QN; r++) {
            qrow[r] = ((b * T + min(t0 + r, T - 1u)) * H + h) * HN;
            m[r] = -3.0e38f;
            l[r] = 0.0f;
        }
        for (uint j = 0u; j < end; j += KN) {
            uint own = ((b * T + min(j + SG_LANE, T - 1u)) * KH + kh) * HN;
            uint next = ((b * T + min(j + LANES + SG_LANE, T - 1u)) * KH + kh) * HN;
            UNROLL for (uint c = 0u; c < QN * KN; c++) s[c] = HV(0.0f);
            for (uint i = 0u; i < HN; i += 2u) {
                hvec k0 = TEXEL(K, own + i), k1 = TEXEL(K, own + i + 1u);
                hvec n0 = TEXEL(K, next + i), n1 = TEXEL(K, next + i + 1u);
                UNROLL for (uint r = 0u; r < 2u * QN; r++) q[r] = TEXEL(Q, qrow[r / 2u] + i + r % 2u);
                UNROLL for (uint c = 0u; c < KN; c++) {
                    hvec a0 = OF(c, k0, n0), a1 = OF(c, k1, n1);
                    UNROLL for (uint r = 0u; r < QN; r++)
                        s[r * KN + c] = fma(q[2u * r + 1u], a1, fma(q[2u * r], a0, s[r * KN + c]));
                }
            }
            UNROLL for (uint r = 0u; r < 2u * QN; r++) { /* of query r / 2, of half r % 2 */
                uint t = t0 + r / 2u;                    /* keys past it wrap around; key 0 counts for all */
                float top = m[r / 2u], sum = 0.0f;
                UNROLL for (uint c = 0u; c < KQ; c++) {
                    uint at = r * LANES + 4u * c, key = j + r % 2u * LANES + 4u * c;
                    float4 z = HVSUM4(s[at], s[at + 1u], s[at + 2u], s[at + 3u]);
                    z = z * F4S(scale);
                    if (CAPPED != 0u) z = capped4(z, cap);
                    z = F4(t - key < window ? z.x : -3.0e38f, t - key - 1u < window ? z.y : -3.0e38f,
                           t - key - 2u < window ? z.z : -3.0e38f, t - key - 3u < window ? z.w : -3.0e38f);
                    top = max(max(max(z.x, z.y), max(z.z, z.w)), top);
                    p[r * KQ + c] = z;
                }
                fade[r] = exp(m[r / 2u] - top);
                UNROLL for (uint c = 0u; c < KQ; c++) {
                    float4 e = exp(p[r * KQ + c] - F4S(top));
                    p[r * KQ + c] = e;
                    sum += (e.x + e.y) + (e.z + e.w);
                }
                m[r / 2u] = top;
                l[r / 2u] = l[r / 2u] * fade[r] + sum;
            }
            for (uint i = 0u; i < HN; i++) {
                hvec v0 = TEXEL(V, own + i), v1 = TEXEL(V, next + i);
                UNROLL for (uint c = 0u; c < KN; c++) a[c] = OF(c, v0, v1);
                UNROLL for (uint r = 0u; r < QN; r++) {
                    hvec y = j != 0u ? Y[qrow[r] + i] * HV(fade[2u * r]) : HV(0.0f);
                    UNROLL for (uint c = 0u; c < 2u * KQ; c++) {
                        float4 e = p[2u * r * KQ + c];
                        if (c == KQ) y = y * HV(fade[2u * r + 1u]);
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
