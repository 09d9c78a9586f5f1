/* fq_grad_across: fq_grad, the same bits, by items of HW groups whose numbers are lanes: what is computed
 * once per group is half of fq_grad where a scalar costs as much as a vector.
 *   DW, W, DV (n HW, GV hvec)   V = Vs multiples   SZ, R, M = Ms, DM (n HW) as in fq_grad, seen as vectors
 * One item per HW groups, summed lane by lane in order. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, HW, 4)
SPEC(3, uint, VSTATE, 0) SPEC(4, uint, MSTATE, 0)
WGSIZE(WGX, WGY)
KERNEL(fq_grad_across)
RO(0, hvec, DW) RO(1, hvec, W) RO(2, huvec, V) RO(3, hvec, SZ)
RO(4, hvec, R) RO(5, huvec, M) WO(6, hvec, DV) WO(7, hvec, DM)
PARAMS P(uint, n) P(uint, GV) P(uint, kind)
P(float, Q) P(float, mdiv) P(float, minv) P(float, vdiv) P(float, vinv)
LOCALS VIEW(2, hsvec, Vs, V) VIEW(5, hsvec, Ms, M)
BODY
    const uint u = GLIN;
    if (u < n) {
        const hvec sb = HV_EVEN(SZ[4u * u], SZ[4u * u + 1u]), sb1 = HV_EVEN(SZ[4u * u + 2u], SZ[4u * u + 3u]);
        const hvec zl = HV_ODD(SZ[4u * u], SZ[4u * u + 1u]), zl1 = HV_ODD(SZ[4u * u + 2u], SZ[4u * u + 3u]);
        const hvec s = HV_EVEN(sb, sb1), zp = HV_EVEN(zl, zl1), live = HV_ODD(zl, zl1), y = HV(1.0f) / s;
        const hvec wmin = HV_EVEN(R[2u * u], R[2u * u + 1u]), wmax = HV_ODD(R[2u * u], R[2u * u + 1u]);
        hvec c0 = HV(1.0f), c1 = HV(1.0f), zero = HV(0.0f), free = HV(0.0f), A = HV(0.0f), B = HV(0.0f);
        if (MSTATE != 0u) {
            hvec m = HV(0.0f), k = HV(0.0f);
            if (MSTATE == 1u) m = HV_FLOATS(M[2u * u]), k = HV_FLOATS(M[2u * u + 1u]);
            if (MSTATE == 2u) m = HV_INTS(M[2u * u]), k = HV_INTS(M[2u * u + 1u]);
            if (MSTATE == 3u) m = HV_SHORTS(Ms[2u * u]), k = HV_SHORTS(Ms[2u * u + 1u]);
            c0 = ar_coefficients(HV_EVEN(m, k), mdiv, minv);
            c1 = ar_coefficients(HV_ODD(m, k), mdiv, minv);
        }
        if (kind != 0u) { /* ar_fq_zero; whole numbers are equal or 1 apart */
            const hvec lo = wmin * c0, away = FABS(RINT(ar_quot12vv(-lo, s, y)) - zp);
            zero = HV_LESS(away, HV(0.5f), lo / s, zero);
            free = HV_LESS(away, HV(0.5f), HV(1.0f), free);
        }
        for (uint g = 0u; g < HW; g++) {
            const float sg = LANE(s, g), yg = LANE(y, g), zg = LANE(zp, g), z0 = LANE(zero, g);
            hvec a = HV(0.0f), b = HV(0.0f);
            for (uint i = (u * HW + g) * GV; i < (u * HW + g + 1u) * GV; i++) {
                const hvec ws = ar_quot12v(W[i], sg, yg), d = DW[i];
                EXACT hvec x = ws;
                if (VSTATE == 1u) x += ar_quot20v(HV_FLOATS(V[i]), vdiv, vinv);
                if (VSTATE == 2u) x += ar_quot20v(HV_INTS(V[i]), vdiv, vinv);
                if (VSTATE == 3u) x += ar_quot20v(HV_SHORTS(Vs[i]), vdiv, vinv);
                const hvec r = RINT(x) + HV(zg), q = clamp(r, HV(0.0f), HV(Q));
                const hvec out1 = min(FABS(r - q), HV(1.0f)), in1 = HV(1.0f) - out1;
                DV[i] = d * HV(sg) * in1;
                a += d * ((q - HV(zg)) - (in1 * ws + out1 * HV(z0)));
                b += d * out1;
            }
            LANE_SET(A, g, HVSUM(a));
            LANE_SET(B, g, HVSUM(b));
        }
        hvec d0, d1; /* ar_fq_dmm */
        if (kind != 0u) {
            d0 = free * B * wmin - live * A * wmin / HV(Q);
            d1 = live * A * wmax / HV(Q);
        } else {
            const hvec low = -wmin * c0, high = wmax * c1;
            const hvec k = HV_LESS(high, low, HV(1.0f), HV_LESS(low, high, HV(0.0f), HV(0.5f)));
            const hvec d = live * HV_LESS(high, low, A, -A) / HV(0.5f * (Q + 1.0f));
            d0 = -k * d * wmin;
            d1 = (HV(1.0f) - k) * d * wmax;
        }
        DM[2u * u] = HV_ZIP_LO(d0, d1);
        DM[2u * u + 1u] = HV_ZIP_HI(d0, d1);
    }
END
