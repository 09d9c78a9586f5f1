/* nll_grad: dlogits[n, v] (+)= dnll[n] (exp(logits[n, v] - lse[n]) - [v == label]), nothing where the label
 * is outside [0, V).
 *   logits, dlogits (N, V), bound from row row0   labels, dnll, lse (N)   acc = 1 adds to dlogits
 * One item per element. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(nll_grad)
RO(0, float, Z) RO(1, int, labels) RO(2, float, lse) RO(3, float, dnll) RW(4, float, dZ)
PARAMS P(uint, rows) P(uint, row0) P(uint, V) P(uint, acc)
LOCALS
BODY
    if (GLIN / V < rows) {
        uint row = row0 + GLIN / V, v = GLIN % V, label = TOU(labels[row]);
        float d = exp(Z[GLIN] - lse[row]) - (v == label ? 1.0f : 0.0f);
        d = label < V ? d * dnll[row] : 0.0f;
        dZ[GLIN] = acc != 0u ? dZ[GLIN] + d : d;
    }
END
