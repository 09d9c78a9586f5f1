/* super_refine: the multiples of every group once d and dmin are known (docs/methods.md, equation 9): of (i,
 * j) and its neighbours (i + di, j + dj), di, dj in -1 .. 1, the one with the smallest sum of a (w' - w)^2,
 * w' as fq_super makes it without V; as often as rounds says, each from the last one's best. The centre wins
 * ties.
 *   W (rows, gpr G)   IMP (gpr G) importance, read when weighted is 1   R (rows, gpr): d, dmin, i, j
 *   pairs 0: no minima; zp as in fq_super
 * One item per group; exact as super_scan. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(super_refine)
RO(0, float, W) RO(1, float, IMP) RW(2, float4, R)
PARAMS P(uint, rows) P(uint, gpr) P(uint, G) P(uint, weighted) P(uint, pairs) P(uint, rounds)
P(float, Q) P(float, zp) P(float, least) P(float, most)
LOCALS
BODY
    const uint g = GLIN;
    if (g < rows * gpr) {
        const uint at = g * G, col = (g % gpr) * G;
        const float4 r = R[g];
        EXACT float sum = 0.0f;
        for (uint k = 0u; k < G; k++) sum += FABS(W[at + k]);
        EXACT float twice = sum * (2.0f / TOF(G));
        float2 found = F2(r.z, r.w), centre = found;
        float best = AR_HUGE;
        for (uint c = 0u; c < 9u * rounds && r.x != 0.0f; c++) {
            if (c % 9u == 0u) centre = found;
            int way = TOI((c + 4u) % 9u); /* the middle first */
            float i = clamp(centre.x + TOF(way / 3 - 1), least, most);
            float j = pairs != 0u ? clamp(centre.y + TOF(way % 3 - 1), 0.0f, most) : 0.0f;
            EXACT float s = r.x * i, m = r.y * j;
            float y = s != 0.0f ? ar_div(1.0f, s) : 0.0f;
            EXACT float err = 0.0f;
            for (uint k = 0u; k < G; k++) {
                EXACT float x = W[at + k];
                EXACT float up = x + m;
                EXACT float q = clamp(RINT(ar_quot20(up, s, y)) + zp, 0.0f, Q);
                EXACT float diff = (s * (q - zp) - m) - x;
                err += ar_super_weight(weighted != 0u ? IMP[col + k] : 1.0f, twice, x) * (diff * diff);
            }
            if (err < best) {
                best = err;
                found = F2(i, j);
            }
        }
        R[g] = F4(r.x, r.y, found.x, found.y);
    }
END
