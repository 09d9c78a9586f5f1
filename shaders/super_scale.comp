/* super_scale: the scales of every super-block and the multiples of its groups (docs/methods.md, equation 8).
 *   d = fp16(top/(n + 0.1 k)), k = -9 .. 9, with the smallest sum of h (d i - s)^2, i = clamp(rnd(s/d),
 *   least, most),
 *   top the s of largest magnitude, n the limit it comes to lie on (its own sign where there are two); k = 0
 *   wins ties, then the order of k; infinite where fp16 holds none of them. dmin likewise from m.
 *   F (rows supers per): s, m and their weights h   R (rows supers per): d, dmin, i of s, i of m
 *   per groups to a super-block; pairs 0: no minima
 * One item per super-block; exact as super_scan. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(super_scale)
RO(0, float4, F) WO(1, float4, R)
PARAMS P(uint, n) P(uint, per) P(uint, pairs) P(float, least) P(float, most)
LOCALS
BODY
    const uint b = GLIN;
    if (b < n) {
        float2 top = F2(0.0f, 0.0f), d = F2(0.0f, 0.0f);
        for (uint j = b * per; j < (b + 1u) * per; j++) {
            if (FABS(F[j].x) > FABS(top.x)) top.x = F[j].x;
            if (F[j].y > top.y) top.y = F[j].y;
        }
        float limit = least < 0.0f ? least : most;
        float2 best = F2(AR_HUGE, AR_HUGE);
        for (int c = 0; c < 19; c++) {
            int k = c == 0 ? 0 : (c < 10 ? c - 10 : c - 9);
            EXACT float by = limit + 0.1f * TOF(limit < 0.0f ? -k : k);
            EXACT float by_m = most + 0.1f * TOF(k);
            float2 t = F2(ar_half_round(ar_div(top.x, by)), ar_half_round(ar_div(top.y, by_m)));
            EXACT float err = 0.0f, err_m = 0.0f;
            for (uint j = b * per; j < (b + 1u) * per; j++) {
                EXACT float off = t.x * ar_super_multiple(F[j].x, t.x, least, most) - F[j].x;
                EXACT float off_m = t.y * ar_super_multiple(F[j].y, t.y, 0.0f, most) - F[j].y;
                err += F[j].z * (off * off);
                err_m += F[j].w * (off_m * off_m);
            }
            if (c == 0) d = t;
            if (err < best.x) {
                best.x = err;
                d.x = t.x;
            }
            if (err_m < best.y && pairs != 0u) {
                best.y = err_m;
                d.y = t.y;
            }
        }
        for (uint j = b * per; j < (b + 1u) * per; j++)
            R[j] = F4(d.x, d.y, ar_super_multiple(F[j].x, d.x, least, most),
                      ar_super_multiple(F[j].y, d.y, 0.0f, most));
    }
END
