/* fq_forward_any: fq_forward for rows or groups that vectors do not divide; the same bits.
 *   W, Y (rows, I)   V (rows, I) multiples in VSTATE form   SZ (rows, gpr)   G weights to a group
 * One item per weight. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, VSTATE, 0)
WGSIZE(WGX, WGY)
KERNEL(fq_forward_any)
RO(0, float, W) RO(1, uint, V) RO(2, float4, SZ) WO(3, float, Y)
PARAMS P(uint, rows) P(uint, I) P(uint, G) P(uint, gpr) P(float, Q) P(uint, affine) P(float, vdiv)
       P(float, vinv)
LOCALS
BODY
    const uint i = GLIN;
    if (i < rows * I) {
        const uint row = i / I;
        const float4 sz = SZ[row * gpr + (i - row * I) / G];
        float v = 0.0f;
        if (VSTATE != 0u) v = ar_quot20(AR_STATE(VSTATE, V, i), vdiv, vinv);
        float q = clamp(RINT(ar_quot12(W[i], sz.x, 1.0f / sz.x) + v) + sz.y, 0.0f, Q);
        Y[i] = affine != 0u ? sz.x * q + sz.z : sz.x * (q - sz.y);
    }
END
