/* panel_top: top[panel * slices + s] = the largest |x| in slice s of a packed panel, of which gemm_coop makes
 * the panel's scale.
 *   X [panels][pitch] float4s   top [panels][slices], of no meaning where the panel holds a NaN
 * One group per slice of ceil(pitch / slices) vectors: every item takes those WGX apart, then a tree.
 * parts = panels * slices. WGX is a power of two. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(panel_top)
RO(0, float4, X) WO(1, float, top)
PARAMS P(uint, parts) P(uint, pitch) P(uint, slices)
LOCALS
SHARED(float, most, WGX)
BODY
    uint group = WLIN, lid = LID0, panel = group / slices, each = (pitch + slices - 1u) / slices;
    uint from = min((group - panel * slices) * each, pitch), count = 0u;
    float largest = 0.0f;
    if (group < parts) count = min(each, pitch - from);
    EACH(i, count) {
        float4 v = FABS(X[panel * pitch + from + i]);
        largest = max(largest, max(max(v.x, v.y), max(v.z, v.w)));
    }
    most[lid] = largest;
    for (uint h = WGX / 2u; h > 0u; h /= 2u) {
        BARRIER();
        if (lid < h) most[lid] = max(most[lid], most[lid + h]);
    }
    if (lid == 0u && group < parts) top[group] = most[0];
END
