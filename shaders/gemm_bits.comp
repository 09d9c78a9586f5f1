/* gemm_bits: C (M, N) = x W'T for GPUs whose groups share memory, W' (N, K) resident in few bits (unpack.h).
 *   A [ceil(M / TM)][K][TM] f32, x packed, zero padded   W as in unpack.h   C row-major, pitch ldc
 * A group makes TM rows x TC columns, a block of 32 inputs at a time: it copies A's slice to shared memory
 * and decodes W's beside it, eight inputs of VW rows to an item, so that decoded weights never leave the
 * group; then as gemm_tiles. The first column is row r0 * VW of W's binding, whose panels start w0 vectors
 * into it; `filled` vectors of rows are there, the rest counts as zero. Parts of the sum as in gemm, kp of
 * whole blocks. 4 WGY divides TM, VW WGX TC. */
SPEC(0, uint, WGX, 16) SPEC(1, uint, WGY, 8) SPEC(2, uint, TM, 64) SPEC(3, uint, TC, 64)
SPEC(4, uint, CODE, 4) SPEC(5, uint, SCALE, 1) SPEC(6, uint, LP, 8)
WGSIZE(WGX, WGY)
#include "unpack.h"
#define KT 32u
#define RM (TM / WGY / 4u)
#define RN (TC / WGX / VW)
#define CV (TC / VW)
KERNEL(gemm_bits)
RO(0, float4, A) RO(1, uvec, W) RW(2, float, C)
PARAMS P(uint, M) P(uint, N) P(uint, K) P(uint, ldc) P(uint, c0) P(uint, nb) P(uint, ub) P(uint, gb)
       P(uint, pw) P(uint, r0) P(uint, w0) P(uint, filled) P(uint, kp) P(uint, cp)
LOCALS SHARED(float4, sa, KT * TM / 4u) SHARED(fvec, sb, KT * CV)
BODY
    uint x = LID0, y = LID1, me = y * WGX + x, row0 = WID1 * TM, col0 = WID0 * TC;
    uint from = WID2 * kp, end = min(K, from + kp), to = c0 + WID2 * cp, ia = WID1 * K * (TM / 4u);
    fvec sum[4u * RM * RN], w[RN];
    UNROLL for (uint i = 0u; i < 4u * RM * RN; i++) sum[i] = FV(0.0f);
    for (uint block = from / KT; block * KT < end; block++) {
        uint last = min(KT, end - block * KT), unit = block / ub, of = block - unit * ub;
        UNROLL for (uint i = 0u; i < (KT * TM / 4u + WGX * WGY - 1u) / (WGX * WGY); i++) {
            uint at = i * WGX * WGY + me;
            if (at < last * (TM / 4u)) sa[at] = A[ia + block * KT * (TM / 4u) + at];
        }
        UNROLL for (uint i = 0u; i < (4u * CV + WGX * WGY - 1u) / (WGX * WGY); i++) {
            uint item = i * WGX * WGY + me, q = item / CV, v = item % CV, col = WID0 * CV + v;
            if (q < 4u && col >= filled) {
                UNROLL for (uint c = 0u; c < 8u; c++) sb[(8u * q + c) * CV + v] = FV(0.0f);
            } else if (q < 4u) {
                uint row = r0 + col, at0 = w0 + (row / LP) * pw * LP + row % LP;
                uint at = at0 + CODE_WORDS * block * LP, odd = of >= gb ? 1u : 0u;
                uint scales = at0 + (CODE_WORDS * nb + unit * UNIT_WORDS) * LP;
                PLANES;
                uvec word = UV(0u), sub = UV(0u);
                fvec d = FV(0.0f), dm = FV(0.0f), s = FV(1.0f), m = FV(0.0f);
                a[0] = UV(0u);
                if (SCALE != 0u) word = W[scales];
                if (SCALE >= 2u) d = ar_halves(word);
                if (HAS_DM) dm = ar_halves(word >> 16u);
                if (SCALE >= 4u) sub = W[scales + (1u + of / 2u) * LP];
                LOAD_BLOCK(W, at);
                LOAD_EIGHTH(W, at, q);
                if (SCALE != 0u) s = ar_scale(word, d, sub, of, q / 2u, odd);
                if (HAS_MIN) m = ar_least(word, s, dm, sub, of, q / 2u);
                UNROLL for (uint c = 0u; c < 8u; c++) sb[(8u * q + c) * CV + v] = fma(s, EIGHTH_CODE(c), m);
            }
        }
        BARRIER();
        for (uint k = 0u; k < last; k++) {
            UNROLL for (uint j = 0u; j < RN; j++) w[j] = sb[k * CV + j * WGX + x];
            UNROLL for (uint h = 0u; h < RM; h++) {
                float4 b = sa[k * (TM / 4u) + h * WGY + y];
                UNROLL for (uint l = 0u; l < 4u; l++) {
                    UNROLL for (uint j = 0u; j < RN; j++)
                        sum[(h * 4u + l) * RN + j] = fma(FV(LANE(b, l)), w[j], sum[(h * 4u + l) * RN + j]);
                }
            }
        }
        BARRIER();
    }
    UNROLL for (uint i = 0u; i < 4u * RM; i++) {
        UNROLL for (uint j = 0u; j < RN; j++) {
            uint row = row0 + (i / 4u * WGY + y) * 4u + i % 4u, col = col0 + (j * WGX + x) * VW;
            uint at = to + row * ldc + col;
            fvec v = sum[i * RN + j];
            if (row < M && col + VW <= N) {
                STV(C, at, v);
            } else if (row < M && col < N) {
                fvec some = v; /* v stays in registers */
                PASSES for (uint l = 0u; l < VW; l++) {
                    if (col + l < N) C[at + l] = LANE(some, l);
                }
            }
        }
    }
END
