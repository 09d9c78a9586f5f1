/* save_half: x (64 blocks floats) as fp16, each block of 64 scaled by a power of two that brings its largest
 * number into [2^14, 2^15) (scale.h), half to even, subnormals kept.
 *   H: the bits of two vectors of a block in the halves of one of words   S [blocks]: 1 / scale
 * A block is every 32nd vector of 2048 numbers, so that neighbours load neighbours; of the last 64 L numbers,
 * L < 32, every Lth. What is infinite or no number becomes an infinity, and its block is not scaled.
 * One item per block. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
#include "scale.h"
#define COUNT (64u / VW)
/* |v| + 2^(e + 13) has fp16's last place there and so rounds; e is kept to fp16's exponents, of which the
 * least is also that of its subnormals. What lies above becomes an infinity. */
FN uvec half_bits(fvec v) {
    uvec e = clamp((FV_BITS(v) >> 23u) & 255u, UV(113u), UV(143u)), magic = (e + 13u) << 23u;
    EXACT fvec near = FABS(v) + FV_FLOATS(magic);
    return ((FV_BITS(v) >> 16u) & 0x8000u) | min(FV_BITS(near) - magic + ((e - 113u) << 10u), UV(0x7c00u));
}
KERNEL(save_half)
RO(0, fvec, X) WO(1, uvec, H) WO(2, float, S)
PARAMS P(uint, blocks)
LOCALS
BODY
    uint lane = GLIN % 32u, first = GLIN - lane;
    if (GLIN >= blocks) return;
    uint apart = min(32u, blocks - first), from = first * COUNT + lane, to = first * COUNT / 2u + lane;
    fvec v[COUNT];
    fvec top = FV(0.0f);
    UNROLL for (uint i = 0u; i < COUNT; i++) {
        v[i] = X[from + i * apart];
        top = max(top, FABS(v[i]));
    }
    float scale = coop_scale(FVMAX(top));
    UNROLL for (uint i = 0u; i < COUNT; i += 2u) {
        H[to + i / 2u * apart] = half_bits(v[i] * FV(scale)) | (half_bits(v[i + 1u] * FV(scale)) << 16u);
    }
    S[GLIN] = coop_inverse(scale);
END
