/* conv2d_turn: the weights with which conv2d makes dx of dy: B[panel][(o, kh, kw)][j] = W[o, panel VW + j,
 * K - 1 - kh, K - 1 - kw], 0 from channel C on.
 *   W (O, C KK), KK = K K   B [ceil(C / VW)][O KK][VW]
 * One item per element of B. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(conv2d_turn)
RO(0, float, W) WO(1, float, B)
PARAMS P(uint, items) P(uint, O) P(uint, C) P(uint, KK)
LOCALS
BODY
    uint row = GLIN / VW, c = row / (O * KK) * VW + GLIN % VW, o = row / KK % O, k = KK - 1u - row % KK;
    if (GLIN < items) B[GLIN] = c < C ? W[(o * C + c) * KK + k] : 0.0f;
END
