/* attention_dq_coop: attention_dq by matrix hardware, its operands rounded to fp16, its sums in f32 (Dao et
 * al. 2022, arXiv 2205.14135, B.2; Dao 2023, arXiv 2307.08691). Operands, window and cap as in
 * attention_dq.comp, but delta (B T, H, 2): delta and the largest |dy| of the row (attention_delta).
 * Tiles as in attention_coop: the subgroup (down, across) keeps its CM queries and their gradients as
 * fragments, makes half of the scores and of the products dy.v - delta of a tile of keys, and half of the
 * columns of the sums. What is multiplied of gradients is scaled by powers of two, which the sums give back:
 * each row of dy, and each row of what k is multiplied by, by its largest number yet.
 * A group that meets a number above fp16's largest, or none, makes its tile once more, of f32 operands. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, DIM, 64) SPEC(3, uint, SUBGROUP, 8)
SPEC(4, uint, CAPPED, 0) SPEC(5, uint, CM, 8) SPEC(6, uint, CN, 8) SPEC(7, uint, CK, 8)
WGSIZE(WGX, WGY)
#include "cap.h"
#include "coop.h"
#include "coop_attention.h"
KERNEL(attention_dq_coop)
RO(0, float4, Q) RO(1, float4, K) RO(2, float4, V) RO(3, float4, dY) RO(4, float, lse) RO(5, float, delta)
RW(6, float, dQ)
PARAMS P(uint, B) P(uint, h0) P(uint, hn) P(uint, block0) P(uint, blocks) P(uint, T) P(uint, H)
P(uint, KH) P(uint, HN) P(uint, window) P(float, scale) P(uint, acc) P(float, cap)
LOCALS SHARED(frag_t, kv, 2u * KT * PITCH) SHARED(frag_t, pp, QT * PITCH) SHARED(float, st, QT * PS)
SHARED(float, part, QT * SEG) SHARED(float, fade, QT) SHARED(float, top, QT)
SHARED(float, by_dy, QT) SHARED(uint, wide, 1)
BODY
    uint t0 = (block0 + WLIN % blocks) * QT, rest = WLIN / blocks, b = rest / hn, bad = 0u;
    if (b < B) {
        uint h = h0 + rest % hn, kh = h / (H / KH), end = min(t0 + QT, T), row0 = (b * T + t0) * H + h;
        uint first = t0 + 1u > window ? t0 + 1u - window : 0u;
        uint sg = SG_ID, down = sg / ACROSS2, across = sg % ACROSS2;
        FRAG_A(fq, CHUNKS * (DC / CK));
        FRAG_A(fy, CHUNKS * (DC / CK));
        FRAG_A(fp, KT / CK);
        FRAG_B(fb, 1);
        FRAG_C(score, NS);
        FRAG_C(slope, NS);
        FRAG_C(sum, CHUNKS * NX);
        FRAG_C(fades, 1);
        FRAGS for (uint i = 0u; i < CHUNKS * NX; i++) { FRAG_ZERO(sum[i]); }
        if (LID0 == 0u) wide[0] = 0u;
        EACH(r, QT) {
            top[r] = 0.0f;
            by_dy[r] = coop_scale(delta[2u * (row0 + min(r, end - t0 - 1u) * H) + 1u]);
        }
        KEEP_ROWS(fq, pp, Q, b * T + t0, T - t0, H * HN, h * HN, 1.0f);
        KEEP_ROWS(fy, pp, dY, b * T + t0, T - t0, H * HN, h * HN, by_dy[r_]);
        for (uint j = first; j < end; j += KT) {
            EACH(e, QT * KT) {
                uint r = e / KT;
                st[r * PS + e % KT] = -delta[2u * (row0 + min(r, end - t0 - 1u) * H)] * by_dy[r];
            }
            BARRIER();
            FRAGS for (uint s = 0u; s < NS; s++) {
                FRAG_ZERO(score[s]);
                FRAG_LOAD_C(slope[s], st, down * CM * PS + (across * NS + s) * CN, PS);
            }
            SCORE(score, fq, K, b * T + j, end - j, KH * HN, kh * HN, 1.0f);
            FRAGS for (uint s = 0u; s < NS; s++) {
                FRAG_STORE(score[s], st, down * CM * PS + (across * NS + s) * CN, PS);
            }
            BARRIER();
            EACH(e, QT * KT) {
                uint r = e / KT, c = e % KT, t = t0 + r;
                float z = st[r * PS + c] * scale, times = scale;
                if (CAPPED != 0u) {
                    z = capped(z, cap);
                    times = scale * (1.0f - z * z / (cap * cap));
                }
                z = z - lse[row0 + min(r, end - t0 - 1u) * H];
                if (t >= T || !(t - (j + c) < window)) z = -3.0e38f; /* keys past t wrap around */
                st[r * PS + c] = exp(z) * times;
            }
            SCORE(slope, fy, V, b * T + j, end - j, KH * HN, kh * HN, 1.0f);
            FRAGS for (uint s = 0u; s < NS; s++) {
                FRAG_LOAD_C(score[s], st, down * CM * PS + (across * NS + s) * CN, PS);
                FRAG_TIMES(slope[s], score[s]);
            }
            BARRIER();
            FRAGS for (uint s = 0u; s < NS; s++) {
                FRAG_STORE(slope[s], st, down * CM * PS + (across * NS + s) * CN, PS);
            }
            BARRIER();
            SCALE_ROWS;
            FRAGS for (uint c = 0u; c < CHUNKS; c++) {
                uint at = c % 2u * KT * PITCH;
                COPY_CHUNK(kv, at, KT, K, b * T + j, end - j, KH * HN, kh * HN, c *DC, 1.0f);
                BARRIER();
                ADD_CHUNK(sum, c, at);
            }
            BARRIER();
        }
        if (bad != 0u) wide[0] = 1u;
        BARRIER();
        GIVE_SUMS(sum, dQ, row0 * DIM, H * DIM, end - t0, coop_inverse(by_dy[r]),
                  coop_inverse(coop_scale(top[r])), acc);
        if (wide[0] != 0u) {
            EACH(r, end - t0) {
                uint t = t0 + r, row = row0 + r * H, q = row * HN;
                uint from = t + 1u > window ? t + 1u - window : 0u;
                for (uint j = from; j <= t; j++) {
                    uint k = ((b * T + j) * KH + kh) * HN;
                    float z = 0.0f, e = -delta[2u * row], times = scale;
                    for (uint i = 0u; i < HN; i++) {
                        z += dot(Q[q + i], K[k + i]);
                        e += dot(dY[q + i], V[k + i]);
                    }
                    z = CAPPED != 0u ? capped(z * scale, cap) : z * scale;
                    if (CAPPED != 0u) times = scale * (1.0f - z * z / (cap * cap));
                    e = exp(z - lse[row]) * e * times;
                    for (uint i = 0u; i < HN; i++) {
                        float4 old = F4S(0.0f);
                        if (j != from || acc != 0u) old = LD4(dQ, 4u * (q + i));
                        ST4(dQ, 4u * (q + i), old + K[k + i] * F4S(e));
                    }
                }
            }
        }
    }
END
