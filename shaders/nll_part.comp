/* nll_part: the loss over a vocabulary that comes in pieces. Z (N, V) are the logits of the ids [v0, v0 + V),
 * bound from row row0; S (N, 4) is what is known so far: the largest logit, the sum of exp(logit - largest),
 * the label's logit, the most likely id.
 *   lse[n] = log sum exp(logits),  nll[n] = lse[n] - logits[n, label],  top1[n] = argmax (lowest id on ties)
 *   labels, top1 (N)   nll, lse (N)
 * A label outside [0, all) gives nll 0; all <= 2^24. The first piece (v0 = 0) starts S; the values after the
 * last one count. One group per row, fixed-order trees. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
#define BEST2(a, b) ((b).x > (a).x || ((b).x == (a).x && (b).y < (a).y) ? (b) : (a))
KERNEL(nll_part)
RO(0, float, Z) RO(1, int, labels) RW(2, float4, S) WO(3, float, nll_out) WO(4, float, lse) WO(5, int, top1)
PARAMS P(uint, rows) P(uint, row0) P(uint, V) P(uint, v0) P(uint, all)
LOCALS SHARED(float2, best, WGX) SHARED(float, red, WGX)
BODY
    uint row = WLIN;
    if (row < rows) {
        uint base = row * V, n = row0 + row;
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
            uint label = TOU(labels[n]), at = label - v0;
            float4 s = F4(top, red[0], at < V ? Z[base + min(at, V - 1u)] : 0.0f, TOF(v0) + best[0].y);
            if (v0 != 0u) {
                float4 old = S[n];
                float m = max(old.x, top);
                s = F4(m, old.y * exp(old.x - m) + s.y * exp(top - m), at < V ? s.z : old.z,
                       top > old.x ? s.w : old.w);
            }
            float l = s.x + log(s.y);
            S[n] = s;
            lse[n] = l;
            nll_out[n] = label < all ? l - s.z : 0.0f;
            top1[n] = TOI(s.w);
        }
    }
END
