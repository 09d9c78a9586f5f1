/* state_weight_grad: with g = gain dy, where `inside` != 0 only of elements whose gain u lies in [lo, hi]:
 * dw (+)= g plain, or standardized (g - mean g - u mean(g u) (d + e) / d) / (d + e).
 *   W, dY, dW (rows, I)   stat (rows, 2) = m, d of state_weight   acc = 1 adds to dW
 * The rounding counts as the identity. One group per row; fixed-order tree sums. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(state_weight_grad)
RO(0, float, W) RO(1, float, dY) RO(2, float2, stat) RW(3, float, dW)
PARAMS P(uint, rows) P(uint, row0) P(uint, I) P(uint, standardize) P(float, e) P(float, plain) P(float, gain)
    P(uint, inside) P(float, lo) P(float, hi) P(uint, acc)
LOCALS SHARED(float, red, WGX) SHARED(float, dots, WGX)
BODY
    uint row = WLIN;
    if (row < rows) {
        uint base = row * I;
        float2 s = stat[row0 + row];
        float scale = standardize != 0u ? 1.0f / (s.y + e) : plain, sum = 0.0f, along = 0.0f;
        EACH(i, I) {
            float u = (W[base + i] - s.x) * scale, g = gain * dY[base + i];
            if (inside != 0u && (gain * u < lo || gain * u > hi)) g = 0.0f;
            sum += g;
            along = fma(g, u, along);
        }
        red[LID0] = sum;
        dots[LID0] = along;
        TREE(red, SUM2);
        TREE(dots, SUM2);
        float mean = 0.0f, slope = 0.0f;
        if (standardize != 0u) {
            mean = red[0] / TOF(I);
            slope = s.y > 0.0f ? dots[0] / TOF(I) * (s.y + e) / s.y : 0.0f;
        }
        EACH(i, I) {
            float u = (W[base + i] - s.x) * scale, g = gain * dY[base + i];
            if (inside != 0u && (gain * u < lo || gain * u > hi)) g = 0.0f;
            float d = scale * (g - mean - u * slope);
            dW[base + i] = acc != 0u ? dW[base + i] + d : d;
        }
    }
END
