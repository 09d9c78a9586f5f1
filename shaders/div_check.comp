/* div_check: y[i] = ar_div(a[i], b[i]), for the selftest to compare with correctly rounded quotients.
 *   a, b, y: n floats. One item per element. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(div_check)
RO(0, float, A) RO(1, float, B) WO(2, float, Y)
PARAMS P(uint, n)
LOCALS
BODY
    if (GLIN < n) Y[GLIN] = ar_div(A[GLIN], B[GLIN]);
END
