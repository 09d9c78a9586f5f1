/* fq_super_scale: what every weight of a group shares in a double-quantized structure (docs/methods.md,
 * equation 10).
 *   i = clamp(rnd(i0 (mdiv + m0)/mdiv), least, most),  j = clamp(rnd(j0 (mdiv + m1)/mdiv), 0, most)
 *   s = d i,  m = dmin j,  y = 1/s (0 where s is 0): exact
 *   R (n): d, dmin, i0, j0   M (n, 2) multiples m0, m1 in MSTATE form   SZ (n): s, m, y, 0
 * One item per group. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, MSTATE, 0)
WGSIZE(WGX, WGY)
KERNEL(fq_super_scale)
RO(0, float4, R) RO(1, uint, M) WO(2, float4, SZ)
PARAMS P(uint, n) P(float, least) P(float, most) P(float, mdiv) P(float, minv)
LOCALS
BODY
    const uint g = GLIN;
    if (g < n) {
        const float2 c = AR_SUPER_COEFFICIENTS(MSTATE, M, g, mdiv, minv);
        EXACT float i = R[g].z * c.x;
        EXACT float j = R[g].w * c.y;
        EXACT float s = R[g].x * clamp(RINT(i), least, most);
        EXACT float m = R[g].y * clamp(RINT(j), 0.0f, most);
        SZ[g] = F4(s, m, s != 0.0f ? ar_div(1.0f, s) : 0.0f, 0.0f);
    }
END
