/* int_linear: y[n, o] = s_n sum_g S[o, g] sum_{i in g} (a[n, i] - z_n) (q[o, i] - Z[o, g]), the inner sums in
 * 32-bit integers and so exact, the outer one in order.        (docs/activations.md)
 *   a (rows, words) signed bytes of acts_codes   G (rows, 2) = s, z of each row, or with each = 0 one of all
 *   q (panels, words, 16) unsigned bytes, four inputs of an output to a word   SZ (panels, groups, 16, 2)
 *   y (rows, O)
 * Groups are gw words. One item per output and four rows. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
#define WEIGHT(w, k)  TOI(((w) >> (8u * k)) & 255u)
#define ACTS(w, k) (TOI((w) << (24u - 8u * k)) >> 24)
KERNEL(int_linear)
RO(0, uint, A) RO(1, float2, G) RO(2, uint, Q) RO(3, float2, SZ) WO(4, float, Y)
PARAMS P(uint, panels) P(uint, panel0) P(uint, rows) P(uint, O) P(uint, words) P(uint, gw) P(uint, groups)
P(uint, each)
LOCALS
BODY
    const uint items = (rows + 3u) / 4u * 16u, panel = GLIN / items, rest = GLIN - panel * items;
    const uint row = rest / 16u * 4u, lane = rest & 15u, o = (panel0 + panel) * 16u + lane;
    if (panel < panels && o < O) {
        uint from[4];
        int z[4], sum[4];
        float y[4];
        UNROLL for (uint r = 0u; r < 4u; r++) {
            const uint at = min(row + r, rows - 1u);
            from[r] = at * words;
            z[r] = TOI(G[at * each].y);
            y[r] = 0.0f;
        }
        for (uint g = 0u; g < groups; g++) {
            const float2 sz = SZ[(panel * groups + g) * 16u + lane];
            const int zero = TOI(sz.y);
            const uint end = min((g + 1u) * gw, words);
            for (uint r = 0u; r < 4u; r++) sum[r] = 0;
            for (uint w = g * gw; w < end; w++) {
                const uint q = Q[(panel * words + w) * 16u + lane];
                UNROLL for (uint r = 0u; r < 4u; r++) {
                    const uint a = A[from[r] + w];
                    UNROLL for (uint k = 0u; k < 4u; k++)
                        sum[r] += (ACTS(a, k) - z[r]) * (WEIGHT(q, k) - zero);
                }
            }
            for (uint r = 0u; r < 4u; r++) {
                EXACT float part = sz.x * TOF(sum[r]);
                y[r] += part;
            }
        }
        for (uint r = 0u; r < 4u; r++)
            if (row + r < rows) Y[(row + r) * O + o] = y[r] * G[(row + r) * each].x;
    }
END
