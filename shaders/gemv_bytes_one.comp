/* gemv_bytes_one: gemv_bytes for one row X (nb * 32) of floats, of which every group makes the bytes itself:
 * the bits of acts_bytes, whose groups have 8 items, and gemv_bytes. For processors, to which a launch of its
 * own costs more than the same bytes made a few times.
 *   G (nb * 32)   flags as gemv_bytes has them; 8: X is RMS-normed as acts_bytes does
 * A group makes the rows of `each` items of gemv_bytes. At most 341 blocks of X. */
SPEC(0, uint, WGX, 1) SPEC(1, uint, WGY, 1) SPEC(2, uint, CODE, 4) SPEC(3, uint, SCALE, 1)
SPEC(4, uint, NC, 1) SPEC(5, uint, LP, 1)
WGSIZE(WGX, WGY)
#include "unpack.h"
#include "bytes.h"
#define NORM  (flags & 8u)
#define FOURS (CODE == 8u ? 1u : 0u)
KERNEL(gemv_bytes_one)
RO(0, uvec, W) RO(1, float, X) RO(2, float, G) RO(3, float, BIAS) RO(4, float, RES) WO(5, float, Y)
PARAMS P(uint, items) P(uint, nb) P(uint, ub) P(uint, gb) P(uint, pw) P(uint, row0) P(uint, O) P(uint, flags)
P(uint, w0) P(uint, each) P(float, eps)
LOCALS SHARED(uint, Q, 4096u)
BODY
    uint first = WID0 * each, N = 1u, ldy = O, j = 0u, from = 0u, to = 0u;
    float r = 1.0f;
    if (NORM != 0u) { /* summed as acts_bytes' groups do */
        fvec acc[8];
        float part[8];
        UNROLL for (uint k = 0u; k < 8u; k++) acc[k] = FV(0.0f);
        for (uint i = 0u; i < nb * 32u / VW; i += 8u) {
            UNROLL for (uint k = 0u; k < 8u; k++) {
                if (i + k < nb * 32u / VW) {
                    fvec x = LDV(X, (i + k) * VW);
                    acc[k] = fma(x, x, acc[k]);
                }
            }
        }
        UNROLL for (uint k = 0u; k < 8u; k++) part[k] = FVSUM(acc[k]);
        float even = (part[0] + part[4]) + (part[2] + part[6]);
        float sum = even + ((part[1] + part[5]) + (part[3] + part[7]));
        r = 1.0f / sqrt(sum / TOF(nb * 32u) + eps);
    }
    for (uint b = 0u; b < nb; b++) {
#include "acts_block.h"
    }
    for (uint item = first; item < min(first + each, items); item++) {
#include "gemv_bytes_item.h"
    }
END
