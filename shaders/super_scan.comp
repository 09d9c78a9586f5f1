/* super_scan: a first scale and minimum for every group of an asymmetric double-quantized weight
 * (docs/methods.md, equation 7): of all w' = s l - m with l = clamp(rnd(inv (w - lo)), 0, Q), inv = (Q - 0.9
 * + 0.05 k)/(hi - lo), k = 0 .. 36, and (s, m) the weighted least squares for l with m >= 0, the one with the
 * smallest sum of a (s l - m - w)^2, where a = importance (2 mean |w| + |w|).
 *   W (rows, gpr G)   IMP (gpr G) importance of the inputs, read when weighted is 1
 *   F (rows, gpr): s, m, sum a l^2, sum a
 * One item per group. Sums in order, no contraction, exact quotients: the same bits everywhere. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(super_scan)
RO(0, float, W) RO(1, float, IMP) WO(2, float4, F)
PARAMS P(uint, rows) P(uint, gpr) P(uint, G) P(uint, weighted) P(float, Q)
LOCALS
BODY
    const uint g = GLIN;
    if (g < rows * gpr) {
        const uint at = g * G, col = (g % gpr) * G;
        EXACT float lo = 0.0f, hi = W[at], sum = 0.0f, top = 0.0f;
        for (uint k = 0u; k < G; k++) {
            lo = min(lo, W[at + k]);
            hi = max(hi, W[at + k]);
            top = max(top, FABS(W[at + k]));
            sum += FABS(W[at + k]);
        }
        EXACT float twice = sum * (2.0f / TOF(G)), span = hi - lo;
        EXACT float sa = 0.0f, sx = 0.0f;
        for (uint k = 0u; k < G; k++) {
            EXACT float a = ar_super_weight(weighted != 0u ? IMP[col + k] : 1.0f, twice, W[at + k]);
            sa += a;
            sx += a * W[at + k];
        }
        float s = 0.0f, m = -lo, h = 0.0f, best = AR_HUGE;
        for (uint c = 0u; c < 37u && top >= AR_SUPER_TINY && span > 0.0f; c++) {
            EXACT float steps = Q + (0.05f * TOF(c) - 0.9f);
            float inv = ar_div(steps, span);
            EXACT float sl = 0.0f, sll = 0.0f, slx = 0.0f;
            for (uint k = 0u; k < G; k++) {
                EXACT float x = W[at + k];
                EXACT float a = ar_super_weight(weighted != 0u ? IMP[col + k] : 1.0f, twice, x);
                EXACT float pos = inv * (x - lo);
                EXACT float al = a * clamp(RINT(pos), 0.0f, Q);
                sl += al;
                sll += al * clamp(RINT(pos), 0.0f, Q);
                slx += al * x;
            }
            EXACT float det = sa * sll - sl * sl;
            EXACT float up_s = sa * slx - sx * sl;
            EXACT float up_m = sl * slx - sll * sx;
            if (det > 0.0f) {
                float fit_m = ar_div(up_m, det), fit_s = ar_div(up_s, det);
                if (fit_m < 0.0f) {
                    fit_m = 0.0f;
                    fit_s = ar_div(slx, sll);
                }
                EXACT float err = 0.0f;
                for (uint k = 0u; k < G; k++) {
                    EXACT float x = W[at + k];
                    EXACT float pos = inv * (x - lo);
                    EXACT float diff = (fit_s * clamp(RINT(pos), 0.0f, Q) - fit_m) - x;
                    err += ar_super_weight(weighted != 0u ? IMP[col + k] : 1.0f, twice, x) * (diff * diff);
                }
                if (err < best && fit_s > 0.0f) {
                    best = err;
                    s = fit_s;
                    m = fit_m;
                    h = sll;
                }
            }
        }
        F[g] = F4(s, top >= AR_SUPER_TINY ? m : 0.0f, h, sa);
    }
END
