/* acts_bytes: rows of X in signed bytes, 32 to a scale: x = d q, d = max |x| / 127, q = rint(x / d)
 *   X (N, nb * 32), first RMS-normed where NORM: x r G, r = 1 / sqrt(mean x^2 + eps)   G (nb * 32)
 *   Q [tile][nb][12][NC rows] words: a block's codes (8), d, d sum(q), that sum over each half
 * Rows from N on are zero. Within eight inputs a word holds 0, 2, 4, 6, the next 1, 3, 5, 7, as nibbles of a
 * word of 4-bit codes fall into bytes; or FOURS 1: inputs in order, as weights of 8 bits have them.
 * One group per row of [row0, end). */
SPEC(0, uint, WGX, 8) SPEC(1, uint, WGY, 1) SPEC(2, uint, NC, 1) SPEC(3, uint, FOURS, 0)
SPEC(4, uint, NORM, 0)
WGSIZE(WGX, WGY)
KERNEL(acts_bytes)
RO(0, float, X) RO(1, float, G) WO(2, uint, Q)
PARAMS P(uint, end) P(uint, row0) P(uint, N) P(uint, nb) P(float, eps)
LOCALS SHARED(float, red, WGX)
BODY
    uint row = row0 + WLIN;
    if (row < end) {
        uint from = min(row, N - 1u) * nb * 32u, to = row / NC * nb * 12u * NC + row % NC;
        float r = row < N ? 1.0f : 0.0f;
        if (NORM != 0u) {
            fvec acc = FV(0.0f);
            EACH(i, nb * 32u / VW) {
                fvec x = LDV(X, from + i * VW);
                acc = fma(x, x, acc);
            }
            red[LID0] = FVSUM(acc);
            TREE(red, SUM2);
            r *= 1.0f / sqrt(red[0] / TOF(nb * 32u) + eps);
        }
        EACH(b, nb) {
#include "acts_block.h"
        }
    }
END
