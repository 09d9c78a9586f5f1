/* sum_final: y[0] = scale * sum of P, n floats; second stage of a sum in fixed order. One group; item l adds
 * elements l, l + WGX, …, then a tree. WGX is a power of two. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(sum_final)
RO(0, float, P) WO(1, float, y)
PARAMS P(uint, n) P(float, scale)
LOCALS
SHARED(float, part, WGX)
BODY
    uint lid = LID0;
    float sum = 0.0f;
    for (uint i = lid; i < n; i += WGX) sum += P[i];
    part[lid] = sum;
    for (uint h = WGX / 2u; h > 0u; h /= 2u) {
        BARRIER();
        if (lid < h) part[lid] += part[lid + h];
    }
    if (lid == 0u) y[0] = part[0] * scale;
END
