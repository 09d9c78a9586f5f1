/* sign_step: SignSGD on f32 (STATE 1) or i32 (STATE 2) multiples (docs/methods.md, equation 5).
 *   p = clamp(clamp(p, lo, hi) - (T - step) sign(d), lo, hi),  sign(0) = 0
 *   X (n) p   D (n) d   At (1) step   n vectors
 * One item per vector; what lies past the last number is padding. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, HW, 4) SPEC(3, uint, STATE, 1)
WGSIZE(WGX, WGY)
KERNEL(sign_step)
RW(0, huvec, X) RO(1, hvec, D) RO(2, int, At)
PARAMS P(uint, units) P(uint, vectors) P(int, T) P(float, lo) P(float, hi)
LOCALS
BODY
    const uint i = GLIN;
    if (i < units * vectors) {
        hvec p = HV_FLOATS(X[i]);
        if (STATE == 2u) p = HV_INTS(X[i]);
        p = clamp(p, HV(lo), HV(hi)) - HV(TOF(T - At[0])) * sign(D[i]);
        p = clamp(p, HV(lo), HV(hi));
        if (STATE == 2u) X[i] = HV_TO_INTS(p);
        else X[i] = HV_BITS(p);
    }
END
