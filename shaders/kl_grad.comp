/* kl_grad: dlogits[n, v] (+)= dkl[n] (q[v] - p[v]),  p = softmax(ref[n]), q = softmax(logits[n])
 *   ref, logits, dlogits (N, V), bound from row row0   dkl (N)   acc = 1 adds to dlogits
 * One group per row, three passes (maxima, sums, differences), fixed-order trees. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(kl_grad)
RO(0, float, A) RO(1, float, B) RO(2, float, dkl) RW(3, float, dB)
PARAMS P(uint, rows) P(uint, row0) P(uint, V) P(uint, acc)
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
        float up = dkl[row0 + row];
        EACH(v, V) {
            float d = up * (exp(B[base + v] - m.y) / s.y - exp(A[base + v] - m.x) / s.x);
            dB[base + v] = acc != 0u ? dB[base + v] + d : d;
        }
    }
END
