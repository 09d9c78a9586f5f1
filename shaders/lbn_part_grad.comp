/* lbn_part_grad: part[b, c] = sum of dy, sum of dy u over the places of image b in channel c, u = (x - mu) r.
 *   x, dy (images places, C)   stat as in lbn_apply   part (images, C, 2)
 * One item per pair; places in order. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(lbn_part_grad)
RO(0, float, X) RO(1, float, dY) RO(2, float2, stat) WO(3, float2, part)
PARAMS P(uint, images) P(uint, first) P(uint, places) P(uint, C) P(uint, by_image) P(uint, by_channel)
    P(float, eps)
LOCALS
BODY
    uint c = GLIN % C, b = GLIN / C;
    if (b < images) {
        uint base = b * places * C + c;
        float2 s = stat[(first + b) * by_image + c * by_channel];
        float r = 1.0f / sqrt(s.y + eps), sum = 0.0f, along = 0.0f;
        for (uint p = 0u; p < places; p++) {
            float d = dY[base + p * C];
            sum += d;
            along = fma(d, (X[base + p * C] - s.x) * r, along);
        }
        part[GLIN] = F2(sum, along);
    }
END
