/* soft_cap_grad: dx (+)= dy (1 - (y / cap)^2), y = cap tanh(x / cap)
 *   y, dy, dx: n elements   acc = 1 adds to dx. One item per element. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(soft_cap_grad)
RO(0, float, Y) RO(1, float, dY) RW(2, float, dX)
PARAMS P(uint, n) P(uint, acc) P(float, cap)
LOCALS
BODY
    if (GLIN < n) {
        float t = Y[GLIN] / cap, d = dY[GLIN] * (1.0f - t * t);
        if (acc != 0u) d += dX[GLIN];
        dX[GLIN] = d;
    }
END
