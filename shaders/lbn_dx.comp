/* lbn_dx: dx (+)= r (gamma_c dy - s - (x - m) r t): s, t the slopes of the element's norm; m is mu, or where
 * centred != 0 the mean of its image, from which the variance is counted. slopes = 0: statistics are
 * constants.
 *   x, dy, dx (images places, C)   gamma (C)   stat as in lbn_apply   slope (.., 2), number
 *   (first + b) by_image + c by_channel   centre (images, 2) = m, unused   acc = 1 adds to dx
 * One item per element. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(lbn_dx)
RO(0, float, X) RO(1, float, dY) RO(2, float, gamma) RO(3, float2, stat) RO(4, float2, slope)
RO(5, float2, centre) RW(6, float, dX)
PARAMS P(uint, images) P(uint, first) P(uint, places) P(uint, C) P(uint, by_image) P(uint, by_channel)
    P(float, eps) P(uint, slopes) P(uint, centred) P(uint, acc)
LOCALS
BODY
    uint c = GLIN % C, b = GLIN / C / places;
    if (b < images) {
        uint j = (first + b) * by_image + c * by_channel;
        float2 s = stat[j];
        float r = 1.0f / sqrt(s.y + eps), d = gamma[c] * dY[GLIN], m = s.x;
        if (centred != 0u) m = centre[first + b].x;
        if (slopes != 0u) {
            float2 t = slope[j];
            d -= t.x + (X[GLIN] - m) * r * t.y;
        }
        dX[GLIN] = acc != 0u ? dX[GLIN] + r * d : r * d;
    }
END
