/* embed: y[n] = E[ids[n]] for the ids in [v0, v0 + count): one piece of a table too large for one binding.
 *   E (V, I), bound from row v0   ids (N)   y (N, I)
 * An id outside [0, V) gives zeros, written with the first piece. One item per element. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(embed)
RO(0, float, E) RO(1, int, ids) WO(2, float, Y)
PARAMS P(uint, rows) P(uint, row0) P(uint, I) P(uint, v0) P(uint, count) P(uint, V)
LOCALS
BODY
    if (GLIN / I < rows) {
        uint id = TOU(ids[row0 + GLIN / I]);
        if (id >= v0 && id - v0 < count) Y[GLIN] = E[(id - v0) * I + GLIN % I];
        else if (id >= V && v0 == 0u) Y[GLIN] = 0.0f;
    }
END
