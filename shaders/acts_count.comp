/* acts_count: C[k] += how many rows have -lo (k < 2048) or hi (k >= 2048) in the bin k & 2047, those of one
 * exponent and three bits of the fraction
 *   R (rows, 2) = lo, hi of acts_range   C (4096) f32, exact below 2^24
 * One item per bin, which goes over all rows. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(acts_count)
RO(0, float2, R) RW(1, float, C)
PARAMS P(uint, rows)
LOCALS
BODY
    if (GLIN < 4096u) {
        uint n = 0u;
        for (uint i = 0u; i < rows; i++) {
            const float2 r = R[i];
            const float side = GLIN < 2048u ? -r.x : r.y;
            if (((ASU(side) >> 20u) & 2047u) == (GLIN & 2047u)) n += 1u;
        }
        C[GLIN] += TOF(n);
    }
END
