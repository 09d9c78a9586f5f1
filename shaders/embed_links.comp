/* embed_links: which rows of a gradient belong to one id. Of the ids [a, end) row n - a gets
 *   L.x = 1 where no earlier one of them is ids[n], else 0;  L.y = the next row with ids[n], less a; end - a
 * where there is none.
 *   ids (N)   L (end - a, 2)
 * One item per id: every gradient is then summed by the first row of its id, in the order of rows. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(embed_links)
RO(0, int, ids) WO(1, int2, L)
PARAMS P(uint, rows) P(uint, row0) P(uint, a) P(uint, end)
LOCALS
BODY
    if (GLIN < rows) {
        uint n = a + row0 + GLIN, m = a, next = n + 1u;
        int id = ids[n];
        while (ids[m] != id) m += 1u;
        while (next < end && ids[next] != id) next += 1u;
        int2 link;
        link.x = m == n ? 1 : 0;
        link.y = TOI(next - a);
        L[row0 + GLIN] = link;
    }
END
