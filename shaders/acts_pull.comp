/* acts_pull: D[row] = sum_i dy (y - x), which over s is the gradient of the scale s that y = x' has
 *   x, y, dy (rows, I)   D (rows)
 * One group per row. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
#define PLUS(a, b) ((a) + (b))
KERNEL(acts_pull)
RO(0, float, X) RO(1, float, Y) RO(2, float, dY) WO(3, float, D)
PARAMS P(uint, rows) P(uint, I)
LOCALS SHARED(float, red, WGX)
BODY
    uint row = WLIN;
    if (row < rows) {
        uint base = row * I;
        float sum = 0.0f;
        EACH(i, I) sum += dY[base + i] * (Y[base + i] - X[base + i]);
        red[LID0] = sum;
        TREE(red, PLUS);
        if (LID0 == 0u) D[row] = red[0];
    }
END
