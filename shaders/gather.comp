/* gather: Y[b] = S[sched[step[0] * B + first + b]] for the rows in [row0, row0 + rows) that this binding of
 * the source holds, s0 words in; other rows are left alone. Rows are R words of 4 bytes. One item per
 * word. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(gather)
RO(0, uint, S) RO(1, int, sched) RO(2, int, step) RW(3, uint, Y)
PARAMS P(uint, count) P(uint, first) P(uint, B) P(uint, R) P(uint, row0) P(uint, rows) P(uint, s0)
LOCALS
BODY
    uint i = GLIN, b = i / R;
    if (b >= count) return;
    uint row = TOU(sched[TOU(step[0]) * B + first + b]);
    if (row >= row0 && row - row0 < rows) Y[i] = S[s0 + (row - row0) * R + (i - b * R)];
END
