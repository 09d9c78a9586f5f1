/* What an item of gemv_bytes and its likes does for tile j of columns. DOT_BYTES(sum, c, x) adds up four
 * products of bytes, c the codes of a lane's row, of at most 7 bits but for CODE 8; the including kernel may
 * have its own. */
#ifndef DOT_BYTES
#define DOT_BYTES(sum, c, x) (CODE == 8u ? DOT_8(sum, c, x) : DOT_7(sum, c, x))
#endif
#define AHEAD 16u
uint at0 = w0 + (item / LP) * pw * LP + item % LP;
fvec acc[NC];
PLANES;
uvec word = UV(0u), sub = UV(0u);
fvec d = FV(0.0f), dm = FV(0.0f), s = FV(1.0f), m = FV(0.0f);
a[0] = UV(0u);
UNROLL for (uint n = 0u; n < NC; n++) acc[n] = FV(0.0f);
for (uint b = 0u, u = 0u; b < nb; u++) {
    uint first = u * ub, end = min(first + ub, nb);
    uint scales = at0 + (CODE_WORDS * nb + u * UNIT_WORDS) * LP;
    if (NC == 1u) PREFETCH(W, scales + pw * LP); /* the next panel's */
    word = W[scales];
    if (SCALE >= 2u) d = ar_halves(word);
    if (HAS_DM) dm = ar_halves(word >> 16u);
    for (; b < end; b++) {
        uint at = at0 + CODE_WORDS * b * LP, i = b - first, x = (j * nb + b) * 12u * NC;
        if (SCALE >= 4u) sub = W[scales + (1u + i / 2u) * LP];
        if (NC == 1u) {
            UNROLL for (uint w = 0u; w < CODE_WORDS; w++) PREFETCH(W, at + (AHEAD * CODE_WORDS + w) * LP);
        }
        LOAD_BLOCK(W, at);
        UNROLL for (uint part = 0u; part < PARTS; part++) {
            uvec sum[NC];
            UNROLL for (uint n = 0u; n < NC; n++) sum[n] = UV(0u);
            UNROLL for (uint q = part * 4u / PARTS; q < (part + 1u) * 4u / PARTS; q++) {
                LOAD_EIGHTH(W, at, q);
                UNROLL for (uint k = 0u; k < 2u; k++) {
                    uvec c = EIGHTH_BYTES(k);
                    UNROLL for (uint n = 0u; n < NC; n++) sum[n] =
                        DOT_BYTES(sum[n], c, Q[x + (2u * q + k) * NC + n]);
                }
            }
            s = ar_scale(word, d, sub, i, part, i >= gb ? 1u : 0u);
            m = IS_SIGNED ? s * FV(-TOF(1u << (CODE - 1u))) : ar_least(word, s, dm, sub, i, part);
            uint xs = x + (PARTS == 2u ? 10u + part : 9u) * NC;
            UNROLL for (uint n = 0u; n < NC; n++) {
                acc[n] = fma(s * FV(ASF(Q[x + 8u * NC + n])), FV_SIGNED(sum[n], 0u), acc[n]);
                acc[n] = fma(m, FV(ASF(Q[xs + n])), acc[n]);
            }
        }
    }
}
#include "bytes_out.h"
