/* rms_norm_dx: dx_i (+)= r w_i dy_i - x_i r^3 / I * sum_j(dy_j w_j x_j), the derivative of y = x r(x) w.
 *   x, dy, dx (N, I)   w (I)   r (N)   acc = 1 adds to dx
 * One group per row; fixed-order tree sum. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(rms_norm_dx)
RO(0, float, X) RO(1, float, W) RO(2, float, R) RO(3, float, dY) RW(4, float, dX)
PARAMS P(uint, rows) P(uint, row0) P(uint, I) P(uint, acc)
LOCALS SHARED(float, red, WGX)
BODY
    uint row = WLIN;
    if (row < rows) {
        uint base = row * I;
        float sum = 0.0f;
        EACH(i, I) sum = fma(dY[base + i] * W[i], X[base + i], sum);
        red[LID0] = sum;
        TREE(red, SUM2);
        float r = R[row0 + row], c = red[0] * r * r / TOF(I);
        EACH(i, I) {
            float d = r * (W[i] * dY[base + i] - X[base + i] * c);
            dX[base + i] = acc != 0u ? dX[base + i] + d : d;
        }
    }
END
