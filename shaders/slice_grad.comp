/* slice_grad: dx[n, first + o] (+)= dy[n, o]; without acc the other columns of dx become 0.
 *   dy (rows, O)   dx (rows, I). One item per element of dx. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(slice_grad)
RO(0, float, dY) RW(1, float, dX)
PARAMS P(uint, rows) P(uint, I) P(uint, first) P(uint, O) P(uint, acc)
LOCALS
BODY
    if (GLIN < rows * I) {
        uint row = GLIN / I, i = GLIN % I;
        float d = 0.0f;
        if (acc != 0u) d = dX[GLIN];
        if (i >= first && i < first + O) d += dY[row * O + i - first];
        dX[GLIN] = d;
    }
END
