/* gemm_coop: gemm by matrix hardware, C (M, N) = A B [+ C], operands rounded to fp16, sums in f32.
 *   A [ceil(M / TM)][K][TM] f32   B [ceil(N / TC)][K][TC] f32, zero padded   C row-major, pitch ldc
 * A group makes TM rows x TC columns: its items copy KT values of k of both panels to shared memory as fp16,
 * and its subgroups, two rows of them, multiply fragments of CM x CK and CK x CN from there. Shared rows are
 * PAD longer than they need be, or fragments' rows would all start in one bank. A fragment's elements lie
 * where the driver likes, so sums go to C through shared memory.
 * A group that meets a number above fp16's largest, or none, makes its tile once more, of f32 operands.
 * acc != 0 adds to C. Parts of the sum as in gemm. slices != 0: of gradients, which get smaller than fp16
 * holds, each panel is scaled by a power of two first, which the sums give back: TA and TB hold the largest
 * |x| of as many slices of each panel (panel_top), from ta0 and tb0 on; otherwise neither is read.
 * 2 CM divides TM, CN and the columns of subgroups TC, CK divides KT. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, TM, 64) SPEC(3, uint, TC, 64)
SPEC(4, uint, SUBGROUP, 8) SPEC(5, uint, CM, 8) SPEC(6, uint, CN, 8) SPEC(7, uint, CK, 8)
WGSIZE(WGX, WGY)
#include "coop.h"
KERNEL(gemm_coop)
RO(0, float4, A) RO(1, float4, B) RW(2, float, C) RO(3, float, TA) RO(4, float, TB)
PARAMS P(uint, M) P(uint, N) P(uint, K) P(uint, ldc) P(uint, c0) P(uint, acc) P(uint, kp) P(uint, cp)
P(uint, slices) P(uint, ta0) P(uint, tb0)
LOCALS COOP_SHARED
BODY
    uint me = LID0, row0 = WID1 * TM, col0 = WID0 * TC, bad = 0u;
    uint ia = WID1 * K * (TM / 4u), ib = WID0 * K * (TC / 4u);
    COOP_SCALE(scale_a, TA, ta0 + WID1 * slices);
    COOP_SCALE(scale_b, TB, tb0 + WID0 * slices);
    COOP_START;
    uint from = WID2 * kp, end = min(K, from + kp), to = c0 + WID2 * cp;
    for (uint k0 = from; k0 < end; k0 += KT) {
        COOP_COPY(sa, PA, A, scale_a, ia + k0 * (TM / 4u), TM / 4u, end - k0);
        COOP_COPY(sb, PB, B, scale_b, ib + k0 * (TC / 4u), TC / 4u, end - k0);
        COOP_MULTIPLY;
    }
    COOP_FINISH;
    if (wide[0] != 0u) {
        EACH(e, TM * TC) {
            uint r = e / TC, c = e % TC;
            float sum = 0.0f;
            for (uint k = from; k < end; k++) {
                float4 a = A[ia + k * (TM / 4u) + r / 4u], b = B[ib + k * (TC / 4u) + c / 4u];
                sum = fma(LANE(a, r % 4u), LANE(b, c % 4u), sum);
            }
            COOP_WRITE(row0 + r, col0 + c, sum);
        }
    }
END
