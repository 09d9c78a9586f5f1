/* add_to: Y = X, or Y += X when acc != 0, n floats as vectors (padding included): how a gradient passes
 * through an addition. One item per vector. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(add_to)
RO(0, fvec, X) RW(1, fvec, Y)
PARAMS P(uint, n) P(uint, acc)
LOCALS
BODY
    uint i = GLIN;
    if (i * VW < n) {
        fvec v = X[i];
        if (acc != 0u) v += Y[i];
        Y[i] = v;
    }
END
