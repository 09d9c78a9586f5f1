/* clip_final: F[0] = scale sqrt(sum of P), the norm of gradients of which P (n) are sums of squares and that
 * count `scale` times; F[1] = scale min(1, limit / (F[0] + 1e-6)), what they are multiplied by (Pascanu 2013,
 * arXiv 1211.5063; the 1e-6 is PyTorch's). One group; item l adds elements l, l + WGX, ..., then a tree. WGX
 * is a power of two. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(clip_final)
RO(0, float, P) WO(1, float, F)
PARAMS P(uint, n) P(float, limit) P(float, scale)
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
    if (lid == 0u) {
        float norm = scale * sqrt(part[0]);
        F[0] = norm;
        F[1] = scale * min(1.0f, limit / (norm + 1e-6f));
    }
END
