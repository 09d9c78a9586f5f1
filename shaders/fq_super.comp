/* fq_super: quantize-dequantize a weight in a double-quantized structure (docs/methods.md, equation 11).
 *   q = clamp(rnd((w + m)/s + v/vdiv) + zp, 0, Q),   W' = s (q - zp) - m
 *   W, Y (n hvec)   V = Vs (n) multiples in VSTATE form (0: none)   SZ: s, m, y of group i >> gshift
 * One item per vector. Quotients are exact, so codes are the same on every device. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, HW, 4) SPEC(3, uint, VSTATE, 0)
WGSIZE(WGX, WGY)
KERNEL(fq_super)
RO(0, hvec, W) RO(1, huvec, V) RO(2, float4, SZ) WO(3, hvec, Y)
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
        EXACT hvec w = HV(sz.x) * (q - HV(zp)) - HV(sz.y);
        Y[i] = w;
    }
END
