/* im2col: the patch that a K x K convolution sees from each place, as a row: Y[(b, oh, ow), (c, kh, kw)] =
 * x[b, oh stride + kh - pad, ow stride + kw - pad, c], 0 outside the image.
 *   x (B H W, C), bound from image 0 of this chunk   Y (B OH OW, C K K)
 * One item per element of Y. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(im2col)
RO(0, float, X) WO(1, float, Y)
PARAMS P(uint, images) P(uint, H) P(uint, W) P(uint, C) P(uint, K) P(uint, stride) P(uint, pad) P(uint, OH)
    P(uint, OW)
LOCALS
BODY
    uint width = C * K * K, row = GLIN / width, j = GLIN % width;
    if (row < images * OH * OW) {
        uint kw = j % K, kh = j / K % K, c = j / (K * K);
        uint h = row / OW % OH * stride + kh - pad, w = row % OW * stride + kw - pad; /* < 0 is huge */
        Y[GLIN] = h < H && w < W ? X[((row / (OH * OW) * H + h) * W + w) * C + c] : 0.0f;
    }
END
