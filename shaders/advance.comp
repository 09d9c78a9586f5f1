/* advance: step[0] += by. One item. */
SPEC(0, uint, WGX, 1) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(advance)
RW(0, int, step)
PARAMS P(int, by)
LOCALS
BODY
    if (GLIN == 0u) step[0] += by;
END
