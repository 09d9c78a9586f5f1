/* fill: Y[i] = value, n floats. One item per float. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(fill)
WO(0, float, Y)
PARAMS P(uint, n) P(float, value)
LOCALS
BODY
    if (GLIN < n) Y[GLIN] = value;
END
