/* nll: nll[n] = lse[n] - logits[n, label],  lse = log sum_v exp(logits[n, v]),  top1[n] = argmax, the lowest
 * index on ties.
 *   logits (N, V), bound from row row0   labels, top1 (N)   nll, lse (N)
 * A label outside [0, V) gives nll 0; V <= 2^24 (an index is kept as a float). One group
 * per row, two passes (maximum, sum), fixed-order trees. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
#define BEST2(a, b) ((b).x > (a).x || ((b).x == (a).x && (b).y < (a).y) ? (b) : (a))
KERNEL(nll)
RO(0, float, Z) RO(1, int, labels) WO(2, float, nll_out) WO(3, float, lse) WO(4, int, top1)
PARAMS P(uint, rows) P(uint, row0) P(uint, V)
LOCALS SHARED(float2, best, WGX) SHARED(float, red, WGX)
BODY
    uint row = WLIN;
    if (row < rows) {
        uint base = row * V;
        float2 b = F2(Z[base + min(LID0, V - 1u)], TOF(min(LID0, V - 1u)));
        EACH(v, V)
            if (Z[base + v] > b.x) b = F2(Z[base + v], TOF(v));
        best[LID0] = b;
        TREE(best, BEST2);
        float top = best[0].x, sum = 0.0f;
        EACH(v, V) sum += exp(Z[base + v] - top);
        red[LID0] = sum;
        TREE(red, SUM2);
        if (LID0 == 0u) {
            float l = top + log(red[0]);
            uint label = TOU(labels[row0 + row]);
            lse[row0 + row] = l;
            nll_out[row0 + row] = label < V ? l - Z[base + label] : 0.0f;
            top1[row0 + row] = TOI(best[0].y);
        }
    }
END
