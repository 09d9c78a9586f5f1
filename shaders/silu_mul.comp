/* silu_mul: y = silu(a) b,  silu(a) = a / (1 + exp(-a))        (SwiGLU; Shazeer 2020, arXiv 2002.05202)
 *   a, b, y: n elements, read by vectors of VW lanes; the last one may reach into the padding of the buffers
 * One item per vector. -a is clamped so that exp stays finite; silu is 0 there to 1e-33. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(silu_mul)
RO(0, fvec, A) RO(1, fvec, B) WO(2, fvec, Y)
PARAMS P(uint, n)
LOCALS
BODY
    if (GLIN * VW < n) {
        fvec a = A[GLIN];
        Y[GLIN] = a / (FV(1.0f) + exp(min(-a, FV(80.0f)))) * B[GLIN];
    }
END
