/* pool_grad: dx[b, h, w, c] (+)= the sum of dy over the windows that chose the place, or with mean = 1 that
 * hold it, over K^2; by kh, then kw.
 *   at, dy (B OH OW, C)   dx (B H W, C)   acc = 1 adds to dx
 * One item per element of dx. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(pool_grad)
RO(0, int, at) RO(1, float, dY) RW(2, float, dX)
PARAMS P(uint, images) P(uint, H) P(uint, W) P(uint, C) P(uint, K) P(uint, stride) P(uint, OH) P(uint, OW)
    P(uint, mean) P(uint, acc)
LOCALS
BODY
    uint c = GLIN % C, place = GLIN / C, w = place % W, h = place / W % H, b = place / (H * W);
    if (b < images) {
        float sum = acc != 0u ? dX[GLIN] : 0.0f;
        for (uint kh = h % stride; kh < K && kh <= h; kh += stride) {
            for (uint kw = w % stride; kw < K && kw <= w; kw += stride) {
                uint oh = (h - kh) / stride, ow = (w - kw) / stride, o = ((b * OH + oh) * OW + ow) * C + c;
                if (oh >= OH || ow >= OW) continue;
                if (mean != 0u) sum += dY[o] / TOF(K * K);
                else if (at[o] == TOI(kh * K + kw)) sum += dY[o];
            }
        }
        dX[GLIN] = sum;
    }
END
