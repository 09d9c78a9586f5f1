/* mse_part: part[g] = sum of weight[row] (Y - R)^2 over the g-th SEG elements, R the target, row = element
 * / I; first stage of the loss, in fixed order as sum_part. has_weight = 0: all rows count 1 (weight is not
 * read). */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, SEG, 4096)
WGSIZE(WGX, WGY)
KERNEL(mse_part)
RO(0, float, Y) RO(1, float, R) RO(2, float, weight) WO(3, float, D)
PARAMS P(uint, n) P(uint, start) P(uint, I) P(uint, has_weight)
LOCALS
SHARED(float, part, WGX)
BODY
    uint group = WLIN, lid = LID0;
    if (group * SEG < n) {
        float sum = 0.0f;
        for (uint i = group * SEG + lid; i < min(n, group * SEG + SEG); i += WGX) {
            float d = Y[i] - R[i], e = d;
            if (has_weight != 0u) e *= weight[(start + i) / I];
            sum += e * d;
        }
        part[lid] = sum;
    }
    for (uint h = WGX / 2u; h > 0u; h /= 2u) {
        BARRIER();
        if (lid < h) part[lid] += part[lid + h];
    }
    if (lid == 0u && group * SEG < n) D[start / SEG + group] = part[0];
END
