/* attention_delta: delta = sum_d dy y of every row and head, for attention_dq_across (Dao et al. 2022, arXiv
 * 2205.14135, B.2).   y, dy (rows, D)   delta (rows): rows are (B T, H), HN = D / VW. One item per row. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(attention_delta)
RO(0, fvec, Y) RO(1, fvec, dY) WO(2, float, delta)
PARAMS P(uint, rows) P(uint, HN)
LOCALS
BODY
    uint row = GLIN;
    if (row >= rows) return;
    fvec sum = FV(0.0f);
    for (uint i = 0u; i < HN; i++) sum = fma(dY[row * HN + i], Y[row * HN + i], sum);
    delta[row] = FVSUM(sum);
END
