/* cache_append: cache[b, pos[0]] = x[b].   cache (B, C, I)   x (B, I)   pos (1).   One item per word. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(cache_append)
RW(0, uint, cache) RO(1, uint, X) RO(2, int, pos)
PARAMS P(uint, count) P(uint, C) P(uint, I)
LOCALS
BODY
    if (GLIN < count) cache[((GLIN / I) * C + TOU(pos[0])) * I + GLIN % I] = X[GLIN];
END
