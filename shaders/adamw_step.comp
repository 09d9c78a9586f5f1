/* adamw_step: Adam with decoupled decay (Loshchilov & Hutter 2019, arXiv 1711.05101).
 *   d' = F[1] d,  m = b1 m + (1 - b1) d',  s = b2 s + (1 - b2) d'^2
 *   p = p - r0 decay p - r1 m / (sqrt(r2 s) + eps)
 *   X (n) p   D (n) d   M (n) m   S (n) s   At (1) step t   R (T, 4): r0 the rate, r1 = r0 / (1 - b1^(t+1)),
 *   r2 = 1 / (1 - b2^(t+1)), -   F (2): clip_final's
 * One item per vector; what lies past the last number is padding. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(adamw_step)
RW(0, fvec, X) RO(1, fvec, D) RW(2, fvec, M) RW(3, fvec, S) RO(4, int, At) RO(5, float, R) RO(6, float, F)
PARAMS P(uint, units) P(uint, vectors) P(float, b1) P(float, b2) P(float, eps) P(float, decay)
LOCALS
BODY
    const uint i = GLIN, t = 4u * TOU(At[0]);
    if (i < units * vectors) {
        fvec d = D[i] * FV(F[1]), x = X[i];
        fvec m = FV(b1) * M[i] + FV(1.0f - b1) * d, s = FV(b2) * S[i] + FV(1.0f - b2) * (d * d);
        M[i] = m;
        S[i] = s;
        x -= FV(R[t] * decay) * x;
        X[i] = x - FV(R[t + 1u]) * m / (sqrt(FV(R[t + 2u]) * s) + FV(eps));
    }
END
