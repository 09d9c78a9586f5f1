/* rope_at: the rotation of rope with every row at position pos[0].
 *   x, y (B, heads D)   table (C, D/2, 2) = cos, sin   pos (1).   One item per pair. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(rope_at)
RO(0, float, X) RO(1, float2, table) RO(2, int, pos) WO(3, float, Y)
PARAMS P(uint, pairs) P(uint, heads) P(uint, D2)
LOCALS
BODY
    if (GLIN < pairs) {
        uint i = GLIN % D2, x0 = (GLIN / D2) * 2u * D2 + i;
        float2 cs = table[TOU(pos[0]) * D2 + i];
        float a = X[x0], b = X[x0 + D2];
        Y[x0] = a * cs.x - b * cs.y;
        Y[x0 + D2] = b * cs.x + a * cs.y;
    }
END
