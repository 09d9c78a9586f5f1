/* fq_codes_any: fq_codes for rows or groups that four does not divide; a word may span rows.
 *   W (rows, I)   V (rows, I) multiples in VSTATE form   SZ (rows, gpr)   Y (ceil(rows I / 4)) words
 * One item per word; bytes past the last weight are 0. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, VSTATE, 0)
WGSIZE(WGX, WGY)
KERNEL(fq_codes_any)
RO(0, float, W) RO(1, uint, V) RO(2, float4, SZ) WO(3, uint, Y)
PARAMS P(uint, rows) P(uint, I) P(uint, G) P(uint, gpr) P(float, Q) P(float, vdiv) P(float, vinv)
LOCALS
BODY
    const uint n = rows * I;
    if (GLIN < (n + 3u) / 4u) {
        uint word = 0u;
        for (uint k = 0u; k < 4u; k++) {
            const uint i = 4u * GLIN + k;
            if (i < n) {
                const uint row = i / I;
                const float4 sz = SZ[row * gpr + (i - row * I) / G];
                float v = 0.0f;
                if (VSTATE != 0u) v = ar_quot20(AR_STATE(VSTATE, V, i), vdiv, vinv);
                float q = clamp(RINT(ar_quot12(W[i], sz.x, 1.0f / sz.x) + v) + sz.y, 0.0f, Q);
                word |= TOU(q) << (8u * k);
            }
        }
        Y[GLIN] = word;
    }
END
