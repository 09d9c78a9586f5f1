/* gemv_bytes: Y (N, O) = X W'^T with resident W' (unpack.h) and X in bytes (acts_bytes), whose products are
 * added up per scale in 32-bit integers: y = sum_b d_b (s_b sum(q c) + m_b sum(q)), c the code without its
 * sign, so that m holds what that adds.        (as llama.cpp multiplies)
 *   W  [panel][word][LP * VW rows]   Q [tile][nb][12][NC]   Y pitch ldy
 *   flags 1: y += BIAS   2: y += RES (N, .) after everything else   4: y[i] = silu(y[2 i]) y[2 i + 1]
 * One item makes VW rows for `tiles` tiles of NC columns, so that its rows of W' stay in the nearest cache.
 * items: items of this launch, the first of them at row0; columns from tile t0 on, N of them in all. The
 * other parameters are gemv's. */
SPEC(0, uint, WGX, 8) SPEC(1, uint, WGY, 1) SPEC(2, uint, CODE, 4) SPEC(3, uint, SCALE, 1)
SPEC(4, uint, NC, 1) SPEC(5, uint, LP, 1)
WGSIZE(WGX, WGY)
#include "unpack.h"
#include "bytes.h"
#define AHEAD 16u
KERNEL(gemv_bytes)
RO(0, uvec, W) RO(1, uint, Q) RO(2, float, BIAS) RO(3, float, RES) WO(4, float, Y)
PARAMS P(uint, items) P(uint, nb) P(uint, ub) P(uint, gb) P(uint, pw) P(uint, row0) P(uint, O) P(uint, ldy)
    P(uint, t0) P(uint, t1) P(uint, tiles) P(uint, N) P(uint, flags) P(uint, w0)
LOCALS
BODY
    uint item = GID0;
    uint at0 = w0 + (item / LP) * pw * LP + item % LP, first_t = t0 + WID1 * tiles;
    for (uint j = first_t; item < items && j < min(first_t + tiles, t1); j++) {
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
                    UNROLL for (uint w = 0u; w < CODE_WORDS; w++)
                        PREFETCH(W, at + (AHEAD * CODE_WORDS + w) * LP);
                }
                LOAD_BLOCK(W, at);
                UNROLL for (uint part = 0u; part < PARTS; part++) {
                    uvec sum[NC];
                    UNROLL for (uint n = 0u; n < NC; n++) sum[n] = UV(0u);
                    UNROLL for (uint q = part * 4u / PARTS; q < (part + 1u) * 4u / PARTS; q++) {
                        LOAD_EIGHTH(W, at, q);
                        UNROLL for (uint k = 0u; k < 2u; k++) {
                            uvec c = EIGHTH_BYTES(k);
                            UNROLL for (uint n = 0u; n < NC; n++)
                                sum[n] = DOT_BYTES(sum[n], c, Q[x + (2u * q + k) * NC + n]);
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
        uint row = row0 + item * VW, n0 = j * NC;
        UNROLL for (uint n = 0u; n < NC; n++) {
            fvec y = acc[n];
            uint out_at = (n0 + n) * ldy, half_ = (flags & 4u) != 0u ? 2u : 1u;
            if (n0 + n < N && row + VW <= O) {
                if ((flags & 1u) != 0u) y += LDV(BIAS, row);
                if ((flags & 4u) != 0u) { /* rows 2 i and 2 i + 1 are a gate and its input */
                    fvec g = y / (FV(1.0f) + exp(min(-y, FV(80.0f))));
                    UNROLL for (uint l = 0u; l < VW / 2u; l++) {
                        float v = LANE(g, 2u * l) * LANE(y, 2u * l + 1u);
                        if ((flags & 2u) != 0u) v += RES[out_at + row / 2u + l];
                        Y[out_at + row / 2u + l] = v;
                    }
                } else {
                    if ((flags & 2u) != 0u) y += LDV(RES, out_at + row);
                    STV(Y, out_at + row, y);
                }
            } else if (n0 + n < N) {
                ROLLED for (uint l = 0u; l < VW; l += half_) {
                    if (row + l < O) {
                        float v = LANE(y, l);
                        if ((flags & 1u) != 0u) v += BIAS[row + l];
                        if (half_ == 2u) {
                            float up = LANE(y, l + 1u);
                            if ((flags & 1u) != 0u) up += BIAS[row + l + 1u];
                            v = v / (1.0f + exp(min(-v, 80.0f))) * up;
                        }
                        if ((flags & 2u) != 0u) v += RES[out_at + (row + l) / half_];
                        Y[out_at + (row + l) / half_] = v;
                    }
                }
            }
        }
    }
END
