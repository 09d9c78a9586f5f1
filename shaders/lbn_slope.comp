/* lbn_slope: slope[j] = mean of h, mean of h u over a norm's own elements, h = gamma_c dy, from the sums of
 * lbn_part_grad, of which member i of j is number k = j per_group + i per_member, channel k mod C.
 *   part (.., 2)   gamma (C)   slope (groups, 2)   scale = 1 / (n places)
 * One group per j; fixed-order tree sums. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(lbn_slope)
RO(0, float2, part) RO(1, float, gamma) WO(2, float2, slope)
PARAMS P(uint, groups) P(uint, n) P(uint, per_group) P(uint, per_member) P(uint, C) P(float, scale)
LOCALS SHARED(float, red, WGX) SHARED(float, dots, WGX)
BODY
    uint j = WLIN;
    if (j < groups) {
        float sum = 0.0f, along = 0.0f;
        EACH(i, n) {
            uint k = j * per_group + i * per_member;
            float w = gamma[k % C];
            sum = fma(w, part[k].x, sum);
            along = fma(w, part[k].y, along);
        }
        red[LID0] = sum;
        dots[LID0] = along;
        TREE(red, SUM2);
        TREE(dots, SUM2);
        if (LID0 == 0u) slope[j] = F2(red[0] * scale, dots[0] * scale);
    }
END
