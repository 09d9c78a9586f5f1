/* Y (N, O) = X (N, I) W'^T, NC columns of X^T to a tile, with W' decoded in registers; see
 * gemv.comp. FIRST_TILE and NEXT_TILE give `item` and `first_n`, the tile a group makes, and perhaps another
 * after it. How X is loaded is the including kernel's: X_REGISTERS, LOAD_X (eighth e of column n), X_AT
 * (number c of it), PLACE_X (before that), ADD_SUM and SUM (of x, where HAS_LEAST); NORM_X adds to the sum of
 * squares and multiplies with the norm's weight, ADD_SQUARES gives that sum. So are WEIGHT, after UNSIGN, and
 * the loop over blocks: BLOCKS, up to `end` or, IN_PASSES, one or two. */
#define LOAD_UNIT                                                                                            \
    scales = at0 + (CODE_WORDS * nb + u * UNIT_WORDS) * LP;                                                  \
    if (SCALE != 0u) word = W[scales];                                                                       \
    if (SCALE >= 2u) d = ar_halves(word);                                                                    \
    if (HAS_DM) dm = ar_halves(word >> 16u)
#define RED(slice, n, l) ((((slice)*NC + (n)) * (VW + 1u) + (l)) * WGX + LID0)
PARAMS P(uint, items) P(uint, nb) P(uint, ub) P(uint, gb) P(uint, pw) P(uint, row0) P(uint, O) P(uint, ldx)
    P(uint, ldy) P(uint, n0) P(uint, columns) P(uint, flags) P(uint, w0) P(uint, I) P(float, eps) LOCALS
    SHARED(float, red, WGX *(VW + 1u) * NC * (WGY - 1u) + 1u) BODY uint n1 = n0 + columns;
FIRST_TILE;
uint it = min(item, items - 1u); /* no lane may leave: all lend values of X */
uint at0 = w0 + (it / LP) * pw * LP + it % LP, per = (nb + WGY - 1u) / WGY;
uint b = LID1 * per, b1 = min(b + per, nb), u = b / ub, i = b - u * ub, scales = 0u;
fvec acc[NC], part[NC];
float sums[NC], squares[NC];
uint from_x[NC];
X_REGISTERS;
PLANES;
uvec word = UV(0u), sub = UV(0u);
fvec d = FV(0.0f), dm = FV(0.0f), s = FV(1.0f), m = FV(0.0f);
a[0] = UV(0u);
UNROLL for (uint n = 0u; n < NC; n++) {
    acc[n] = FV(0.0f);
    squares[n] = 0.0f;
    if (NORM != 0u) square[n] = SQUARE_0;
    from_x[n] = min(first_n + n, n1 - 1u) * ldx;
}
while (b < b1) {
    uint end = min(b + ub - i, b1);
    if (!IN_PASSES) {
        LOAD_UNIT;
    }
    BLOCKS {
        uint of = min(b, b1 - 1u), at = at0 + CODE_WORDS * of * LP, odd = i >= gb ? 1u : 0u;
        if (IN_PASSES) {
            LOAD_UNIT;
        }
        if (SCALE >= 4u) sub = W[scales + (1u + i / 2u) * LP];
        LOAD_BLOCK(W, at);
        UNROLL for (uint n = 0u; n < NC; n++) part[n] = FV(0.0f), sums[n] = 0.0f;
        for (uint q = 0u; q < 4u; q++) {
            LOAD_EIGHTH(W, at, q);
            UNSIGN;
            UNROLL for (uint n = 0u; n < NC; n++) {
                LOAD_X(n, of * 4u + q);
                if (NORM != 0u) {
                    NORM_X(n, of * 4u + q);
                }
                if (HAS_LEAST) ADD_SUM(n);
                PLACE_X(n);
            }
            UNROLL for (uint c = 0u; c < 8u; c += 4u) {
                fvec w[4]; /* few enough to stay in registers beside a column's sums */
                UNROLL for (uint k = 0u; k < 4u; k++) w[k] = WEIGHT(c + k);
                UNROLL for (uint n = 0u; n < NC; n++) {
                    UNROLL for (uint k = 0u; k < 4u; k++) part[n] = fma(w[k], FV(X_AT(n, c + k)), part[n]);
                }
            }
            if (IN_HALVES ? q % 2u == 1u : q == 3u) {
                if (SCALE != 0u) s = ar_scale(word, d, sub, i, q / 2u, odd);
                if (HAS_MIN)
                    m = ar_least(word, s, dm, sub, i, q / 2u);
                else if (HAS_LEAST)
                    m = s * FV(-TOF(1u << (CODE - 1u)));
                UNROLL for (uint n = 0u; n < NC; n++) {
                    acc[n] = fma(s, part[n], acc[n]);
                    if (HAS_LEAST) acc[n] = fma(m, FV(SUM(n)), acc[n]);
                    part[n] = FV(0.0f);
                    sums[n] = 0.0f;
                }
            }
        }
        b++, i++;
        if (i == ub && b < b1) i = 0u, u++;
    }
}
if (NORM != 0u) {
    UNROLL for (uint n = 0u; n < NC; n++) { ADD_SQUARES(squares[n], n); }
}
if (WGY > 1u) { /* slices of I, added in order */
    if (LID1 > 0u) {
        UNROLL for (uint n = 0u; n < NC; n++) {
            UNROLL for (uint l = 0u; l < VW; l++) red[RED(LID1 - 1u, n, l)] = LANE(acc[n], l);
            if (NORM != 0u) red[RED(LID1 - 1u, n, VW)] = squares[n];
        }
    }
    BARRIER();
}
if (LID1 == 0u && item < items) {
    UNROLL for (uint n = 0u; n < NC; n++) {
        fvec v = acc[n];
        float gate = 0.0f, r = 1.0f, sum = squares[n];
        if (NORM != 0u) {
            for (uint k = 0u; k + 1u < WGY; k++) sum += red[RED(k, n, VW)];
            r = 1.0f / sqrt(sum / TOF(I) + eps);
        }
        ROLLED for (uint l = 0u; l < VW; l++) {
            uint row = row0 + it * VW + l, out_at = (first_n + n) * ldy;
            float y = LANE(v, l);
            for (uint k = 0u; k + 1u < WGY; k++) y += red[RED(k, n, l)];
            if (NORM != 0u) y *= r;
            if (row < O && first_n + n < n1) {
                if ((flags & 1u) != 0u) y += BIAS[row];
                if ((flags & 4u) != 0u) { /* rows 2 i and 2 i + 1 are a gate and its input */
                    if (l % 2u == 0u) gate = y;
                    if (l % 2u == 1u) y = gate / (1.0f + exp(min(-gate, 80.0f))) * y;
                    row = row / 2u;
                }
                if ((flags & 2u) != 0u) y += RES[out_at + row];
                if ((flags & 4u) == 0u || l % 2u == 1u) Y[out_at + row] = y;
            }
        }
    }
}
NEXT_TILE;
END
