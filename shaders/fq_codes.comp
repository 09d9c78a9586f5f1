/* fq_codes: the stored codes q = clamp(rnd(w/s + v/vdiv) + zp, 0, Q) of fq_forward, four bytes to a word.
 *   W (rows, RV hvec)   V = Vs (rows, RV) multiples in VSTATE form   SZ (rows, gpr)   Y (rows, RV) words
 *   Group of a vector as in fq_forward. HW is 4.
 * One item per word. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, HW, 4) SPEC(3, uint, VSTATE, 0)
WGSIZE(WGX, WGY)
KERNEL(fq_codes)
RO(0, hvec, W) RO(1, huvec, V) RO(2, float4, SZ) WO(3, uint, Y)
PARAMS P(uint, rows) P(uint, RV) P(uint, LV) P(uint, lshift) P(uint, GV) P(uint, gshift) P(uint, gpr)
P(float, Q) P(float, vdiv) P(float, vinv)
LOCALS VIEW(1, hsvec, Vs, V)
BODY
    const uint i = GLIN;
    if (i < rows * RV) {
        const uint u = ar_divu(i, LV, lshift);
        const float4 sz = SZ[u * gpr + ar_divu(i - u * LV, GV, gshift)];
        EXACT hvec x = ar_quot12v(W[i], sz.x, 1.0f / sz.x);
        if (VSTATE == 1u) x += ar_quot20v(HV_FLOATS(V[i]), vdiv, vinv);
        if (VSTATE == 2u) x += ar_quot20v(HV_INTS(V[i]), vdiv, vinv);
        if (VSTATE == 3u) x += ar_quot20v(HV_SHORTS(Vs[i]), vdiv, vinv);
        const hvec q = clamp(RINT(x) + HV(sz.y), HV(0.0f), HV(Q));
        Y[i] = TOU(q.x) | TOU(q.y) << 8u | TOU(q.z) << 16u | TOU(q.w) << 24u;
    }
END
