/* finish: what gemv fuses, for a product that gemm made.   T (rows, width)   y, RES (rows, O)   BIAS (width)
 *   flags 1: t += BIAS   4: t[i] = silu(t[2 i]) t[2 i + 1], O = width / 2, else O = width   2: t += RES    y
 *   = t
 * One item per element of y. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(finish)
RO(0, float, T) RO(1, float, BIAS) RO(2, float, RES) WO(3, float, Y)
PARAMS P(uint, rows) P(uint, O) P(uint, flags)
LOCALS
BODY
    uint item = GLIN;
    if (item >= rows * O) return;
    uint n = item / O, o = item - n * O;
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
