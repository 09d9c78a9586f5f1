/* lbn_affine_grad: dbeta_c (+)= sum over images of part.x, dgamma_c (+)= of part.y, images in order.
 *   part (images, C, 2)   dgamma, dbeta (C)   acc: 1 adds to dgamma, 2 to dbeta
 * One item per channel. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(lbn_affine_grad)
RO(0, float2, part) RW(1, float, dgamma) RW(2, float, dbeta)
PARAMS P(uint, images) P(uint, C) P(uint, acc)
LOCALS
BODY
    if (GLIN < C) {
        float g = (acc & 1u) != 0u ? dgamma[GLIN] : 0.0f, b = (acc & 2u) != 0u ? dbeta[GLIN] : 0.0f;
        for (uint i = 0u; i < images; i++) {
            float2 p = part[i * C + GLIN];
            b += p.x;
            g += p.y;
        }
        dgamma[GLIN] = g;
        dbeta[GLIN] = b;
    }
END
