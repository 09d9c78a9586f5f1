/* add_row: Y[n,o] += b[o]   Y (rows, O)  b (O): the bias of a linear layer. One item per element. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(add_row)
RW(0, float, Y) RO(1, float, b)
PARAMS P(uint, rows) P(uint, O)
LOCALS
BODY
    if (GLIN < rows * O) Y[GLIN] += b[GLIN % O];
END
