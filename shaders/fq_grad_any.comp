/* fq_grad_any: fq_grad for rows or groups that vectors do not divide.
 *   DW, W, V, DV (rows, I)   SZ, R, M, DM (rows, gpr)   G weights to a group
 * One item per group, summed in order. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, VSTATE, 0) SPEC(3, uint, MSTATE, 0)
WGSIZE(WGX, WGY)
KERNEL(fq_grad_any)
RO(0, float, DW) RO(1, float, W) RO(2, uint, V) RO(3, float4, SZ) RO(4, float2, R) RO(5, uint, M)
WO(6, float, DV) WO(7, float2, DM)
PARAMS P(uint, rows) P(uint, I) P(uint, G) P(uint, gpr) P(uint, kind)
P(float, Q) P(float, mdiv) P(float, minv) P(float, vdiv) P(float, vinv)
LOCALS
BODY
    const uint g = GLIN;
    if (g < rows * gpr) {
        const uint row = g / gpr, from = (g - row * gpr) * G;
        const float4 sz = SZ[g];
        const float s = sz.x, zp = sz.y, y = 1.0f / s;
        const float2 coef = AR_COEFFICIENTS(MSTATE, M, g, mdiv, minv);
        const float2 zero = ar_fq_zero(kind, R[g].x * coef.x, s, zp);
        float A = 0.0f, B = 0.0f;
        for (uint c = from; c < min(from + G, I); c++) {
            const uint i = row * I + c;
            const float ws = ar_quot12(W[i], s, y), d = DW[i];
            float v = 0.0f;
            if (VSTATE != 0u) v = ar_quot20(AR_STATE(VSTATE, V, i), vdiv, vinv);
            const float r = RINT(ws + v) + zp, q = clamp(r, 0.0f, Q);
            const float out1 = min(FABS(r - q), 1.0f), in1 = 1.0f - out1;
            DV[i] = d * s * in1;
            A += d * ((q - zp) - (in1 * ws + out1 * zero.x));
            B += d * out1;
        }
        DM[g] = ar_fq_dmm(kind, Q, R[g], coef, sz.w, zero.y, A, B);
    }
END
