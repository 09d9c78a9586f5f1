/* attention_delta: delta = sum_d dy y of every row and head, for the gradients of attention (Dao et al. 2022,
 * arXiv 2205.14135, B.2).   y, dy (rows, D)   delta (rows): rows are (B T, H), HN = D / HW. An item a row. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, HW, 4)
WGSIZE(WGX, WGY)
KERNEL(attention_delta)
RO(0, hvec, Y) RO(1, hvec, dY) WO(2, float, delta)
PARAMS P(uint, rows) P(uint, HN)
LOCALS
BODY
    uint row = GLIN;
    if (row >= rows) return;
    hvec sum = HV(0.0f);
    for (uint i = 0u; i < HN; i++) sum = fma(dY[row * HN + i], Y[row * HN + i], sum);
    delta[row] = HVSUM(sum);
END
