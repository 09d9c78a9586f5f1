/* kl: kl[n] = sum_v p (ln p - ln q),  p = softmax(ref[n]), q = softmax(logits[n]), in nats.
 *   ref, logits (N, V), bound from row row0   kl (N)
 * One group per row, three passes (maxima, sums, divergence), fixed-order trees. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(kl)
RO(0, float, A) RO(1, float, B) WO(2, float, out_kl)
PARAMS P(uint, rows) P(uint, row0) P(uint, V)
LOCALS SHARED(float2, red, WGX)
BODY
    uint row = WLIN;
    if (row < rows) {
        uint base = row * V, first = base + min(LID0, V - 1u);
        float2 m = F2(A[first], B[first]), s = F2(0.0f, 0.0f);
        EACH(v, V) m = max(m, F2(A[base + v], B[base + v]));
        red[LID0] = m;
        TREE(red, MAX2);
        m = red[0];
        BARRIER();
        EACH(v, V) s += exp(F2(A[base + v], B[base + v]) - m);
        red[LID0] = s;
        TREE(red, SUM2);
        s = red[0];
        BARRIER();
        float la = log(s.x), lb = log(s.y), d = 0.0f;
        EACH(v, V) {
            float a = A[base + v] - m.x - la, b = B[base + v] - m.y - lb;
            d = fma(exp(a), a - b, d);
        }
        red[LID0] = F2(d, 0.0f);
        TREE(red, SUM2);
        if (LID0 == 0u) out_kl[row0 + row] = red[0].x;
    }
END
