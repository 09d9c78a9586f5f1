/* channel_scale: y[o,i] = x[o,i] exp(sign theta[i])
 *   x, y (rows, I)   theta (I)   sign 1 or -1
 * One item per value. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(channel_scale)
RO(0, float, X) RO(1, float, theta) WO(2, float, Y)
PARAMS P(uint, rows) P(uint, I) P(float, sign)
LOCALS
BODY
    if (GLIN < rows * I) Y[GLIN] = X[GLIN] * exp(sign * theta[GLIN % I]);
END
