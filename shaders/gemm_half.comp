/* gemm_half: gemm_tiles of operands rounded to fp16, in half the shared memory and traffic, sums in f32.
 *   A [ceil(M / TM)][K][TM] f32   B [ceil(N / TC)][K][TC] f32, zero padded   C row-major, pitch ldc
 * Tiles, order and parts of sums and acc as there; slices, TA and TB as in gemm_coop: panels of gradients are
 * scaled by powers of two, which the sums give back. A group that meets a number above fp16's largest makes
 * its tile once more, of f32 operands. 4 WGY divides TM, VW WGX TC. */
SPEC(0, uint, WGX, 16) SPEC(1, uint, WGY, 8) SPEC(2, uint, TM, 64) SPEC(3, uint, TC, 64)
WGSIZE(WGX, WGY)
#include "half.h"
#include "scale.h"
#define KT 16u
#define RM (TM / WGY / 4u)
#define RN (TC / WGX / VW)
#define ADD_ROWS(a)                                                                                          \
    UNROLL for (uint l = 0u; l < 4u; l++) {                                                                  \
        UNROLL for (uint j = 0u; j < RN; j++)                                                                \
            sum[(h * 4u + l) * RN + j] = fma(FV(LANE(a, l)), b[j], sum[(h * 4u + l) * RN + j]);              \
    }
KERNEL(gemm_half)
RO(0, float4, A) RO(1, fvec, B) RW(2, float, C) RO(3, float, TA) RO(4, float, TB)
PARAMS P(uint, M) P(uint, N) P(uint, K) P(uint, ldc) P(uint, c0) P(uint, acc) P(uint, kp) P(uint, cp)
P(uint, slices) P(uint, ta0) P(uint, tb0)
LOCALS SHARED(hfloat4, sa, KT * TM / 4u) SHARED(hfvec, sb, KT * TC / VW) SHARED(uint, wide, 1)
BODY
    uint x = LID0, y = LID1, me = y * WGX + x, row0 = WID1 * TM, col0 = WID0 * TC, bad = 0u;
    uint ia = WID1 * K * (TM / 4u), ib = WID0 * K * (TC / VW);
    fvec sum[4u * RM * RN], b[RN];
    COOP_SCALE(scale_a, TA, ta0 + WID1 * slices);
    COOP_SCALE(scale_b, TB, tb0 + WID0 * slices);
    UNROLL for (uint i = 0u; i < 4u * RM * RN; i++) sum[i] = FV(0.0f);
    if (me == 0u) wide[0] = 0u;
    uint from = WID2 * kp, end = min(K, from + kp), to = c0 + WID2 * cp;
    for (uint k0 = from; k0 < end; k0 += KT) {
        uint last = min(KT, end - k0);
        UNROLL for (uint i = 0u; i < (KT * TM / 4u + WGX * WGY - 1u) / (WGX * WGY); i++) {
            uint at = i * WGX * WGY + me;
            if (at < last * (TM / 4u)) {
                float4 v = A[ia + k0 * (TM / 4u) + at] * scale_a, size = FABS(v);
                if (max(max(size.x, size.y), max(size.z, size.w)) > LARGEST) bad = 1u;
                sa[at] = HF4_ROUND(v);
            }
        }
        UNROLL for (uint i = 0u; i < (KT * TC / VW + WGX * WGY - 1u) / (WGX * WGY); i++) {
            uint at = i * WGX * WGY + me;
            if (at < last * (TC / VW)) {
                fvec v = B[ib + k0 * (TC / VW) + at] * scale_b;
                if (FVMAX(FABS(v)) > LARGEST) bad = 1u;
                sb[at] = HF_ROUND(v);
            }
        }
        BARRIER();
        for (uint k = 0u; k < last; k++) {
            UNROLL for (uint j = 0u; j < RN; j++) b[j] = HF_FLOATS(sb[k * (TC / VW) + j * WGX + x]);
            UNROLL for (uint h = 0u; h < RM; h++) {
                float4 a = HF4_FLOATS(sa[k * (TM / 4u) + h * WGY + y]);
                ADD_ROWS(a);
            }
        }
        BARRIER();
    }
    if (bad != 0u) wide[0] = 1u;
    BARRIER();
    float inverse_a = coop_inverse(scale_a), inverse_b = coop_inverse(scale_b);
    if (wide[0] != 0u) {
        inverse_a = 1.0f;
        inverse_b = 1.0f;
        UNROLL for (uint i = 0u; i < 4u * RM * RN; i++) sum[i] = FV(0.0f);
        for (uint k = from; k < end; k++) {
            UNROLL for (uint j = 0u; j < RN; j++) b[j] = B[ib + k * (TC / VW) + j * WGX + x];
            UNROLL for (uint h = 0u; h < RM; h++) {
                float4 a = A[ia + k * (TM / 4u) + h * WGY + y];
                ADD_ROWS(a);
            }
        }
    }
    UNROLL for (uint i = 0u; i < 4u * RM; i++) {
        UNROLL for (uint j = 0u; j < RN; j++) {
            uint row = row0 + (i / 4u * WGY + y) * 4u + i % 4u, col = col0 + (j * WGX + x) * VW;
            uint at = to + row * ldc + col;
            EXACT fvec fallen = sum[i * RN + j] * min(inverse_a, inverse_b);
            EXACT fvec v = fallen * max(inverse_a, inverse_b);
            if (row < M && col + VW <= N) {
                if (acc != 0u) v += LDV(C, at);
                STV(C, at, v);
            } else if (row < M && col < N) {
                fvec some = v; /* v stays in registers */
                PASSES for (uint l = 0u; l < VW; l++) {
                    if (col + l < N) {
                        float old = 0.0f;
                        if (acc != 0u) old = C[at + l];
                        C[at + l] = old + LANE(some, l);
                    }
                }
            }
        }
    }
END
