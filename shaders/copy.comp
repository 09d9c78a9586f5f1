/* copy: Y[i] = X[i], n words of 4 bytes. One item per word. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(copy)
RO(0, uint, X) WO(1, uint, Y)
PARAMS P(uint, n)
LOCALS
BODY
    if (GLIN < n) Y[GLIN] = X[GLIN];
END
