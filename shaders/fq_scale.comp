/* fq_scale: the numbers of a group that every weight of it shares (docs/methods.md, equation 2).
 *   lo = wmin (mdiv + m0)/mdiv,  hi = wmax (mdiv + m1)/mdiv      coefficients clamped to [0, 1]
 *   asym: s = max(fp16((hi - lo)/Q), F),  zp = clamp(rnd(-lo/s), zmin, Q)
 *   sym:  s = fp16(sign max(-lo, hi)/M), |s| >= F with its sign,  zp = M = (Q + 1)/2,
 *         sign = hi < -lo ? 1 : -1
 *   b = -zp s (kind 2: rounded to fp16),  live = |s| > F
 *   R (n) pairs (wmin, wmax)   M (n, 2) multiples m0, m1 in MSTATE form   SZ (n): s, zp, b, live
 *   kind 0 sym, 1 integer zero point, 2 fp16 minimum
 * One item per group. Everything a stored number depends on is exact: ar_quot12, no contraction. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, MSTATE, 0)
WGSIZE(WGX, WGY)
KERNEL(fq_scale)
RO(0, float2, R) RO(1, uint, M) WO(2, float4, SZ)
PARAMS P(uint, n) P(uint, kind) P(float, Q) P(float, zmin) P(float, mdiv) P(float, minv)
LOCALS
BODY
    const uint g = GLIN;
    if (g < n) {
        const float2 coef = AR_COEFFICIENTS(MSTATE, M, g, mdiv, minv);
        EXACT float lo = R[g].x * coef.x;
        EXACT float hi = R[g].y * coef.y;
        float s, zp;
        if (kind == 0u) {
            zp = 0.5f * (Q + 1.0f);
            float top = ar_quot12(max(-lo, hi), zp, 1.0f / zp);
            s = ar_half_round(hi < -lo ? top : -top);
            s = s < 0.0f ? min(s, -AR_SCALE_MIN) : max(s, AR_SCALE_MIN);
        } else {
            EXACT float span = hi - lo;
            s = max(ar_half_round(ar_quot12(span, Q, 1.0f / Q)), AR_SCALE_MIN);
            zp = clamp(RINT(ar_quot12(-lo, s, 1.0f / s)), zmin, Q);
        }
        EXACT float b = -zp * s;
        SZ[g] = F4(s, zp, kind == 2u ? ar_half_round(b) : b, FABS(s) > AR_SCALE_MIN ? 1.0f : 0.0f);
    }
END
