/* acts_join: A = the range that holds all of R and, with keep = 1, what A holds already
 *   R (rows, 2)   A (1, 2)
 * One group in all. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
#define SPAN2(a, b) F2(min((a).x, (b).x), max((a).y, (b).y))
KERNEL(acts_join)
RO(0, float2, R) RW(1, float2, A)
PARAMS P(uint, rows) P(uint, keep)
LOCALS SHARED(float2, red, WGX)
BODY
    float2 r = F2(0.0f, 0.0f);
    EACH(i, rows) r = SPAN2(r, R[i]);
    red[LID0] = r;
    TREE(red, SPAN2);
    if (LID0 == 0u) {
        r = red[0];
        if (keep != 0u) r = SPAN2(r, A[0]);
        A[0] = r;
    }
END
