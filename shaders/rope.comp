/* rope: every pair (x_i, x_{i + D/2}) of every head turns by its angle (rotate-half pairing; Su et al. 2021,
 * arXiv 2104.09864):   y_i = x_i cos - x_{i+D/2} sin,   y_{i+D/2} = x_{i+D/2} cos + x_i sin.
 *   x, y (N, heads D)   table (T, D/2, 2) = cos, sin of the angle at position row % T
 *   sign  1 forward, -1 backward (the inverse rotation)   acc = 1 adds to y
 * One item per four pairs. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(rope)
RO(0, float, X) RO(1, float2, table) RW(2, float, Y)
PARAMS P(uint, rows) P(uint, row0) P(uint, T) P(uint, heads) P(uint, D2) P(float, sign) P(uint, acc)
LOCALS
BODY
    uint quads = (D2 + 3u) / 4u, rest = GLIN / quads, row = rest / heads;
    if (row < rows) {
        uint i0 = (GLIN % quads) * 4u, i1 = min(i0 + 4u, D2);
        uint x0 = rest * 2u * D2, t0 = ((row0 + row) % T) * D2;
        for (uint i = i0; i < i1; i++) {
            float2 cs = table[t0 + i];
            float a = X[x0 + i], b = X[x0 + D2 + i], s = cs.y * sign;
            float u = a * cs.x - b * s, v = b * cs.x + a * s;
            Y[x0 + i] = acc != 0u ? Y[x0 + i] + u : u;
            Y[x0 + D2 + i] = acc != 0u ? Y[x0 + D2 + i] + v : v;
        }
    }
END
