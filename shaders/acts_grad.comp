/* acts_grad: dx (+)= dy where x / s + z lies in [-h - edge, h - 1 + edge], else 0: straight through the
 * rounding, cut off where values were clamped.
 *   x, dy, dx (rows, I)   G (rows, 2) = s, z of each row, or with each = 0 one of all   acc = 1 adds to dx
 * One item per value. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(acts_grad)
RO(0, float, X) RO(1, float2, G) RO(2, float, dY) RW(3, float, dX)
PARAMS P(uint, rows) P(uint, I) P(uint, each) P(uint, acc) P(float, h) P(float, edge)
LOCALS
BODY
    if (GLIN < rows * I) {
        float2 g = G[GLIN / I * each];
        EXACT float at = ar_div(X[GLIN], g.x) + g.y;
        float d = dY[GLIN];
        if (at < -h - edge || at > h - 1.0f + edge) d = 0.0f;
        if (acc != 0u) d += dX[GLIN];
        dX[GLIN] = d;
    }
END
