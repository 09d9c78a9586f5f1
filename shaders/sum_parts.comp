/* sum_parts: C = D_0 + D_1 + … [+ C] [+ B], the parts of a product whose depth was cut, in that order.
 *   D (parts, pitch fvec)   C (n fvec) in rows of N numbers, padding included   B (N), if biased
 * row is N / VW, where VW divides N: with a bias. One item per vector: equal inputs give equal bits. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(sum_parts)
RO(0, fvec, D) RO(1, fvec, B) RW(2, fvec, C)
PARAMS P(uint, n) P(uint, parts) P(uint, pitch) P(uint, row) P(uint, acc) P(uint, biased)
LOCALS
BODY
    uint i = GLIN;
    if (i < n) {
        fvec sum = D[i];
        for (uint s = 1u; s < parts; s++) sum += D[s * pitch + i];
        if (acc != 0u) sum += C[i];
        if (biased != 0u) sum += B[i % row];
        C[i] = sum;
    }
END
