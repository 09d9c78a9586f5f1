/* acts_codes: the codes q of acts_quant as signed bytes, four to a word; behind the last one of a row z.
 *   x (rows, I)   G (rows, 2) = s, z of each row, or with each = 0 one of all   C (rows, ceil(I / 4)) words
 * One item per word. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(acts_codes)
RO(0, float, X) RO(1, float2, G) WO(2, uint, C)
PARAMS P(uint, rows) P(uint, I) P(uint, each) P(float, h)
LOCALS
BODY
    const uint words = (I + 3u) / 4u;
    if (GLIN < rows * words) {
        const uint row = GLIN / words, first = 4u * (GLIN - row * words);
        float2 g = G[row * each];
        uint word = 0u;
        for (uint k = 0u; k < 4u; k++) {
            float q = g.y;
            if (first + k < I) {
                EXACT float at = ar_div(X[row * I + first + k], g.x) + g.y;
                q = clamp(RINT(at), -h, h - 1.0f);
            }
            word |= (TOU(TOI(q)) & 255u) << (8u * k);
        }
        C[GLIN] = word;
    }
END
