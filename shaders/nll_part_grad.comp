/* nll_part_grad: logits become their gradient, Z = dnll[n] (exp(Z - lse[n]) - [v0 + v == label]), nothing
 * where the label is outside [0, all).
 *   Z (N, V): logits of the ids [v0, v0 + V), bound from row row0   labels, lse, dnll (N)
 * One item per element. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(nll_part_grad)
RW(0, float, Z) RO(1, int, labels) RO(2, float, lse) RO(3, float, dnll)
PARAMS P(uint, rows) P(uint, row0) P(uint, V) P(uint, v0) P(uint, all)
LOCALS
BODY
    if (GLIN / V < rows) {
        uint row = row0 + GLIN / V, v = v0 + GLIN % V, label = TOU(labels[row]);
        float d = exp(Z[GLIN] - lse[row]) - (v == label ? 1.0f : 0.0f);
        Z[GLIN] = label < all ? d * dnll[row] : 0.0f;
    }
END
