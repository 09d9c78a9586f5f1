/* lbn_stat: stat[j] = mu, var of n members of equal size, each given by its own mean and variance:
 * mu = mean of means, var = mean of (v + between (m - mu)^2). between = 0 leaves out how far means lie apart.
 *   part (.., 2): member i of j is number j per_group + i per_member   stat (groups, 2)
 * One group per j; fixed-order tree sums. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(lbn_stat)
RO(0, float2, part) WO(1, float2, stat)
PARAMS P(uint, groups) P(uint, n) P(uint, per_group) P(uint, per_member) P(float, between)
LOCALS SHARED(float, red, WGX)
BODY
    uint j = WLIN;
    if (j < groups) {
        uint base = j * per_group;
        float sum = 0.0f;
        EACH(i, n) sum += part[base + i * per_member].x;
        red[LID0] = sum;
        TREE(red, SUM2);
        float mu = red[0] / TOF(n);
        BARRIER();
        sum = 0.0f;
        EACH(i, n) {
            float2 p = part[base + i * per_member];
            float d = p.x - mu;
            sum += p.y + between * d * d;
        }
        red[LID0] = sum;
        TREE(red, SUM2);
        if (LID0 == 0u) stat[j] = F2(mu, red[0] / TOF(n));
    }
END
