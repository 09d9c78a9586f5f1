/* square_sums: Y[c] += sum_n X[n, c]^2: how much the inputs of a product count (importance, docs/methods.md).
 *   X (rows, I)   Y (I)
 * One item per column in [first, end), rows in order. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(square_sums)
RO(0, float, X) RW(1, float, Y)
PARAMS P(uint, rows) P(uint, I) P(uint, first) P(uint, end)
LOCALS
BODY
    const uint c = first + GLIN;
    if (c < end) {
        float sum = 0.0f;
        for (uint n = 0u; n < rows; n++) sum += X[n * I + c] * X[n * I + c];
        Y[c] += sum;
    }
END
