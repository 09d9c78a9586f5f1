/* half_check: h[i] = fp16 bits of the float bits x[i];  y[i] = float bits of the fp16 bits x[i] & 0xffff;
 * z[i] = float bits of x[i] rounded to fp16: for the selftest of num.h's conversions. Bits in, bits out, so
 * that no load or store touches a NaN.
 *   x, h, y, z: n words. One item per word. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(half_check)
RO(0, uint, X) WO(1, uint, Hb) WO(2, uint, Y) WO(3, uint, Z)
PARAMS P(uint, n)
LOCALS
BODY
    if (GLIN < n) {
        Hb[GLIN] = ar_half_bits(ASF(X[GLIN]));
        Y[GLIN] = ASU(ar_half_value(X[GLIN] & 0xffffu));
        Z[GLIN] = ASU(ar_half_round(ASF(X[GLIN])));
    }
END
