/* fill: Y[i] = word, n words of 4 bytes. One item per word. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(fill)
WO(0, uint, Y)
PARAMS P(uint, n) P(uint, word)
LOCALS
BODY
    if (GLIN < n) Y[GLIN] = word;
END
