/* rms_norm: y = x r w,  r = 1 / sqrt(mean_i(x^2) + eps)        (Zhang & Sennrich 2019, arXiv 1910.07467)
 *   x, y (N, I)   w (I)   r (N), kept for the backward
 * One group per row; fixed-order tree sum, so equal inputs give equal bits. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(rms_norm)
RO(0, float, X) RO(1, float, W) WO(2, float, Y) WO(3, float, R)
PARAMS P(uint, rows) P(uint, row0) P(uint, I) P(float, eps)
LOCALS SHARED(float, red, WGX)
BODY
    uint row = WLIN;
    if (row < rows) {
        uint base = row * I;
        float acc = 0.0f;
        EACH(i, I) acc = fma(X[base + i], X[base + i], acc);
        red[LID0] = acc;
        TREE(red, SUM2);
        float r = 1.0f / sqrt(red[0] / TOF(I) + eps);
        EACH(i, I) Y[base + i] = X[base + i] * r * W[i];
        if (LID0 == 0u) R[row0 + row] = r;
    }
END
