/* load_half: the floats that save_half kept, exactly those that fp16 holds; H, S and blocks as there.
 *   X (64 blocks floats)
 * One item per block. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
#include "saved.h"
KERNEL(load_half)
RO(0, uvec, H) RO(1, float, S) WO(2, fvec, X)
PARAMS P(uint, blocks)
LOCALS
BODY
    uint lane = GLIN % 32u, first = GLIN - lane;
    if (GLIN >= blocks) return;
    uint apart = min(32u, blocks - first), to = first * COUNT + lane, from = first * COUNT / 2u + lane;
    fvec inverse = FV(S[GLIN]);
    UNROLL for (uint i = 0u; i < COUNT; i += 2u) {
        uvec h = H[from + i / 2u * apart];
        X[to + i * apart] = half_values(h & 0xffffu) * inverse;
        X[to + (i + 1u) * apart] = half_values(h >> 16u) * inverse;
    }
END
