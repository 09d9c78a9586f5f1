/* peak_matrix: sums of small products, Y = rounds (A0 + A1) (B0 + B1 + B2 + B3) in tiles of CM x CN by CK
 * (peak_matrix.h), one item per element and eight sums that do not wait for each other
 *   Y [n][TILES][CM][CN]
 * By plain arithmetic; peak_coop does the same on matrix hardware. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, CM, 8) SPEC(3, uint, CN, 8) SPEC(4, uint, CK, 8)
SPEC(5, uint, TILES, 4)
WGSIZE(WGX, WGY)
#include "peak_matrix.h"
KERNEL(peak_matrix)
WO(0, float, Y)
PARAMS P(uint, n) P(uint, rounds)
LOCALS
BODY
    if (GLIN < n * TILES * CM * CN) {
        uint r = GLIN % (CM * CN) / CN, c = GLIN % CN;
        float sum[PEAK_AS * PEAK_BS];
        UNROLL for (uint s = 0u; s < PEAK_AS * PEAK_BS; s++) sum[s] = 0.0f;
        ROLLED
        for (uint i = 0u; i < rounds * CK; i++) {
            uint k = i % CK;
            UNROLL for (uint s = 0u; s < PEAK_AS * PEAK_BS; s++)
                sum[s] = fma(PEAK_A(r, k, s / PEAK_BS), PEAK_B(k, c, s % PEAK_BS), sum[s]);
        }
        UNROLL for (uint s = 1u; s < PEAK_AS * PEAK_BS; s++) sum[0] += sum[s];
        Y[GLIN] = sum[0];
    }
END
