/* fq_scale: the numbers of a group that every weight of it shares (docs/methods.md, equation 2).
 *   lo = wmin (mdiv + m0)/mdiv,  hi = wmax (mdiv + m1)/mdiv      coefficients clamped to [0, 1]
 *   asym: s = max(fp16((hi - lo)/Q), F),  zp = clamp(rnd(-lo/s), zmin, Q)
 *   sym:  s = fp16(sign max(-lo, hi)/M), |s| >= F with its sign,  zp = M = (Q + 1)/2,
 *         sign = hi < -lo ? 1 : -1
 *   b = -zp s (kind 2: rounded to fp16),  live = |s| > F
 *   R (n) pairs (wmin, wmax)   M = Ms (n) pairs of multiples m0, m1 in MSTATE form   SZ (n): s, zp, b, live
 *   kind 0 sym, 1 integer zero point, 2 fp16 minimum; n = HW units vectors
 * One item per HW groups; what lies past the last one is padding. Everything a stored number depends on is
 * exact: ar_quot12, no contraction.
 * Ladder: item per group, which PoCL compiles to scalar code -> lanes of groups (8 times as fast there). */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, HW, 4) SPEC(3, uint, MSTATE, 0)
WGSIZE(WGX, WGY)
KERNEL(fq_scale)
RO(0, hvec, R) RO(1, huvec, M) WO(2, hvec, SZ)
PARAMS P(uint, units) P(uint, vectors) P(uint, kind) P(float, Q) P(float, zmin) P(float, mdiv) P(float, minv)
LOCALS VIEW(1, hsvec, Ms, M)
BODY
    const uint i = GLIN;
    if (i < units * vectors) {
        EXACT hvec lo = HV_EVEN(R[2u * i], R[2u * i + 1u]);
        EXACT hvec hi = HV_ODD(R[2u * i], R[2u * i + 1u]);
        if (MSTATE != 0u) {
            hvec m = HV(0.0f), n = HV(0.0f);
            if (MSTATE == 1u) m = HV_FLOATS(M[2u * i]), n = HV_FLOATS(M[2u * i + 1u]);
            if (MSTATE == 2u) m = HV_INTS(M[2u * i]), n = HV_INTS(M[2u * i + 1u]);
            if (MSTATE == 3u) m = HV_SHORTS(Ms[2u * i]), n = HV_SHORTS(Ms[2u * i + 1u]);
            lo = lo * ar_coefficients(HV_EVEN(m, n), mdiv, minv);
            hi = hi * ar_coefficients(HV_ODD(m, n), mdiv, minv);
        }
        hvec s, zp;
        if (kind == 0u) {
            const float middle = 0.5f * (Q + 1.0f);
            const hvec top = ar_quot12v(max(-lo, hi), middle, 1.0f / middle);
            zp = HV(middle);
            s = ar_half_roundv(HV_LESS(hi, -lo, top, -top));
            s = HV_LESS(s, HV(0.0f), min(s, HV(-AR_SCALE_MIN)), max(s, HV(AR_SCALE_MIN)));
        } else {
            EXACT hvec span = hi - lo;
            s = max(ar_half_roundv(ar_quot12v(span, Q, 1.0f / Q)), HV(AR_SCALE_MIN));
            zp = clamp(RINT(ar_quot12vv(-lo, s, HV(1.0f) / s)), HV(zmin), HV(Q));
        }
        EXACT hvec b = -zp * s;
        if (kind == 2u) b = ar_half_roundv(b);
        const hvec live = HV_LESS(HV(AR_SCALE_MIN), FABS(s), HV(1.0f), HV(0.0f));
        const hvec sb = HV_ZIP_LO(s, b), zl = HV_ZIP_LO(zp, live), sb1 = HV_ZIP_HI(s, b),
                   zl1 = HV_ZIP_HI(zp, live);
        SZ[4u * i] = HV_ZIP_LO(sb, zl);
        SZ[4u * i + 1u] = HV_ZIP_HI(sb, zl);
        SZ[4u * i + 2u] = HV_ZIP_LO(sb1, zl1);
        SZ[4u * i + 3u] = HV_ZIP_HI(sb1, zl1);
    }
END
