/* copy_if: D = S when flag[0] != 0; n units of `each` bytes (1, 2 or 4), moved as words of 4 bytes, the last
 * one whole (its rest is padding). One item per word. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(copy_if)
RO(0, uint, S) RO(1, int, flag) RW(2, uint, D)
PARAMS P(uint, n) P(uint, each)
LOCALS
BODY
    uint per = 4u / each;
    if (GLIN < (n + per - 1u) / per && flag[0] != 0) D[GLIN] = S[GLIN];
END
