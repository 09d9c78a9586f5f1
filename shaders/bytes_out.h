/* The sums of an item of gemv_bytes.h, finished and stored: bias, silu of a gate times its input, residual.
 */
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
