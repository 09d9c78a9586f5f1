/* lbn_running: R += momentum (S - R): what statistics S of batches were, the latest most.   R, S (n)
 * One item per number. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(lbn_running)
RW(0, float, R) RO(1, float, S)
PARAMS P(uint, n) P(float, momentum)
LOCALS
BODY
    if (GLIN < n) R[GLIN] += momentum * (S[GLIN] - R[GLIN]);
END
