/* peak_dot: sums of products of bytes, four at a time, as the products of 8-bit codes make them (DOT_7)
 *   y: n words, written by vectors of VW lanes; the last one may reach into the padding of the buffer
 * s = s + sum over k of (byte k of s, 7 bits) (signed byte k of x), rounds times from c = 0..7, all added up.
 * One item per vector; eight sums that do not wait for each other, 32 rounds VW multiply-adds an item. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(peak_dot)
WO(0, uvec, Y)
PARAMS P(uint, n) P(uint, rounds) P(uint, x)
LOCALS
BODY
    uvec s0 = UV(0u), s1 = UV(1u), s2 = UV(2u), s3 = UV(3u);
    uvec s4 = UV(4u), s5 = UV(5u), s6 = UV(6u), s7 = UV(7u);
    uvec low = UV(0x7f7f7f7fu);
    if (GLIN * VW < n) {
        ROLLED
        for (uint i = 0u; i < rounds; i++) {
            s0 = DOT_7(s0, s0 & low, x);
            s1 = DOT_7(s1, s1 & low, x);
            s2 = DOT_7(s2, s2 & low, x);
            s3 = DOT_7(s3, s3 & low, x);
            s4 = DOT_7(s4, s4 & low, x);
            s5 = DOT_7(s5, s5 & low, x);
            s6 = DOT_7(s6, s6 & low, x);
            s7 = DOT_7(s7, s7 & low, x);
        }
        Y[GLIN] = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7));
    }
END
