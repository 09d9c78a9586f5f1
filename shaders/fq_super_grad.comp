/* fq_super_grad: straight-through gradients of fq_super and fq_super_scale (docs/methods.md, equation 12).
 *   x = (w + m)/s + v/vdiv,  r = rnd(x) + zp,  q = clamp(r, 0, Q),  in = (r == q)
 *   dv = dW s in,   A = sum dW ((q - zp) - in (w + m)/s),   B = sum dW (1 - in)
 *   dmm = (d i0 A, -dmin j0 B), each 0 where its multiple is held at a bound
 *   DW, W, DV (rows, gpr GV hvec)   V = Vs multiples   SZ, R, M, DM (rows, gpr)   GV vectors to a group
 * One item per group, summed lane by lane in order: equal inputs give equal bits. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, HW, 4)
SPEC(3, uint, VSTATE, 0) SPEC(4, uint, MSTATE, 0)
WGSIZE(WGX, WGY)
KERNEL(fq_super_grad)
RO(0, hvec, DW) RO(1, hvec, W) RO(2, huvec, V) RO(3, float4, SZ)
RO(4, float4, R) RO(5, uint, M) WO(6, hvec, DV) WO(7, float2, DM)
PARAMS P(uint, rows) P(uint, gpr) P(uint, GV) P(float, Q) P(float, zp) P(float, least) P(float, most)
P(float, mdiv) P(float, minv) P(float, vdiv) P(float, vinv)
LOCALS VIEW(2, hsvec, Vs, V)
BODY
    const uint g = GLIN;
    if (g < rows * gpr) {
        const float4 sz = SZ[g], start = R[g];
        const float2 c = AR_SUPER_COEFFICIENTS(MSTATE, M, g, mdiv, minv);
        hvec A = HV(0.0f), B = HV(0.0f);
        for (uint i = g * GV; i < (g + 1u) * GV; i++) {
            EXACT hvec up = W[i] + HV(sz.y);
            const hvec ws = ar_quot20v(up, sz.x, sz.z), d = DW[i];
            EXACT hvec x = ws;
            if (VSTATE == 1u) x += ar_quot20v(HV_FLOATS(V[i]), vdiv, vinv);
            if (VSTATE == 2u) x += ar_quot20v(HV_INTS(V[i]), vdiv, vinv);
            if (VSTATE == 3u) x += ar_quot20v(HV_SHORTS(Vs[i]), vdiv, vinv);
            const hvec r = RINT(x) + HV(zp), q = clamp(r, HV(0.0f), HV(Q));
            const hvec out1 = min(FABS(r - q), HV(1.0f)), in1 = HV(1.0f) - out1;
            DV[i] = d * HV(sz.x) * in1;
            A += d * ((q - HV(zp)) - in1 * ws);
            B += d * out1;
        }
        const float i1 = RINT(start.z * c.x), j1 = RINT(start.w * c.y);
        const float live = i1 == clamp(i1, least, most) ? start.x * start.z : 0.0f;
        const float live_m = j1 == clamp(j1, 0.0f, most) ? start.y * start.w : 0.0f;
        DM[g] = F2(live * HVSUM(A), -live_m * HVSUM(B));
    }
END
