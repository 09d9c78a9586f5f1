/* slice: y[n, o] = x[n, first + o]   x (rows, I)   y (rows, O)   first + O <= I. One item per element of
 * y. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(slice)
RO(0, float, X) WO(1, float, Y)
PARAMS P(uint, rows) P(uint, I) P(uint, first) P(uint, O)
LOCALS
BODY
    if (GLIN < rows * O) Y[GLIN] = X[GLIN / O * I + first + GLIN % O];
END
