/* rope: every pair (x_i, x_{i + P}), i < P, of every head turns by its angle (rotate-half pairing; Su et al.
 * 2021, arXiv 2104.09864):   y_i = x_i cos - x_{i+P} sin,   y_{i+P} = x_{i+P} cos + x_i sin;   dims 2 P .. D
 * stay.
 *   x, y (N, heads D)   table (T, P, 2) = cos, sin of the angle at position row % T
 *   sign  1 forward, -1 backward (the inverse rotation)   acc = 1 adds to y
 * One item per four of a head's D - P pairs and single dims. QUADS: P and D are multiples of four. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, QUADS, 0)
WGSIZE(WGX, WGY)
KERNEL(rope)
RO(0, float, X) RO(1, float2, table) RW(2, float, Y)
PARAMS P(uint, rows) P(uint, row0) P(uint, T) P(uint, heads) P(uint, D) P(uint, pairs) P(float, sign)
       P(uint, acc)
LOCALS VIEW(0, float4, X4, X) VIEW(1, float4, turns, table) RW_VIEW(2, float4, Y4, Y)
BODY
    uint slots = D - pairs, quads = (slots + 3u) / 4u, rest = GLIN / quads, row = rest / heads;
    if (row >= rows) return;
    uint i0 = (GLIN % quads) * 4u, i1 = min(i0 + 4u, slots);
    uint x0 = rest * D, t0 = ((row0 + row) % T) * pairs;
    if (QUADS != 0u) {
        uint at = (x0 + i0) / 4u, up = pairs / 4u;
        float4 u = X4[at + up];
        if (i0 < pairs) {
            float4 p = turns[(t0 + i0) / 2u], q = turns[(t0 + i0) / 2u + 1u], a = X4[at];
            float4 c = F4(p.x, p.z, q.x, q.z), s = F4(p.y, p.w, q.y, q.w) * F4S(sign);
            float4 v = a * c - u * s;
            if (acc != 0u) v = Y4[at] + v;
            Y4[at] = v;
            u = u * c + a * s;
        }
        if (acc != 0u) u = Y4[at + up] + u;
        Y4[at + up] = u;
    } else {
        for (uint i = i0; i < min(i1, pairs); i++) {
            float2 cs = table[t0 + i];
            float a = X[x0 + i], b = X[x0 + pairs + i], s = cs.y * sign;
            float u = a * cs.x - b * s, v = b * cs.x + a * s;
            Y[x0 + i] = acc != 0u ? Y[x0 + i] + u : u;
            Y[x0 + pairs + i] = acc != 0u ? Y[x0 + pairs + i] + v : v;
        }
        for (uint i = max(i0, pairs) + pairs; i < i1 + pairs; i++)
            Y[x0 + i] = acc != 0u ? Y[x0 + i] + X[x0 + i] : X[x0 + i];
    }
END
