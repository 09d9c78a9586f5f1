/* panel_top: top[panel * slices + s] = the largest |x| in slice s of a panel, of which pack_half and
 * gemm_coop make the panel's scale.
 *   X f32, from s0 on, a matrix of pitch ld whose rows run along k (ALONG_K 1) or across; a panel is T of its
 *   `rows` rows, a slice ceil(depth / slices) values of k   top [panels][slices], of no meaning where the
 *   panel holds a NaN
 * One group per slice: every item takes numbers WGX apart, four at once, then a tree.
 * parts = panels * slices. WGX is a power of two. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, T, 64) SPEC(3, uint, ALONG_K, 1)
WGSIZE(WGX, WGY)
KERNEL(panel_top)
RO(0, float, X) WO(1, float, top)
PARAMS P(uint, parts) P(uint, rows) P(uint, depth) P(uint, ld) P(uint, s0) P(uint, slices)
LOCALS
SHARED(float, most, WGX)
BODY
    uint group = WLIN, lid = LID0, panel = group / slices, row = panel * T, inner = 1u, count = 0u;
    uint each = (depth + slices - 1u) / slices, k = min((group - panel * slices) * each, depth);
    uint from = s0 + (ALONG_K != 0u ? row * ld + k : k * ld + row);
    float largest = 0.0f;
    if (group < parts) {
        uint high = min(T, rows - row), deep = min(each, depth - k);
        inner = ALONG_K != 0u ? deep : high, count = high * deep;
    }
    uint quarter = (count + 3u) / 4u;
    EACH(i, quarter) {
        UNROLL for (uint l = 0u; l < 4u; l++) {
            uint at = min(i + l * quarter, count - 1u), line = at / inner;
            largest = max(largest, FABS(X[from + line * ld + at - line * inner]));
        }
    }
    most[lid] = largest;
    for (uint h = WGX / 2u; h > 0u; h /= 2u) {
        BARRIER();
        if (lid < h) most[lid] = max(most[lid], most[lid + h]);
    }
    if (lid == 0u && group < parts) top[group] = most[0];
END
