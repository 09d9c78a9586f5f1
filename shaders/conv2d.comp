/* conv2d: Y[(b, oh, ow), o] (+)= the sum over (c, kh, kw), in this order, of W[o, c, kh, kw] times
 * x[b, oh + kh - pad, ow + kw - pad, c], 0 outside the image: im2col and gemm without the patches in memory,
 * and with their bits.
 *   x (B H W, C)   Y (B OH OW, O), both bound from image 0 of this chunk   acc = 1 adds to Y
 *   B [ceil(O / VW)][C K K] fvec, zero padded: the weights, as pack_k lays them out
 * One item makes TM places of a row x VW outputs in registers; a value of x is loaded once for K of them. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, TM, 4) SPEC(3, uint, K, 3)
WGSIZE(WGX, WGY)
KERNEL(conv2d)
RO(0, float, X) RO(1, fvec, B) RW(2, float, Y)
PARAMS P(uint, images) P(uint, H) P(uint, W) P(uint, C) P(uint, O) P(uint, pad) P(uint, OH) P(uint, OW)
    P(uint, acc)
LOCALS
BODY
    uint panels = (O + VW - 1u) / VW, tiles = (OW + TM - 1u) / TM, at = GLIN / panels, panel = GLIN % panels;
    uint ow = at % tiles * TM, line = at / tiles, oh = line % OH, image = line / OH;
    if (image >= images) return;
    fvec sum[TM];
    float a[TM + K - 1u];
    UNROLL for (uint m = 0u; m < TM; m++) sum[m] = FV(0.0f);
    uint ib = panel * C * K * K;
    for (uint c = 0u; c < C; c++) {
        for (uint kh = 0u; kh < K; kh++) {
            uint h = oh + kh - pad; /* < 0 is huge */
            if (h < H) {
                uint from = (image * H + h) * W * C + c;
                UNROLL for (uint i = 0u; i < TM + K - 1u; i++) {
                    uint w = ow + i - pad;
                    a[i] = w < W ? X[from + w * C] : 0.0f;
                }
                UNROLL for (uint kw = 0u; kw < K; kw++) {
                    fvec b = B[ib + kw];
                    UNROLL for (uint m = 0u; m < TM; m++) sum[m] = fma(FV(a[m + kw]), b, sum[m]);
                }
            }
            ib += K;
        }
    }
    uint o = panel * VW;
    UNROLL for (uint m = 0u; m < TM; m++) {
        uint to = (line * OW + ow + m) * O + o;
        fvec v = sum[m];
        if (ow + m < OW && o + VW <= O) {
            if (acc != 0u) v += LDV(Y, to);
            STV(Y, to, v);
        } else if (ow + m < OW) {
            UNROLL for (uint l = 0u; l < VW; l++) {
                if (o + l < O) {
                    float old = acc != 0u ? Y[to + l] : 0.0f;
                    Y[to + l] = old + LANE(v, l);
                }
            }
        }
    }
END
