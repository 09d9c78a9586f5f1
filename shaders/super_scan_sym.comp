/* super_scan_sym: a first scale for every group of a symmetric double-quantized weight (docs/methods.md,
 * equation 7): of all w' = s l with l = clamp(rnd(inv w), -M, M - 1), inv = -(M + 0.1 k)/top, k = -9 .. 9,
 * top the weight of largest magnitude, and s the weighted least squares for l, the one with the smallest
 * error: the largest (sum a l w)^2 / sum a l^2, where a = importance (2 mean |w| + |w|).
 *   W (rows, gpr G)   IMP (gpr G) importance of the inputs, read when weighted is 1
 *   F (rows, gpr): s, 0, sum a l^2, 0
 * One item per group; exact as super_scan. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(super_scan_sym)
RO(0, float, W) RO(1, float, IMP) WO(2, float4, F)
PARAMS P(uint, rows) P(uint, gpr) P(uint, G) P(uint, weighted) P(float, M)
LOCALS
BODY
    const uint g = GLIN;
    if (g < rows * gpr) {
        const uint at = g * G, col = (g % gpr) * G;
        float top = 0.0f;
        EXACT float sum = 0.0f;
        for (uint k = 0u; k < G; k++) {
            if (FABS(W[at + k]) > FABS(top)) top = W[at + k];
            sum += FABS(W[at + k]);
        }
        EXACT float twice = sum * (2.0f / TOF(G));
        float s = 0.0f, h = 0.0f, best = 0.0f;
        for (int c = -9; c <= 9 && FABS(top) >= AR_SUPER_TINY; c++) {
            EXACT float steps = M + 0.1f * TOF(c);
            float inv = ar_div(-steps, top);
            EXACT float sll = 0.0f, slx = 0.0f;
            for (uint k = 0u; k < G; k++) {
                EXACT float x = W[at + k];
                EXACT float a = ar_super_weight(weighted != 0u ? IMP[col + k] : 1.0f, twice, x);
                EXACT float pos = inv * x;
                EXACT float al = a * clamp(RINT(pos), -M, M - 1.0f);
                sll += al * clamp(RINT(pos), -M, M - 1.0f);
                slx += al * x;
            }
            if (sll > 0.0f) {
                float fit = ar_div(slx, sll);
                EXACT float score = slx * fit;
                if (score > best) {
                    best = score;
                    s = fit;
                    h = sll;
                }
            }
        }
        F[g] = F4(s, 0.0f, h, 0.0f);
    }
END
