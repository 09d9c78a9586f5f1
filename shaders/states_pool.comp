/* states_pool: y = the largest of each 2 x 2 places, code by code.
 *   X (images H W, C4), Y (images H/2 W/2, C4) words of four unsigned codes
 * One item per word of Y. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(states_pool)
RO(0, uint, X) WO(1, uint, Y)
PARAMS P(uint, images) P(uint, H) P(uint, W) P(uint, C4)
LOCALS
BODY
    uint OW = W / 2u, OH = H / 2u, c = GLIN % C4, place = GLIN / C4, w = place % OW, h = place / OW % OH;
    uint b = place / (OH * OW), word = 0u;
    if (b < images) {
        for (uint j = 0u; j < 4u; j++) {
            uint most = 0u;
            for (uint k = 0u; k < 4u; k++) {
                uint x = X[((b * H + 2u * h + k / 2u) * W + 2u * w + k % 2u) * C4 + c];
                most = max(most, x >> (8u * j) & 255u);
            }
            word |= most << (8u * j);
        }
        Y[GLIN] = word;
    }
END
