/* col_sum: y[i] (+)= sum_n x[n, i], rows in order.
 *   x (N, I)   y (I)   acc = 1 adds to y
 * One item per column. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(col_sum)
RO(0, float, X) RW(1, float, Y)
PARAMS P(uint, N) P(uint, I) P(uint, acc)
LOCALS
BODY
    if (GLIN < I) {
        float sum = 0.0f;
        for (uint n = 0u; n < N; n++) sum += X[n * I + GLIN];
        Y[GLIN] = acc != 0u ? Y[GLIN] + sum : sum;
    }
END
