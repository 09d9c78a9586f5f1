/* layer_norm_dw: part[c, i] = sum over the rows n of chunk c of dy[n, i] (x[n, i] - m[n]) r[n]: the first of
 * two stages of dw; sum_rows adds the chunks.
 *   x, dy (N, I), bound from row row0, a multiple of chunk_rows   stat (N, 2) = m, r   part (chunks, I)
 * One item per (chunk, column); rows in order. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(layer_norm_dw)
RO(0, float, X) RO(1, float2, stat) RO(2, float, dY) WO(3, float, part)
PARAMS P(uint, rows) P(uint, row0) P(uint, I) P(uint, chunk_rows)
LOCALS
BODY
    uint c = GLIN / I, i = GLIN % I, n0 = c * chunk_rows;
    if (n0 < rows) {
        uint end = min(n0 + chunk_rows, rows);
        float sum = 0.0f;
        for (uint n = n0; n < end; n++) {
            float2 s = stat[row0 + n];
            sum = fma(dY[n * I + i] * s.y, X[n * I + i] - s.x, sum);
        }
        part[(row0 / chunk_rows + c) * I + i] = sum;
    }
END
