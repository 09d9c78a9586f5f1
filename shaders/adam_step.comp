/* adam_step: Adam (Kingma & Ba 2015, arXiv 1412.6980) on f32 multiples (docs/methods.md, equation 13).
 *   m = b1 m + (1 - b1) d,  s = b2 s + (1 - b2) d^2,  p = clamp(p - r0 m / (sqrt(r1 s) + eps), lo, hi)
 *   X (n) p   D (n) d   M (n) m   S (n) s   At (1) step t   R (T, 2) r0 = (T - t) / (1 - b1^(t+1)), r1 = 1 /
 *   (1 - b2^(t+1))
 * One item per vector; what lies past the last number is padding. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(adam_step)
RW(0, fvec, X) RO(1, fvec, D) RW(2, fvec, M) RW(3, fvec, S) RO(4, int, At) RO(5, float, R)
PARAMS P(uint, units) P(uint, vectors) P(float, lo) P(float, hi) P(float, b1) P(float, b2) P(float, eps)
LOCALS
BODY
    const uint i = GLIN, t = TOU(At[0]);
    if (i < units * vectors) {
        fvec d = D[i], m = FV(b1) * M[i] + FV(1.0f - b1) * d, s = FV(b2) * S[i] + FV(1.0f - b2) * (d * d);
        M[i] = m;
        S[i] = s;
        X[i] = clamp(X[i] - FV(R[2u * t]) * m / (sqrt(FV(R[2u * t + 1u]) * s) + FV(eps)), FV(lo), FV(hi));
    }
END
