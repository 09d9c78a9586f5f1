/* state_weight: rows of weights as states. u = (w - m) / (d + e), m and d mean and standard deviation of the
 * row (Qiao 2019, arXiv 1903.10520), or without standardize u = w plain; then y = gain u (rule 0), RINT of
 * that, clipped to [lo, hi] (rule 1), or its sign, +1 for 0 (rule 2).
 *   W, Y (rows, I)   stat (rows, 2) = m, d, kept for the backward
 * One group per row; fixed-order tree sums. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(state_weight)
RO(0, float, W) WO(1, float, Y) WO(2, float2, stat)
PARAMS P(uint, rows) P(uint, row0) P(uint, I) P(uint, standardize) P(float, e) P(float, plain) P(float, gain)
    P(uint, rule) P(float, lo) P(float, hi)
LOCALS SHARED(float, red, WGX)
BODY
    uint row = WLIN;
    if (row < rows) {
        uint base = row * I;
        float m = 0.0f, d = 1.0f, scale = plain;
        if (standardize != 0u) {
            float sum = 0.0f;
            EACH(i, I) sum += W[base + i];
            red[LID0] = sum;
            TREE(red, SUM2);
            m = red[0] / TOF(I);
            BARRIER();
            sum = 0.0f;
            EACH(i, I) {
                float t = W[base + i] - m;
                sum = fma(t, t, sum);
            }
            red[LID0] = sum;
            TREE(red, SUM2);
            d = sqrt(red[0] / TOF(I));
            scale = 1.0f / (d + e);
        }
        EACH(i, I) {
            float y = gain * ((W[base + i] - m) * scale);
            if (rule == 1u) y = clamp(RINT(y), lo, hi);
            if (rule == 2u) y = y < 0.0f ? -1.0f : 1.0f;
            Y[base + i] = y;
        }
        if (LID0 == 0u) stat[row0 + row] = F2(m, d);
    }
END
