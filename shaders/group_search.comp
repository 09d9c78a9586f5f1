/* group_search: the grid w = S c - M of every group with the smallest sum H (S c - M - w)^2 over round to
 * nearest (docs/methods.md, search). Candidates in order, strict improvement.
 *   kind 0 sym (SignRoundV2, arXiv 2512.04746): m the entry of largest |w|, S = fp16(-m / k'),
 *     M = S (Q + 1)/2, k' = 2.9 .. 1.1 by -0.01 for two bits, else k (0.25 + 0.0075 n), n = 0..200, k = (Q +
 *   1)/2
 *   kind 1 integer zero point, 2 fp16 minimum: lo = min(0, min w) and hi = max(0, max w) times 1, .95 .. .3
 *     each, S = max(fp16((hi - lo)/Q), F), M = S clamp(rnd(-lo/S), zmin, Q), or fp16(-lo)
 *   W (rows, I)   H (I), all 1 unless weighted   GRID (rows, gpr)   G weights to a group, the last may be
 *   short
 * One item per group. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(group_search)
RO(0, float, W) RO(1, float, H) WO(2, float2, GRID)
PARAMS P(uint, rows) P(uint, I) P(uint, G) P(uint, gpr) P(uint, weighted) P(uint, kind) P(float, Q)
P(float, zmin)
LOCALS
BODY
    const uint g = GLIN;
    if (g < rows * gpr) {
        const uint row = g / gpr, from = (g - row * gpr) * G, to = min(from + G, I), at = row * I;
        const float mid = 0.5f * (Q + 1.0f);
        float lo = 0.0f, hi = 0.0f, best = -1.0f;
        float2 kept = F2(0.0f, 0.0f);
        for (uint c = from; c < to; c++) lo = min(lo, W[at + c]), hi = max(hi, W[at + c]);
        const float top = hi < -lo ? lo : hi;
        const uint tries = kind != 0u ? 225u : Q < 4.0f ? 181u : 201u;
        for (uint n = 0u; n < tries; n++) {
            float s, m;
            if (kind == 0u) {
                s = -top / (Q < 4.0f ? 2.9f - 0.01f * TOF(n) : mid * (0.25f + 0.0075f * TOF(n)));
                s = ar_half_round(s);
                s = s < 0.0f ? min(s, -AR_SCALE_MIN) : max(s, AR_SCALE_MIN);
                m = s * mid;
            } else {
                const float low = lo * (1.0f - 0.05f * TOF(n % 15u));
                const float high = hi * (1.0f - 0.05f * TOF(n / 15u));
                s = max(ar_half_round((high - low) / Q), AR_SCALE_MIN);
                m = kind == 1u ? s * clamp(RINT(-low / s), zmin, Q) : ar_half_round(-low);
            }
            const float y = 1.0f / s;
            float error = 0.0f;
            for (uint c = from; c < to; c++) {
                const float w = W[at + c];
                const float e = s * clamp(RINT((w + m) * y), 0.0f, Q) - m - w;
                error += (weighted != 0u ? H[c] : 1.0f) * e * e;
            }
            if (best < 0.0f || error < best) best = error, kept = F2(s, m);
        }
        GRID[g] = kept;
    }
END
