/* peak: y = f(f(... 0 ...)), f(s) = s a + b, rounds times: what a device multiplies and adds in registers
 *   y: n elements, written by vectors of VW lanes; the last one may reach into the padding of the buffer
 * One item per vector; eight sums that do not wait for each other, 8 rounds VW multiply-adds an item. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(peak)
WO(0, fvec, Y)
PARAMS P(uint, n) P(uint, rounds) P(float, a) P(float, b)
LOCALS
BODY
    fvec s0 = FV(0.0f), s1 = FV(0.125f), s2 = FV(0.25f), s3 = FV(0.375f);
    fvec s4 = FV(0.5f), s5 = FV(0.625f), s6 = FV(0.75f), s7 = FV(0.875f);
    fvec va = FV(a), vb = FV(b);
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
        Y[GLIN] = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7));
    }
END
