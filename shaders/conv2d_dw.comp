/* conv2d_dw: what each image adds to the gradient of a convolution's weights: D[b, o, c, kh, kw] = the sum
 * over oh, then ow of dy[b, oh, ow, o] x[b, oh + kh - pad, ow + kw - pad, c], 0 outside the image.
 *   x (B H W, C)   dy (B OH OW, O)   D (B, O C K K), all bound from image 0 of this chunk   VW divides O
 * One item makes the K x K sums of VW outputs, a channel and an image, TM places of a row at a time. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, TM, 4) SPEC(3, uint, K, 3)
WGSIZE(WGX, WGY)
KERNEL(conv2d_dw)
RO(0, float, X) RO(1, float, dY) WO(2, float, D)
PARAMS P(uint, images) P(uint, H) P(uint, W) P(uint, C) P(uint, O) P(uint, pad) P(uint, OH) P(uint, OW)
LOCALS
BODY
    uint panels = O / VW, o = GLIN % panels * VW, c = GLIN / panels % C, image = GLIN / panels / C;
    if (image >= images) return;
    fvec sum[K * K], d[TM];
    float a[TM + K - 1u];
    UNROLL for (uint k = 0u; k < K * K; k++) sum[k] = FV(0.0f);
    for (uint oh = 0u; oh < OH; oh++) {
        for (uint ow = 0u; ow < OW; ow += TM) {
            uint from = ((image * OH + oh) * OW + ow) * O + o;
            UNROLL for (uint m = 0u; m < TM; m++) {
                d[m] = FV(0.0f);
                if (ow + m < OW) d[m] = LDV(dY, from + m * O);
            }
            UNROLL for (uint kh = 0u; kh < K; kh++) {
                uint h = oh + kh - pad; /* < 0 is huge */
                UNROLL for (uint i = 0u; i < TM + K - 1u; i++) {
                    uint w = ow + i - pad;
                    a[i] = h < H && w < W ? X[((image * H + h) * W + w) * C + c] : 0.0f;
                }
                UNROLL for (uint kw = 0u; kw < K; kw++) {
                    UNROLL for (uint m = 0u; m < TM; m++)
                        sum[kh * K + kw] = fma(FV(a[m + kw]), d[m], sum[kh * K + kw]);
                }
            }
        }
    }
    uint to = (image * O + o) * C * K * K + c * K * K;
    UNROLL for (uint l = 0u; l < VW; l++) {
        UNROLL for (uint k = 0u; k < K * K; k++) D[to + l * C * K * K + k] = LANE(sum[k], l);
    }
END
