/* square_part: P[first + g] = sum of the squares of the g-th SEG elements of X; sum_part of squares, into a
 * list that several tensors share.
 * One group per segment: every item adds SEG / WGX elements WGX apart, then a tree. start = first element of
 * this chunk, a multiple of SEG. WGX is a power of two. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, SEG, 4096)
WGSIZE(WGX, WGY)
KERNEL(square_part)
RO(0, float, X) WO(1, float, P)
PARAMS P(uint, n) P(uint, start) P(uint, first)
LOCALS
SHARED(float, part, WGX)
BODY
    uint group = WLIN, lid = LID0;
    if (group * SEG < n) {
        float sum = 0.0f;
        for (uint i = group * SEG + lid; i < min(n, group * SEG + SEG); i += WGX) sum += X[i] * X[i];
        part[lid] = sum;
    }
    for (uint h = WGX / 2u; h > 0u; h /= 2u) {
        BARRIER();
        if (lid < h) part[lid] += part[lid + h];
    }
    if (lid == 0u && group * SEG < n) P[first + start / SEG + group] = part[0];
END
