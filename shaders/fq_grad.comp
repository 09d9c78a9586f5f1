/* fq_grad: straight-through gradients of fq_forward and fq_scale (docs/methods.md, equation 4).
 *   x = w/s + v/vdiv,  r = rnd(x) + zp,  q = clamp(r, 0, Q),  in = (r == q),  z0 = lo/s (asym), 0 (sym)
 *   dv = dW s in,   A = sum dW ((q - zp) - (in ? w/s : z0)),   B = sum dW (1 - in),   dmm = ar_fq_dmm(A, B)
 *   DW, W, DV (rows, RV hvec)   V = Vs multiples   SZ, R, M, DM (rows, gpr)   GV vectors to a group
 * One item per group, summed lane by lane in order: equal inputs give equal bits.
 * Ladder: work-group per group with a tree -> item per group, no shared memory (5 -> 88 % of copy,
 * lavapipe). */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, HW, 4)
SPEC(3, uint, VSTATE, 0) SPEC(4, uint, MSTATE, 0)
WGSIZE(WGX, WGY)
KERNEL(fq_grad)
RO(0, hvec, DW) RO(1, hvec, W) RO(2, huvec, V) RO(3, float4, SZ)
RO(4, float2, R) RO(5, uint, M) WO(6, hvec, DV) WO(7, float2, DM)
PARAMS P(uint, rows) P(uint, RV) P(uint, GV) P(uint, gpr) P(uint, pshift) P(uint, kind)
P(float, Q) P(float, mdiv) P(float, minv) P(float, vdiv) P(float, vinv)
LOCALS VIEW(2, hsvec, Vs, V)
BODY
    const uint g = GLIN;
    if (g < rows * gpr) {
        const uint row = ar_divu(g, gpr, pshift), from = (g - row * gpr) * GV;
        const uint first = row * RV + from, end = row * RV + min(from + GV, RV);
        const float4 sz = SZ[g];
        const float s = sz.x, zp = sz.y, y = 1.0f / s;
        const float2 coef = AR_COEFFICIENTS(MSTATE, M, g, mdiv, minv);
        const float2 zero = ar_fq_zero(kind, R[g].x * coef.x, s, zp);
        hvec A = HV(0.0f), B = HV(0.0f);
        for (uint i = first; i < end; i++) {
            const hvec ws = ar_quot12v(W[i], s, y), d = DW[i];
            EXACT hvec x = ws;
            if (VSTATE == 1u) x += ar_quot20v(HV_FLOATS(V[i]), vdiv, vinv);
            if (VSTATE == 2u) x += ar_quot20v(HV_INTS(V[i]), vdiv, vinv);
            if (VSTATE == 3u) x += ar_quot20v(HV_SHORTS(Vs[i]), vdiv, vinv);
            const hvec r = RINT(x) + HV(zp), q = clamp(r, HV(0.0f), HV(Q));
            const hvec out1 = min(FABS(r - q), HV(1.0f)), in1 = HV(1.0f) - out1;
            DV[i] = d * HV(s) * in1;
            A += d * ((q - HV(zp)) - (in1 * ws + out1 * HV(zero.x)));
            B += d * out1;
        }
        DM[g] = ar_fq_dmm(kind, Q, R[g], coef, sz.w, zero.y, HVSUM(A), HVSUM(B));
    }
END
