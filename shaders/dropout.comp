/* dropout: y (+)= x scale where a place is kept, 0 elsewhere; a place is kept where its random number is at
 * least `below` (Srivastava 2014). The number of place i is mix(mix(i) ^ key), key = mix(mix(count[0]) +
 * seed), mix the 32-bit finalizer of Chris Wellons' hash-prospector (lowbias32): it depends on nothing else,
 * so backward runs the same kernel on the gradient.
 *   x, y: n elements from element `first` on   count (1)   acc = 1 adds to y
 * One item per element. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
FN uint mix_bits(uint a) {
    uint x = a ^ (a >> 16u);
    x *= 0x7feb352du;
    x ^= x >> 15u;
    x *= 0x846ca68bu;
    return x ^ (x >> 16u);
}
KERNEL(dropout)
RO(0, float, X) RO(1, int, count) RW(2, float, Y)
PARAMS P(uint, n) P(uint, first) P(uint, seed) P(uint, below) P(float, scale) P(uint, acc)
LOCALS
BODY
    uint i = GLIN;
    if (i < n) {
        uint key = mix_bits(mix_bits(TOU(count[0])) + seed);
        float y = mix_bits(mix_bits(first + i) ^ key) >= below ? X[i] * scale : 0.0f;
        if (acc != 0u) y += Y[i];
        Y[i] = y;
    }
END
