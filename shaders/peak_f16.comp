/* peak_f16: as peak, in fp16: what a device multiplies and adds there in registers
 *   y: n fp16 numbers, two to a word, VW to an item; the last may reach into the padding
 * One item per vector; eight sums that do not wait for each other, 8 rounds VW multiply-adds an item;
 * they are added up in f32. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
#include "half.h"
KERNEL(peak_f16)
WO(0, uint, Y)
PARAMS P(uint, n) P(uint, rounds) P(float, a) P(float, b)
LOCALS
BODY
    hfvec s0 = HFV(0.0f), s1 = HFV(0.125f), s2 = HFV(0.25f), s3 = HFV(0.375f);
    hfvec s4 = HFV(0.5f), s5 = HFV(0.625f), s6 = HFV(0.75f), s7 = HFV(0.875f);
    hfvec va = HFV(a), vb = HFV(b);
    if (GLIN * VW < n) {
        ROLLED
        for (uint i = 0u; i < rounds; i++) {
            s0 = fma(s0, va, vb);
            s1 = fma(s1, va, vb);
            s2 = fma(s2, va, vb);
            s3 = fma(s3, va, vb);
            s4 = fma(s4, va, vb);
            s5 = fma(s5, va, vb);
            s6 = fma(s6, va, vb);
            s7 = fma(s7, va, vb);
        }
        fvec sum = HF_FLOATS(s0) + HF_FLOATS(s1) + HF_FLOATS(s2) + HF_FLOATS(s3);
        sum += HF_FLOATS(s4) + HF_FLOATS(s5) + HF_FLOATS(s6) + HF_FLOATS(s7);
        UNROLL for (uint l = 0u; l < VW / 2u; l++)
            Y[GLIN * (VW / 2u) + l] =
                ar_half_bits(LANE(sum, 2u * l)) | (ar_half_bits(LANE(sum, 2u * l + 1u)) << 16u);
    }
END
