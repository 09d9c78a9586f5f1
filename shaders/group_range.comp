/* group_range: R[g] = (min(0, min w), max(0, max w)) over the weights w of group g (docs/methods.md, equation
 * 1).
 *   W (rows, I)   R (rows, gpr) pairs   G weights to a group, the last of a row may be short
 * One item per group. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(group_range)
RO(0, float, W) WO(1, float2, R)
PARAMS P(uint, rows) P(uint, I) P(uint, G) P(uint, gpr)
LOCALS
BODY
    const uint g = GLIN;
    if (g < rows * gpr) {
        const uint row = g / gpr, from = (g - row * gpr) * G, to = min(from + G, I);
        fvec low = FV(0.0f), high = FV(0.0f);
        uint c = row * I + from;
        for (; c + VW <= row * I + to; c += VW) {
            const fvec w = LDV(W, c);
            low = min(low, w);
            high = max(high, w);
        }
        float lo = -FVMAX(-low), hi = FVMAX(high);
        for (; c < row * I + to; c++) {
            lo = min(lo, W[c]);
            hi = max(hi, W[c]);
        }
        R[g] = F2(lo, hi);
    }
END
