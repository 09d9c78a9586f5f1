/* add: C = A + B, n floats as vectors (padding included). One item per vector. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(add)
RO(0, fvec, A) RO(1, fvec, B) WO(2, fvec, C)
PARAMS P(uint, n)
LOCALS
BODY
    uint i = GLIN;
    if (i * VW < n) C[i] = A[i] + B[i];
END
