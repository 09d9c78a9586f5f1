/* fq_super_codes: the stored codes q of fq_super, four bytes to a word.
 *   W (rows, RV hvec)   V = Vs (rows, RV) multiples in VSTATE form   SZ: s, m, y of group i >> gshift   Y
 *   words
 * One item per word; HW is 4. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, HW, 4) SPEC(3, uint, VSTATE, 0)
WGSIZE(WGX, WGY)
KERNEL(fq_super_codes)
RO(0, hvec, W) RO(1, huvec, V) RO(2, float4, SZ) WO(3, uint, Y)
PARAMS P(uint, rows) P(uint, RV) P(uint, gshift) P(float, Q) P(float, zp) P(float, vdiv) P(float, vinv)
LOCALS VIEW(1, hsvec, Vs, V)
BODY
    const uint i = GLIN;
    if (i < rows * RV) {
        const float4 sz = SZ[i >> gshift];
        EXACT hvec up = W[i] + HV(sz.y);
        EXACT hvec x = ar_quot20v(up, sz.x, sz.z);
        if (VSTATE == 1u) x += ar_quot20v(HV_FLOATS(V[i]), vdiv, vinv);
        if (VSTATE == 2u) x += ar_quot20v(HV_INTS(V[i]), vdiv, vinv);
        if (VSTATE == 3u) x += ar_quot20v(HV_SHORTS(Vs[i]), vdiv, vinv);
        const hvec q = clamp(RINT(x) + HV(zp), HV(0.0f), HV(Q));
        Y[i] = TOU(q.x) | TOU(q.y) << 8u | TOU(q.z) << 16u | TOU(q.w) << 24u;
    }
END
