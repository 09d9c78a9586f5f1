/* sgd_step: gradient steps with momentum (Polyak 1964), the decay added to the gradient as in PyTorch.
 *   d' = F[1] d + decay p,  m = momentum m + d',  p = p - r0 m
 *   X (n) p   D (n) d   M (n) m   At (1) step t   R (T, 4): r0 the rate   F (2): clip_final's
 * One item per vector; what lies past the last number is padding. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(sgd_step)
RW(0, fvec, X) RO(1, fvec, D) RW(2, fvec, M) RO(3, int, At) RO(4, float, R) RO(5, float, F)
PARAMS P(uint, units) P(uint, vectors) P(float, momentum) P(float, decay)
LOCALS
BODY
    const uint i = GLIN, t = 4u * TOU(At[0]);
    if (i < units * vectors) {
        fvec x = X[i], m = FV(momentum) * M[i] + (D[i] * FV(F[1]) + FV(decay) * x);
        M[i] = m;
        X[i] = x - FV(R[t]) * m;
    }
END
