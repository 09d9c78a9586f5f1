/* quot_check: Y[i] = A[i] / D[i] by ar_quot12 (bits 12) or ar_quot20: lets the selftest compare them with
 * correctly rounded quotients.
 *   A, Y (n hvec)   D, Inv (n): one divisor to a vector and its reciprocal, correctly rounded
 * One item per vector. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, HW, 4)
WGSIZE(WGX, WGY)
KERNEL(quot_check)
RO(0, hvec, A) RO(1, float, D) RO(2, float, Inv) WO(3, hvec, Y)
PARAMS P(uint, n) P(uint, bits)
LOCALS
BODY
    const uint i = GLIN;
    if (i < n) {
        if (bits == 12u) Y[i] = ar_quot12v(A[i], D[i], 1.0f / D[i]);
        else Y[i] = ar_quot20v(A[i], D[i], Inv[i]);
    }
END
