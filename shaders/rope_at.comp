/* rope_at: the rotation of rope with every row at position pos[0].
 *   x, y (B, heads D)   table (C, P, 2) = cos, sin   pos (1)
 * One item per pair, and per dim past the pairs. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(rope_at)
RO(0, float, X) RO(1, float2, table) RO(2, int, pos) WO(3, float, Y)
PARAMS P(uint, items) P(uint, D) P(uint, pairs)
LOCALS
BODY
    if (GLIN < items) {
        uint slots = D - pairs, i = GLIN % slots, x0 = GLIN / slots * D + i;
        if (i < pairs) {
            float2 cs = table[TOU(pos[0]) * pairs + i];
            float a = X[x0], b = X[x0 + pairs];
            Y[x0] = a * cs.x - b * cs.y;
            Y[x0 + pairs] = b * cs.x + a * cs.y;
        } else {
            Y[x0 + pairs] = X[x0 + pairs];
        }
    }
END
