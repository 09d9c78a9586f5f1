/* gemm_coop: gemm by matrix hardware, C (M, N) = A B [+ C], operands rounded to fp16, sums in f32.
 *   A [ceil(M / TM)][K][TM]   B [ceil(N / TC)][K][TC], zero padded   C row-major, pitch ldc
 * HALVES: which operands are panels of fp16 (pack_half), 1 A, 2 B; the others are panels of f32.
 * A group makes TM rows x TC columns: its items copy KT values of k of both panels to shared memory as fp16,
 * and its subgroups, two rows of them, multiply fragments of CM x CK and CK x CN from there. Shared rows are
 * PAD longer than they need be, or fragments' rows would all start in one bank. A fragment's elements lie
 * where the driver likes, so sums go to C through shared memory.
 * A group that meets a number above fp16's largest, or none, makes its tile once more, of f32 operands:
 * element (row, k) of A is SA[sa0 + row / TM * pa + row % TM * ra + k * ka], of its panels or of the matrix
 * that they were made from; B's likewise.
 * acc != 0 adds to C. Parts of the sum as in gemm. slices != 0: of gradients, which get smaller than fp16
 * holds, each panel is scaled by a power of two first, which the sums give back: TA and TB hold the largest
 * |x| of as many slices of each panel (panel_top), from ta0 and tb0 on; otherwise neither is read.
 * 2 CM divides TM, CN and the columns of subgroups TC, CK divides KT; 4 divides CM and CN. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, TM, 64) SPEC(3, uint, TC, 64)
SPEC(4, uint, SUBGROUP, 8) SPEC(5, uint, CM, 8) SPEC(6, uint, CN, 8) SPEC(7, uint, CK, 8)
SPEC(8, uint, HALVES, 0)
WGSIZE(WGX, WGY)
#include "coop.h"
KERNEL(gemm_coop)
RO(0, float4, A) RO(1, float4, B) RW(2, float, C) RO(3, float, TA) RO(4, float, TB)
RO(5, float, SA) RO(6, float, SB)
PARAMS P(uint, M) P(uint, N) P(uint, K) P(uint, ldc) P(uint, c0) P(uint, acc) P(uint, kp) P(uint, cp)
P(uint, slices) P(uint, ta0) P(uint, tb0)
P(uint, sa0) P(uint, pa) P(uint, ra) P(uint, ka) P(uint, sb0) P(uint, pb) P(uint, rb) P(uint, kb)
LOCALS COOP_SHARED VIEW(0, uint4, HA, A) VIEW(1, uint4, HB, B)
BODY
    uint me = LID0, row0 = WID1 * TM, col0 = WID0 * TC, bad = 0u;
    uint ia = WID1 * K * TM, ib = WID0 * K * TC;
    COOP_SCALE(scale_a, TA, ta0 + WID1 * slices);
    COOP_SCALE(scale_b, TB, tb0 + WID0 * slices);
    COOP_START;
    uint from = WID2 * kp, end = min(K, from + kp), to = c0 + WID2 * cp;
    for (uint k0 = from; k0 < end; k0 += KT) {
        COOP_COPY(sa, PA, A, HA, (HALVES & 1u) != 0u, scale_a, ia + k0 * TM, TM, end - k0);
        COOP_COPY(sb, PB, B, HB, (HALVES & 2u) != 0u, scale_b, ib + k0 * TC, TC, end - k0);
        COOP_MULTIPLY;
    }
    COOP_FINISH;
    if (wide[0] != 0u) {
        EACH(e, TM * TC) {
            uint r = e / TC, c = e % TC, fa_ = sa0 + WID1 * pa + r * ra, fb_ = sb0 + WID0 * pb + c * rb;
            float sum = 0.0f;
            if (row0 + r < M && col0 + c < N) {
                for (uint k = from; k < end; k++) sum = fma(SA[fa_ + k * ka], SB[fb_ + k * kb], sum);
            }
            COOP_WRITE(row0 + r, col0 + c, sum);
        }
    }
END
