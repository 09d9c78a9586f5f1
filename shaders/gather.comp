/* gather: Y[b] = S[sched[step[0] * B + first + b]] for the rows in [row0, row0 + rows) that this binding of
 * the source holds, s0 words in; other rows are left alone. Rows are R words of 4 bytes. One item per word
 * or, with QUADS, which R and s0 are then multiples of, per four. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, QUADS, 0)
WGSIZE(WGX, WGY)
KERNEL(gather)
RO(0, uint, S) RO(1, int, sched) RO(2, int, step) RW(3, uint, Y)
PARAMS P(uint, count) P(uint, first) P(uint, B) P(uint, R) P(uint, row0) P(uint, rows) P(uint, s0)
LOCALS VIEW(0, uint4, S4, S) RW_VIEW(3, uint4, Y4, Y)
BODY
    uint i = GLIN, width = QUADS != 0u ? 4u : 1u, length = R / width, b = i / length;
    if (b >= count) return;
    uint row = TOU(sched[TOU(step[0]) * B + first + b]);
    if (row < row0 || row - row0 >= rows) return;
    uint from = s0 / width + (row - row0) * length + (i - b * length);
    if (QUADS != 0u)
        Y4[i] = S4[from];
    else
        Y[i] = S[from];
END
