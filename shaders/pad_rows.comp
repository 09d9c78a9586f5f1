/* pad_rows: y[n, i] = x[n, i] for i < I, else 0.   x (rows, I)   y (rows, width)
 * One item per element of y. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(pad_rows)
RO(0, float, X) WO(1, float, Y)
PARAMS P(uint, rows) P(uint, I) P(uint, width)
LOCALS
BODY
    uint item = GLIN;
    if (item >= rows * width) return;
    uint n = item / width, i = item - n * width;
    float v = 0.0f;
    if (i < I) v = X[n * I + i];
    Y[item] = v;
END
