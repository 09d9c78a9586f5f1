/* state_round_grad: dx (+)= gain dy where gain x lies in [lo, hi], else 0.   x, dy, dx (n)   acc = 1 adds
 * One item per number. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(state_round_grad)
RO(0, float, X) RO(1, float, dY) RW(2, float, dX)
PARAMS P(uint, n) P(float, gain) P(float, lo) P(float, hi) P(uint, acc)
LOCALS
BODY
    if (GLIN < n) {
        EXACT float at = gain * X[GLIN];
        float d = at >= lo && at <= hi ? gain * dY[GLIN] : 0.0f;
        dX[GLIN] = acc != 0u ? dX[GLIN] + d : d;
    }
END
