/* embed_grad: dE[v] += the sum of dy[n] over the rows n with ids[n] = v, in the order of rows, for the ids in
 * [v0, v0 + count).
 *   ids (N)   L (rows, 2): embed_links of the rows [a, a + rows)   dy (N, I), bound from row a
 *   dE (V, I), bound from row v0
 * One item per (row, column); that of an id's first row does the work. Sums do not depend on the pieces. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(embed_grad)
RO(0, int, ids) RO(1, int2, L) RO(2, float, dY) RW(3, float, dE)
PARAMS P(uint, rows) P(uint, row0) P(uint, I) P(uint, a) P(uint, end) P(uint, v0) P(uint, count)
LOCALS
BODY
    if (GLIN / I < rows) {
        uint n = row0 + GLIN / I, i = GLIN % I, id = TOU(ids[a + n]);
        if (L[n].x == 1 && id >= v0 && id - v0 < count) {
            uint at = (id - v0) * I + i;
            float sum = dE[at];
            while (n < end) {
                sum += dY[n * I + i];
                n = TOU(L[n].y);
            }
            dE[at] = sum;
        }
    }
END
