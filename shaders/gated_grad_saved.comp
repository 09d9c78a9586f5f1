/* gated_grad_saved: gated_grad of factors that save_half kept, of y = f(a) b, f by KIND as in act.h:
 *   da = dy b f'(a),   dy = dy f(a), which is db, in its place
 *   HA, SA and HB, SB: a and b as there   dy, da (64 blocks floats)
 * One item per block; the bits of load_half and gated_grad. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, KIND, 3)
WGSIZE(WGX, WGY)
#include "act.h"
#include "saved.h"
KERNEL(gated_grad_saved)
RO(0, uvec, HA) RO(1, float, SA) RO(2, uvec, HB) RO(3, float, SB) RW(4, fvec, dY) WO(5, fvec, dA)
PARAMS P(uint, blocks)
LOCALS
BODY
    uint lane = GLIN % 32u, first = GLIN - lane;
    if (GLIN >= blocks) return;
    uint apart = min(32u, blocks - first), to = first * COUNT + lane, from = first * COUNT / 2u + lane;
    fvec ia = FV(SA[GLIN]), ib = FV(SB[GLIN]);
    UNROLL for (uint i = 0u; i < COUNT; i++) {
        uint word = from + i / 2u * apart, at = to + i * apart, shift = i % 2u * 16u;
        EXACT fvec a = half_values((HA[word] >> shift) & 0xffffu) * ia;
        EXACT fvec b = half_values((HB[word] >> shift) & 0xffffu) * ib;
        fvec dy = dY[at], da, db;
        GATED_GRADS(da, db, a, b, dy, KIND)
        dA[at] = da;
        dY[at] = db;
    }
END
