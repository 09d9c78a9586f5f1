/* state_round: y = clip(RINT(gain x), 0, hi), or without rounding max(0, gain x).   x, y (n)
 * The product is rounded by itself: the same codes on every device and host. One item per number. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(state_round)
RO(0, float, X) WO(1, float, Y)
PARAMS P(uint, n) P(float, gain) P(float, hi) P(uint, rounds)
LOCALS
BODY
    if (GLIN < n) {
        EXACT float at = gain * X[GLIN];
        Y[GLIN] = rounds != 0u ? clamp(RINT(at), 0.0f, hi) : max(0.0f, at);
    }
END
