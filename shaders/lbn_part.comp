/* lbn_part: part[b, c] = m, v: mean and mean squared distance from it, over the places of image b in channel
 * c.
 *   x (images places, C)   part (images, C, 2)
 * One item per pair; places in order. What every reading of "norm over the batch" is put together from. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(lbn_part)
RO(0, float, X) WO(1, float2, part)
PARAMS P(uint, images) P(uint, places) P(uint, C)
LOCALS
BODY
    uint c = GLIN % C, b = GLIN / C;
    if (b < images) {
        uint base = b * places * C + c;
        float sum = 0.0f, square = 0.0f;
        for (uint p = 0u; p < places; p++) sum += X[base + p * C];
        float m = sum / TOF(places);
        for (uint p = 0u; p < places; p++) {
            float d = X[base + p * C] - m;
            square = fma(d, d, square);
        }
        part[GLIN] = F2(m, square / TOF(places));
    }
END
