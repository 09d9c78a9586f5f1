/* channel_grad: dtheta[i] = sign sum_o dy[o,i] y[o,i], of channel_scale
 *   dy, y (rows, I)   dtheta (I)
 * One item per channel, rows in order. acc != 0, or a chunk that is not the first (start != 0), adds. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(channel_grad)
RO(0, float, dY) RO(1, float, Y) RW(2, float, dtheta)
PARAMS P(uint, rows) P(uint, start) P(uint, I) P(uint, acc) P(float, sign)
LOCALS
BODY
    uint i = GLIN;
    if (i >= I) return;
    float sum = 0.0f;
    for (uint o = 0u; o < rows; o++) sum += dY[o * I + i] * Y[o * I + i];
    sum *= sign;
    if (acc != 0u || start != 0u) sum += dtheta[i];
    dtheta[i] = sum;
END
