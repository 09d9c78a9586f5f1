/* attention_coop: attention by matrix hardware: scores and sums by fragments of operands rounded to fp16,
 * summed in f32, between them the softmax in f32 (Dao et al. 2022, arXiv 2205.14135; Dao 2023, arXiv
 * 2307.08691). Operands, window and cap as in attention.comp.
 * HN = DIM / 4. A group takes QT queries of (b, h in [h0, h0 + hn)) and KT keys at a time, in order: the
 * subgroup (down, across) of 2 DOWN keeps its CM queries as fragments and makes half of the scores of a tile
 * of keys, which lie in shared memory for the softmax, four parts to a row; then half of the columns of the
 * sums, which it keeps and fades by a fragment whose rows are the fades. `blocks` tiles of queries of every
 * head, from block0 on.
 * A group that meets a number above fp16's largest, or none, makes its tile once more, of f32 operands. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, DIM, 64) SPEC(3, uint, SUBGROUP, 8)
SPEC(4, uint, CAPPED, 0) SPEC(5, uint, CM, 8) SPEC(6, uint, CN, 8) SPEC(7, uint, CK, 8)
WGSIZE(WGX, WGY)
#include "cap.h"
#include "coop.h"
#include "coop_attention.h"
KERNEL(attention_coop)
RO(0, float4, Q) RO(1, float4, K) RO(2, float4, V) RW(3, float, Y) WO(4, float, lse)
PARAMS P(uint, B) P(uint, h0) P(uint, hn) P(uint, block0) P(uint, blocks) P(uint, T) P(uint, H)
P(uint, KH) P(uint, HN) P(uint, window) P(float, scale) P(float, cap)
LOCALS SHARED(frag_t, kv, 2u * KT * PITCH) SHARED(frag_t, pp, QT * PITCH) SHARED(float, st, QT * PS)
SHARED(float, part, QT * SEG) SHARED(float, sums, QT * SEG) SHARED(float, fade, QT) SHARED(float, top, QT)
SHARED(float, mass, QT) SHARED(uint, wide, 1)
BODY
    uint t0 = (block0 + WLIN % blocks) * QT, rest = WLIN / blocks, b = rest / hn, bad = 0u;
    if (b < B) {
        uint h = h0 + rest % hn, kh = h / (H / KH), end = min(t0 + QT, T);
        uint first = t0 + 1u > window ? t0 + 1u - window : 0u;
        uint sg = SG_ID, down = sg / ACROSS2, across = sg % ACROSS2;
        FRAG_A(fq, CHUNKS * (DC / CK));
        FRAG_A(fp, KT / CK);
        FRAG_B(fb, 1);
        FRAG_C(score, NS);
        FRAG_C(sum, CHUNKS * NX);
        FRAG_C(fades, 1);
        FRAGS for (uint i = 0u; i < CHUNKS * NX; i++) { FRAG_ZERO(sum[i]); }
        if (LID0 == 0u) wide[0] = 0u;
        EACH(r, QT) {
            top[r] = NOTHING;
            mass[r] = 0.0f;
        }
        KEEP_ROWS(fq, pp, Q, b * T + t0, T - t0, H * HN, h * HN, 1.0f);
        for (uint j = first; j < end; j += KT) {
            FRAGS for (uint s = 0u; s < NS; s++) { FRAG_ZERO(score[s]); }
            SCORE(score, fq, K, b * T + j, end - j, KH * HN, kh * HN, 1.0f);
            FRAGS for (uint s = 0u; s < NS; s++) {
                FRAG_STORE(score[s], st, down * CM * PS + (across * NS + s) * CN, PS);
            }
            BARRIER();
            EACH(e, QT * SEG) {
                uint r = e / SEG, t = t0 + r;
                float most = NOTHING;
                for (uint c = e % SEG; c < KT; c += SEG) {
                    float z = st[r * PS + c] * scale;
                    if (CAPPED != 0u) z = capped(z, cap);
                    if (!(t - (j + c) < window)) z = -3.0e38f; /* keys past t wrap around */
                    st[r * PS + c] = z;
                    most = max(most, z);
                }
                part[e] = most;
            }
            BARRIER();
            EACH(e, QT * SEG) {
                uint r = e / SEG;
                float now = top[r], part_sum = 0.0f;
                UNROLL for (uint s = 0u; s < SEG; s++) now = max(now, part[r * SEG + s]);
                for (uint c = e % SEG; c < KT; c += SEG) {
                    float z = exp(st[r * PS + c] - now);
                    pp[r * PITCH + c] = TOFRAG(z);
                    part_sum += z;
                }
                sums[e] = part_sum;
                if (e % SEG == 0u) fade[r] = exp(top[r] - now);
            }
            BARRIER();
            EACH(r, QT) {
                float now = top[r], more = 0.0f;
                UNROLL for (uint s = 0u; s < SEG; s++) {
                    now = max(now, part[r * SEG + s]);
                    more += sums[r * SEG + s];
                }
                top[r] = now;
                mass[r] = mass[r] * fade[r] + more;
            }
            EACH(e, QT * CN) st[e] = fade[e / CN];
            FRAGS for (uint c = 0u; c < CHUNKS; c++) {
                uint at = c % 2u * KT * PITCH;
                COPY_CHUNK(kv, at, KT, V, b * T + j, end - j, KH * HN, kh * HN, c *DC, 1.0f);
                BARRIER();
                if (c == 0u) {
                    FRAG_LOAD_C(fades[0], st, down * CM * CN, CN);
                    FRAGS for (uint k = 0u; k < KT / CK; k++) {
                        FRAG_LOAD_A_ROWS(fp[k], pp, down * CM * PITCH + k * CK, PITCH);
                    }
                }
                FRAGS for (uint n = 0u; n < NX; n++) {
                    FRAG_TIMES(sum[c * NX + n], fades[0]);
                    FRAGS for (uint k = 0u; k < KT / CK; k++) {
                        FRAG_LOAD_B(fb[0], kv, at + k * CK * PITCH + (across * NX + n) * CN, PITCH);
                        FRAG_MUL(sum[c * NX + n], fp[k], fb[0]);
                    }
                }
            }
            BARRIER();
        }
        if (bad != 0u) wide[0] = 1u;
        BARRIER();
        FRAGS for (uint f = 0u; f < CHUNKS * NX; f++) {
            FRAG_STORE(sum[f], st, sg * CM * CN, CN);
            BARRIER();
            EACH(e, WGX / SUBGROUP * CM * CN) {
                uint of = e / (CM * CN), r = of / ACROSS2 * CM + e % (CM * CN) / CN;
                uint d = f / NX * DC + (of % ACROSS2 * NX + f % NX) * CN + e % CN;
                if (wide[0] == 0u && t0 + r < T && d < DIM)
                    Y[((b * T + t0 + r) * H + h) * DIM + d] = st[e] * (1.0f / mass[r]);
            }
            BARRIER();
        }
        EACH(r, end - t0) {
            uint row = (b * T + t0 + r) * H + h;
            if (wide[0] == 0u) lse[row] = top[r] + log(mass[r]);
        }
        if (wide[0] != 0u) {
            EACH(r, end - t0) {
                uint t = t0 + r, q = ((b * T + t) * H + h) * HN;
                uint from = t + 1u > window ? t + 1u - window : 0u;
                float m = NOTHING, l = 0.0f;
                for (uint j = from; j <= t; j++) {
                    uint k = ((b * T + j) * KH + kh) * HN;
                    float z = 0.0f;
                    for (uint i = 0u; i < HN; i++) z += dot(Q[q + i], K[k + i]);
                    z = CAPPED != 0u ? capped(z * scale, cap) : z * scale;
                    float now = max(m, z), fading = exp(m - now), e = exp(z - now);
                    m = now;
                    l = l * fading + e;
                    for (uint i = 0u; i < HN; i++) {
                        float4 y = F4S(0.0f), v = V[k + i];
                        if (j != from) y = LD4(Y, 4u * (q + i)) * F4S(fading);
                        ST4(Y, 4u * (q + i), y + v * F4S(e));
                    }
                }
                for (uint i = 0u; i < DIM; i++) Y[4u * q + i] = Y[4u * q + i] * (1.0f / l);
                lse[q / HN] = m + log(l);
            }
        }
    }
END
