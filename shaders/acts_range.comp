/* acts_range: R[row] = (min(0, min_i x), max(0, max_i x)), the range of a row's values, zero in it
 *   x (rows, I)   R (rows, 2)
 * One group per row. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
#define SPAN2(a, b) F2(min((a).x, (b).x), max((a).y, (b).y))
KERNEL(acts_range)
RO(0, float, X) WO(1, float2, R)
PARAMS P(uint, rows) P(uint, I)
LOCALS SHARED(float2, red, WGX)
BODY
    uint row = WLIN;
    if (row < rows) {
        uint base = row * I;
        float2 r = F2(0.0f, 0.0f);
        EACH(i, I) r = F2(min(r.x, X[base + i]), max(r.y, X[base + i]));
        red[LID0] = r;
        TREE(red, SPAN2);
        if (LID0 == 0u) R[row] = red[0];
    }
END
