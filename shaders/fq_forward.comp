/* fq_forward: quantize-dequantize a weight (SignRound, arXiv 2309.05516; docs/methods.md, equation 3).
 *   q = clamp(rnd(w/s + v/vdiv) + zp, 0, Q),   W' = s (q - zp), or s q + b when affine
 *   W, Y (rows, RV hvec)   V = Vs (rows, RV) multiples in VSTATE form (0: none)
 *   SZ (rows, gpr): s, zp, b, live
 *   The group of vector i is (i / LV) gpr + (i % LV) / GV; shifts: see ar_divu. vinv = 1/vdiv rounded.
 * One item per vector. Quotients are exact, so codes are the same on every device.
 * Ladder: item per weight 2.8 GB/s -> item per vector, scale per group precomputed (PoCL, 2 cores). */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, HW, 4) SPEC(3, uint, VSTATE, 0)
WGSIZE(WGX, WGY)
KERNEL(fq_forward)
RO(0, hvec, W) RO(1, huvec, V) RO(2, float4, SZ) WO(3, hvec, Y)
PARAMS P(uint, rows) P(uint, RV) P(uint, LV) P(uint, lshift) P(uint, GV) P(uint, gshift) P(uint, gpr)
P(float, Q) P(uint, affine) P(float, vdiv) P(float, vinv)
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
        hvec q = clamp(RINT(x) + HV(sz.y), HV(0.0f), HV(Q));
        if (affine != 0u) Y[i] = HV(sz.x) * q + HV(sz.z);
        else Y[i] = HV(sz.x) * (q - HV(sz.y));
    }
END
