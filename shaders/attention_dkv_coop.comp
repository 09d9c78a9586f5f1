/* attention_dkv_coop: attention_dkv by matrix hardware, its operands rounded to fp16, its sums in f32 (Dao et
 * al. 2022, arXiv 2205.14135, B.2). Operands, window and cap as in attention_dkv.comp, but delta (B T, H, 2):
 * delta and the largest |dy| of the row (attention_delta).
 * A group takes QT keys of (b, key head in [h0, h0 + hn)) and KT queries at a time, in order, of all H / KH
 * heads; subgroups and their fragments as in attention_dq_coop, with keys and queries changed over. dy is
 * scaled by the largest number of the queries that see these keys, each row of what q is multiplied by by its
 * largest yet, weights by 2^14. `blocks` tiles of every key head, from block0 on.
 * A group that meets a number above fp16's largest, or none, makes its tile once more, of f32 operands. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, DIM, 64) SPEC(3, uint, SUBGROUP, 8)
SPEC(4, uint, CAPPED, 0) SPEC(5, uint, CM, 8) SPEC(6, uint, CN, 8) SPEC(7, uint, CK, 8)
WGSIZE(WGX, WGY)
#include "cap.h"
#include "coop.h"
#include "coop_attention.h"
#define WEIGHT 16384.0f
KERNEL(attention_dkv_coop)
RO(0, float4, Q) RO(1, float4, K) RO(2, float4, V) RO(3, float4, dY) RO(4, float, lse) RO(5, float, delta)
RW(6, float, dK) RW(7, float, dV)
PARAMS P(uint, B) P(uint, h0) P(uint, hn) P(uint, block0) P(uint, blocks) P(uint, T) P(uint, H)
P(uint, KH) P(uint, HN) P(uint, window) P(float, scale) P(uint, acc_k) P(uint, acc_v)
P(float, cap)
LOCALS SHARED(frag_t, kv, 2u * KT * PITCH) SHARED(frag_t, pp, QT * PITCH) SHARED(float, st, QT * PS)
SHARED(float, part, QT * SEG) SHARED(float, fade, QT) SHARED(float, top, QT) SHARED(uint, wide, 1)
BODY
    uint j0 = (block0 + WLIN % blocks) * QT, rest = WLIN / blocks, b = rest / hn, bad = 0u;
    if (b < B) {
        uint kh = h0 + rest % hn, group = H / KH, rows = min(QT, T - j0), row0 = (b * T + j0) * KH + kh;
        uint end = min(j0 + QT - 1u + window, T); /* of the queries that see one of these keys */
        uint sg = SG_ID, down = sg / ACROSS2, across = sg % ACROSS2;
        FRAG_A(fk, CHUNKS * (DC / CK));
        FRAG_A(fv, CHUNKS * (DC / CK));
        FRAG_A(fp, KT / CK);
        FRAG_B(fb, 1);
        FRAG_C(score, NS);
        FRAG_C(slope, NS);
        FRAG_C(sum_k, CHUNKS * NX);
        FRAG_C(sum_v, CHUNKS * NX);
        FRAG_C(fades, 1);
        FRAGS for (uint i = 0u; i < CHUNKS * NX; i++) {
            FRAG_ZERO(sum_k[i]);
            FRAG_ZERO(sum_v[i]);
        }
        if (LID0 == 0u) wide[0] = 0u;
        EACH(r, QT) {
            float most = 0.0f;
            for (uint i = r; i < (end - j0) * group; i += QT)
                most = max(most, delta[2u * ((b * T + j0 + i / group) * H + kh * group + i % group) + 1u]);
            part[r] = most;
            top[r] = 0.0f;
        }
        KEEP_ROWS(fk, pp, K, b * T + j0, T - j0, KH * HN, kh * HN, 1.0f);
        KEEP_ROWS(fv, pp, V, b * T + j0, T - j0, KH * HN, kh * HN, 1.0f);
        float by_dy = 0.0f;
        for (uint r = 0u; r < QT; r++) by_dy = max(by_dy, part[r]);
        by_dy = coop_scale(by_dy);
        for (uint h = kh * group; h < (kh + 1u) * group; h++) {
            for (uint t = j0; t < end; t += KT) {
                EACH(e, QT * KT) {
                    uint row = (b * T + min(t + e % KT, T - 1u)) * H + h;
                    st[e / KT * PS + e % KT] = -delta[2u * row] * by_dy;
                }
                BARRIER();
                FRAGS for (uint s = 0u; s < NS; s++) {
                    FRAG_ZERO(score[s]);
                    FRAG_LOAD_C(slope[s], st, down * CM * PS + (across * NS + s) * CN, PS);
                }
                SCORE(score, fk, Q, b * T + t, T - t, H * HN, h * HN, 1.0f);
                FRAGS for (uint s = 0u; s < NS; s++) {
                    FRAG_STORE(score[s], st, down * CM * PS + (across * NS + s) * CN, PS);
                }
                BARRIER();
                EACH(e, QT * KT) {
                    uint r = e / KT, c = e % KT, query = t + c;
                    float z = st[r * PS + c] * scale, times = scale;
                    if (CAPPED != 0u) {
                        z = capped(z, cap);
                        times = scale * (1.0f - z * z / (cap * cap));
                    }
                    z = z - lse[(b * T + min(query, T - 1u)) * H + h];
                    if (query >= T || !(query - (j0 + r) < window)) z = -3.0e38f; /* or before j: wraps */
                    z = exp(z);
                    if (!(z * WEIGHT <= LARGEST)) bad = 1u;
                    pp[r * PITCH + c] = TOFRAG(z * WEIGHT);
                    st[r * PS + c] = z * times;
                }
                FRAGS for (uint c = 0u; c < CHUNKS; c++) {
                    uint at = c % 2u * KT * PITCH;
                    COPY_CHUNK(kv, at, KT, dY, b * T + t, T - t, H * HN, h * HN, c *DC, by_dy);
                    BARRIER();
                    if (c == 0u) {
                        KEEP_WEIGHTS;
                        FRAGS for (uint s = 0u; s < NS; s++) {
                            FRAG_LOAD_C(score[s], st, down * CM * PS + (across * NS + s) * CN, PS);
                        }
                    }
                    SCORE_CHUNK(slope, fv, c, at);
                    FRAGS for (uint n = 0u; n < NX; n++) { ADD_WEIGHTED(sum_v[c * NX + n], n, at); }
                }
                BARRIER();
                FRAGS for (uint s = 0u; s < NS; s++) {
                    FRAG_TIMES(slope[s], score[s]);
                    FRAG_STORE(slope[s], st, down * CM * PS + (across * NS + s) * CN, PS);
                }
                BARRIER();
                SCALE_ROWS;
                FRAGS for (uint c = 0u; c < CHUNKS; c++) {
                    uint at = c % 2u * KT * PITCH;
                    COPY_CHUNK(kv, at, KT, Q, b * T + t, T - t, H * HN, h * HN, c *DC, 1.0f);
                    BARRIER();
                    ADD_CHUNK(sum_k, c, at);
                }
                BARRIER();
            }
        }
        if (bad != 0u) wide[0] = 1u;
        BARRIER();
        float inverse = coop_inverse(by_dy);
        GIVE_SUMS(sum_k, dK, row0 * DIM, KH * DIM, rows, inverse, coop_inverse(coop_scale(top[r])), acc_k);
        GIVE_SUMS(sum_v, dV, row0 * DIM, KH * DIM, rows, inverse, 1.0f / WEIGHT, acc_v);
        if (wide[0] != 0u) {
            EACH(r, rows) {
                uint j = j0 + r, k = (row0 + r * KH) * HN, last = min(j + window, T);
                uint add_k = acc_k, add_v = acc_v;
                for (uint h = kh * group; h < (kh + 1u) * group; h++) {
                    for (uint t = j; t < last; t++) {
                        uint row = (b * T + t) * H + h, q = row * HN;
                        float z = 0.0f, e = -delta[2u * row], times = scale;
                        for (uint i = 0u; i < HN; i++) {
                            z += dot(Q[q + i], K[k + i]);
                            e += dot(dY[q + i], V[k + i]);
                        }
                        z = CAPPED != 0u ? capped(z * scale, cap) : z * scale;
                        if (CAPPED != 0u) times = scale * (1.0f - z * z / (cap * cap));
                        z = exp(z - lse[row]);
                        e = z * e * times;
                        for (uint i = 0u; i < HN; i++) {
                            float4 dk = F4S(0.0f), dv = F4S(0.0f);
                            if (add_k != 0u) dk = LD4(dK, 4u * (k + i));
                            if (add_v != 0u) dv = LD4(dV, 4u * (k + i));
                            ST4(dK, 4u * (k + i), dk + Q[q + i] * F4S(e));
                            ST4(dV, 4u * (k + i), dv + dY[q + i] * F4S(z));
                        }
                        add_k = 1u;
                        add_v = 1u;
                    }
                }
            }
        }
    }
END
