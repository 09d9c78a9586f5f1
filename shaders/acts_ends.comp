/* acts_ends: dx += what the values that are the ends of a range have of the gradient D / s of its scale s
 *   asymmetric s = (hi - lo) / steps: D / (s steps) at hi, less that at lo
 *   symmetric  s = max(-lo, hi) / steps: at the one that is farther from zero
 *   x, dx (rows, I)   R (rows, 2) = lo, hi   G (rows, 2) = s, z   D (rows); with each = 0 one of all rows
 * One item per value; all values that are an end have it. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(acts_ends)
RO(0, float, X) RO(1, float2, R) RO(2, float2, G) RO(3, float, D) RW(4, float, dX)
PARAMS P(uint, rows) P(uint, I) P(uint, each) P(uint, asym) P(float, steps)
LOCALS
BODY
    if (GLIN < rows * I) {
        uint at = GLIN / I * each;
        float2 r = R[at];
        float x = X[GLIN], d = 0.0f;
        bool up = x == r.y && x > 0.0f, down = x == r.x && x < 0.0f;
        if (asym == 0u) {
            up = up && r.y >= -r.x;
            down = down && r.y < -r.x;
        }
        if (up || down) d = D[at] / (G[at].x * steps);
        if (up) dX[GLIN] = dX[GLIN] + d;
        if (down) dX[GLIN] = dX[GLIN] - d;
    }
END
