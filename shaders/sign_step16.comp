/* sign_step16: sign_step on i16 multiples, two to a word; the same steps.
 *   X (n) p   D (n) d   At (1) step   n vectors
 * One item per vector; what lies past the last number is padding. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, HW, 4)
WGSIZE(WGX, WGY)
KERNEL(sign_step16)
RW(0, hsvec, X) RO(1, hvec, D) RO(2, int, At)
PARAMS P(uint, units) P(uint, vectors) P(int, T) P(float, lo) P(float, hi)
LOCALS
BODY
    const uint i = GLIN;
    if (i < units * vectors) {
        hvec p = HV_SHORTS(X[i]);
        p = clamp(p, HV(lo), HV(hi)) - HV(TOF(T - At[0])) * sign(D[i]);
        p = clamp(p, HV(lo), HV(hi));
        X[i] = HV_TO_SHORTS(p);
    }
END
