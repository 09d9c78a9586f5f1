/* unpack: resident W' (unpack.h) as panels for gemm, D [row / T][k - k0][T] f32 for k0 <= k < k0 + depth.
 * One item per (VW rows, block of 32 k): row_items * blocks items, neighbours along the rows; the first row
 * is r0 * VW of W's binding, the first block k0 / 32. D starts d0 vectors into its binding, W w0; T is a
 * multiple of VW.
 * W has the first `filled` of the row_items; the others, to the end of the last panel, become zero. BRAIN:
 * rounded to bf16. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, CODE, 4) SPEC(3, uint, SCALE, 1)
SPEC(4, uint, LP, 1) SPEC(5, uint, BRAIN, 0)
WGSIZE(WGX, WGY)
#include "unpack.h"
#include "brain.h"
KERNEL(unpack)
RO(0, uvec, W) WO(1, fvec, D)
PARAMS P(uint, items) P(uint, row_items) P(uint, nb) P(uint, ub) P(uint, gb) P(uint, pw) P(uint, r0)
       P(uint, k0)
    P(uint, depth) P(uint, tv) P(uint, d0) P(uint, w0) P(uint, filled)
LOCALS
BODY
    uint item = GLIN;
    if (item >= items) return;
    uint block = item / row_items, r = item - block * row_items, row = r + r0, b = block + k0 / 32u;
    uint at0 = w0 + (row / LP) * pw * LP + row % LP, at = at0 + CODE_WORDS * b * LP, u = b / ub,
        i = b - u * ub;
    uint scales = at0 + (CODE_WORDS * nb + u * UNIT_WORDS) * LP, odd = i >= gb ? 1u : 0u;
    uint to = d0 + (r / tv) * depth * tv + r % tv, count = min(32u, depth - block * 32u);
    if (r >= filled) {
        for (uint c = 0u; c < count; c++) D[to + (block * 32u + c) * tv] = FV(0.0f);
        return;
    }
    PLANES;
    uvec word = UV(0u), sub = UV(0u);
    fvec d = FV(0.0f), dm = FV(0.0f), s = FV(1.0f), m = FV(0.0f);
    a[0] = UV(0u);
    if (SCALE != 0u) word = W[scales];
    if (SCALE >= 2u) d = ar_halves(word);
    if (HAS_DM) dm = ar_halves(word >> 16u);
    if (SCALE >= 4u) sub = W[scales + (1u + i / 2u) * LP];
    LOAD_BLOCK(W, at);
    for (uint q = 0u; q < 4u; q++) {
        LOAD_EIGHTH(W, at, q);
        if (SCALE != 0u) s = ar_scale(word, d, sub, i, q / 2u, odd);
        if (HAS_MIN) m = ar_least(word, s, dm, sub, i, q / 2u);
        UNROLL for (uint c = 0u; c < 8u; c++) {
            fvec w = fma(s, EIGHTH_CODE(c), m);
            if (BRAIN != 0u) w = FV_FLOATS(BRAIN_BITS(FV_BITS(w)));
            if (8u * q + c < count) D[to + (block * 32u + 8u * q + c) * tv] = w;
        }
    }
END
