/* states_codes: a layer of a net of few states in whole numbers. z[p, o] = sum over taps and words of the
 * products of four codes each; code = how many of the M - 1 thresholds of o z reaches, or where turned[o]
 * does not pass.
 *   X (images H W, C4) words of four unsigned codes   Wt (O, K K C4) words of four signed ones, (kh, kw, c)
 *   T (O, M - 1), ascending   turned (O)   Y (images H W, O4) words
 * K = 3: zeros around the image; K = 1: a product, H = W = 1. One item per word of Y. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(states_codes)
RO(0, uint, X) RO(1, uint, Wt) RO(2, int, T) RO(3, uint, turned) WO(4, uint, Y)
PARAMS P(uint, images) P(uint, H) P(uint, W) P(uint, C4) P(uint, K) P(uint, O) P(uint, M)
LOCALS
#include "states.h"
BODY
    uint O4 = (O + 3u) / 4u, o4 = GLIN % O4, place = GLIN / O4, w = place % W, h = place / W % H;
    uint b = place / (H * W), word = 0u;
    if (b < images) {
        for (uint j = 0u; j < 4u && o4 * 4u + j < O; j++) {
            uint o = o4 * 4u + j, at = o * K * K * C4, code = 0u;
            int z = 0;
            STATES_SUM(z);
            for (uint t = 0u; t + 1u < M; t++) {
                int edge = T[o * (M - 1u) + t];
                if (turned[o] != 0u ? z <= edge : z >= edge) code++;
            }
            word |= code << (8u * j);
        }
        Y[GLIN] = word;
    }
END
