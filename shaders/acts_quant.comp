/* acts_quant: y = s (q - z), q = clamp(rint(x / s + z), -h, h - 1)        (docs/activations.md)
 *   x, y (rows, I)   G (rows, 2) = s, z of each row, or with each = 0 one of all
 * One item per value. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(acts_quant)
RO(0, float, X) RO(1, float2, G) WO(2, float, Y)
PARAMS P(uint, rows) P(uint, I) P(uint, each) P(float, h)
LOCALS
BODY
    if (GLIN < rows * I) {
        float2 g = G[GLIN / I * each];
        EXACT float at = ar_div(X[GLIN], g.x) + g.y;
        float q = clamp(RINT(at), -h, h - 1.0f);
        Y[GLIN] = (q - g.y) * g.x;
    }
END
