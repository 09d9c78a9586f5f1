/* acts_grid: G[k] = (s, z) of R[k] = (lo, hi), lo <= 0 <= hi, for codes -h .. h - 1, h = 2^(bits - 1)
 *   symmetric   s = max(-lo, hi) / (h - 1/2), z = 0
 *   asymmetric  s = (hi - lo) / (2 h - 1),    z = clamp(rint(-h - lo / s), -h, h - 1)
 * s = 1 where the range is below 2^-100 (docs/activations.md). One item per range. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(acts_grid)
RO(0, float2, R) WO(1, float2, G)
PARAMS P(uint, rows) P(uint, asym) P(float, h)
LOCALS
BODY
    if (GLIN < rows) {
        float2 r = R[GLIN];
        EXACT float span = asym != 0u ? r.y - r.x : max(-r.x, r.y);
        EXACT float steps = asym != 0u ? h + (h - 1.0f) : h - 0.5f;
        float s = 1.0f, z = 0.0f;
        if (span >= 7.888609052210118e-31f) s = ar_div(span, steps);
        if (asym != 0u) {
            EXACT float from = -h - ar_div(r.x, s);
            z = clamp(RINT(from), -h, h - 1.0f);
        }
        G[GLIN] = F2(s, z);
    }
END
