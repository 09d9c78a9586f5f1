/* sum_rows: s[o] = sum_n X[n,o]   X (rows, O)  s (O): the gradient of a bias. One item per column, rows in
 * order. acc != 0, or a chunk that is not the first (start != 0), adds to s. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(sum_rows)
RO(0, float, X) RW(1, float, s)
PARAMS P(uint, rows) P(uint, start) P(uint, O) P(uint, acc)
LOCALS
BODY
    uint o = GLIN;
    if (o >= O) return;
    float sum = 0.0f;
    if (acc != 0u || start != 0u) sum = s[o];
    for (uint n = 0u; n < rows; n++) sum += X[n * O + o];
    s[o] = sum;
END
