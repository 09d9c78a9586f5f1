/* finish: what gemv fuses, for a product that gemm made.   T (rows, width)   y, RES (rows, O)   BIAS (width)
 *   flags 1: t += BIAS   4: t[i] = silu(t[2 i]) t[2 i + 1], O = width / 2, else O = width   2: t += RES    y
 *   = t
 * One item per element of y; WIDE: per VW of them, which divides O, for processors (a vector's exp costs as
 * much as a number's). */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, WIDE, 0)
WGSIZE(WGX, WGY)
KERNEL(finish)
RO(0, float, T) RO(1, float, BIAS) RO(2, float, RES) WO(3, float, Y)
PARAMS P(uint, rows) P(uint, O) P(uint, flags)
LOCALS
BODY
    uint item = WIDE != 0u ? GLIN * VW : GLIN;
    if (item >= rows * O) return;
    uint n = item / O, o = item - n * O;
    if (WIDE != 0u) {
        fvec v;
        if ((flags & 4u) != 0u) {
            fvec t0 = LDV(T, 2u * item), t1 = LDV(T, 2u * item + VW), g = t0;
            if ((flags & 1u) != 0u) {
                t0 += LDV(BIAS, 2u * o);
                t1 += LDV(BIAS, 2u * o + VW);
            }
            UNROLL for (uint l = 0u; l < VW / 2u; l++) {
                LANE_SET(g, l, LANE(t0, 2u * l));
                LANE_SET(g, l + VW / 2u, LANE(t1, 2u * l));
                LANE_SET(v, l, LANE(t0, 2u * l + 1u));
                LANE_SET(v, l + VW / 2u, LANE(t1, 2u * l + 1u));
            }
            v *= g / (FV(1.0f) + exp(min(-g, FV(80.0f))));
        } else {
            v = LDV(T, item);
            if ((flags & 1u) != 0u) v += LDV(BIAS, o);
        }
        if ((flags & 2u) != 0u) v += LDV(RES, item);
        STV(Y, item, v);
        return;
    }
    float y;
    if ((flags & 4u) != 0u) {
        float g = T[2u * item], v = T[2u * item + 1u];
        if ((flags & 1u) != 0u) {
            g += BIAS[2u * o];
            v += BIAS[2u * o + 1u];
        }
        y = g / (1.0f + exp(min(-g, 80.0f))) * v;
    } else {
        y = T[item];
        if ((flags & 1u) != 0u) y += BIAS[o];
    }
    if ((flags & 2u) != 0u) y += RES[item];
    Y[item] = y;
END
