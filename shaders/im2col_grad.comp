/* im2col_grad: dx[b, h, w, c] (+)= the sum of dy over the patches that hold the place, by kh, then kw: the
 * transpose of im2col.
 *   dy (B OH OW, C K K)   dx (B H W, C), both bound from image 0 of this chunk   acc = 1 adds to dx
 * One item per element of dx, so that no two add to one place. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(im2col_grad)
RO(0, float, dY) RW(1, float, dX)
PARAMS P(uint, images) P(uint, H) P(uint, W) P(uint, C) P(uint, K) P(uint, stride) P(uint, pad) P(uint, OH)
    P(uint, OW) P(uint, acc)
LOCALS
BODY
    uint c = GLIN % C, place = GLIN / C, w = place % W, h = place / W % H, b = place / (H * W);
    if (b < images) {
        float sum = acc != 0u ? dX[GLIN] : 0.0f;
        for (uint kh = 0u; kh < K; kh++) {
            uint top = h + pad - kh, oh = top / stride;
            if (top > h + pad || top % stride != 0u || oh >= OH) continue;
            for (uint kw = 0u; kw < K; kw++) {
                uint left = w + pad - kw, ow = left / stride;
                if (left <= w + pad && left % stride == 0u && ow < OW)
                    sum += dY[((b * OH + oh) * OW + ow) * C * K * K + (c * K + kh) * K + kw];
            }
        }
        dX[GLIN] = sum;
    }
END
