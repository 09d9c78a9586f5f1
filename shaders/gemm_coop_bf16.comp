/* gemm_coop_bf16: gemm by matrix hardware of bf16, C (M, N) = A B [+ C], operands rounded to it, sums in f32.
 *   A [ceil(M / TM)][K][TM]   B [ceil(N / TC)][K][TC], zero padded   C row-major, pitch ldc
 * Tiles, HALVES, acc and parts of the sum as in gemm_coop, its panels of fp16 being of bf16 here, which holds
 * any operand, so that nothing is scaled and no tile made twice. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, TM, 64) SPEC(3, uint, TC, 64)
SPEC(4, uint, SUBGROUP, 8) SPEC(5, uint, CM, 8) SPEC(6, uint, CN, 8) SPEC(7, uint, CK, 8)
SPEC(8, uint, HALVES, 0)
WGSIZE(WGX, WGY)
#include "brain.h"
#include "coop.h"
#include "coop_bf16.h"
KERNEL(gemm_coop_bf16)
RO(0, float4, A) RO(1, float4, B) RW(2, float, C)
PARAMS P(uint, M) P(uint, N) P(uint, K) P(uint, ldc) P(uint, c0) P(uint, acc) P(uint, kp) P(uint, cp)
LOCALS COOP_SHARED VIEW(0, uint4, HA, A) VIEW(1, uint4, HB, B)
BODY
    uint me = LID0, row0 = WID1 * TM, col0 = WID0 * TC, ia = WID1 * K * TM, ib = WID0 * K * TC;
    COOP_START;
    uint from = WID2 * kp, end = min(K, from + kp), to = c0 + WID2 * cp;
    for (uint k0 = from; k0 < end; k0 += KT) {
        COOP_COPY(sa, PA, A, HA, (HALVES & 1u) != 0u, 1.0f, ia + k0 * TM, TM, end - k0);
        COOP_COPY(sb, PB, B, HB, (HALVES & 2u) != 0u, 1.0f, ib + k0 * TC, TC, end - k0);
        COOP_MULTIPLY;
    }
    COOP_SUMS(COOP_WRITE)
END
