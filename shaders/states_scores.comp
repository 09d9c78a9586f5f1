/* states_scores: the last layer of a net of few states: y = a_o z + b_o, product and sum each rounded, z as
 * in states_codes.
 *   X, Wt as there   fold (O, 2) = a, b   Y (images H W, O)
 * One item per score. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(states_scores)
RO(0, uint, X) RO(1, uint, Wt) RO(2, float2, fold) WO(3, float, Y)
PARAMS P(uint, images) P(uint, H) P(uint, W) P(uint, C4) P(uint, K) P(uint, O)
LOCALS
#include "states.h"
BODY
    uint o = GLIN % O, place = GLIN / O, w = place % W, h = place / W % H, b = place / (H * W);
    if (b < images) {
        uint at = o * K * K * C4;
        int z = 0;
        STATES_SUM(z);
        float2 f = fold[o];
        EXACT float scaled = f.x * TOF(z);
        EXACT float y = scaled + f.y;
        Y[GLIN] = y;
    }
END
