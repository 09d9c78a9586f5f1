/* lbn_affine: y = a_c x + b_c, product and sum each rounded: the same bits on every device and host.
 *   x, y (N, C)   fold (C, 2) = a, b
 * One item per element. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(lbn_affine)
RO(0, float, X) RO(1, float2, fold) WO(2, float, Y)
PARAMS P(uint, rows) P(uint, C)
LOCALS
BODY
    if (GLIN / C < rows) {
        float2 f = fold[GLIN % C];
        EXACT float at = f.x * X[GLIN];
        EXACT float y = at + f.y;
        Y[GLIN] = y;
    }
END
