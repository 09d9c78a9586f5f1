/* layer_norm: y = (x - m) r w + b,  m = mean_i x,  r = 1 / sqrt(mean_i (x - m)^2 + eps)     (Ba 2016, arXiv
 * 1607.06450)
 *   x, y (N, I)   w, b (I); without has_b b is not read   stat (N, 2) = m, r, kept for the backward
 * One group per row; fixed-order tree sums, the mean first, so equal inputs give equal bits. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(layer_norm)
RO(0, float, X) RO(1, float, W) RO(2, float, b) WO(3, float, Y) WO(4, float2, stat)
PARAMS P(uint, rows) P(uint, row0) P(uint, I) P(float, eps) P(uint, has_b)
LOCALS SHARED(float, red, WGX)
BODY
    uint row = WLIN;
    if (row < rows) {
        uint base = row * I;
        float acc = 0.0f;
        EACH(i, I) acc += X[base + i];
        red[LID0] = acc;
        TREE(red, SUM2);
        float m = red[0] / TOF(I);
        BARRIER();
        acc = 0.0f;
        EACH(i, I) {
            float d = X[base + i] - m;
            acc = fma(d, d, acc);
        }
        red[LID0] = acc;
        TREE(red, SUM2);
        float r = 1.0f / sqrt(red[0] / TOF(I) + eps);
        EACH(i, I) {
            float y = (X[base + i] - m) * r * W[i];
            if (has_b != 0u) y += b[i];
            Y[base + i] = y;
        }
        if (LID0 == 0u) stat[row0 + row] = F2(m, r);
    }
END
