/* peak_coop: peak_matrix on matrix hardware, operands of fp16, sums in f32: what a device multiplies there
 * from registers. A group makes a row of n, each of its subgroups, TILES, a tile of eight sums that do not
 * wait for each other. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, SUBGROUP, 8)
SPEC(3, uint, CM, 8) SPEC(4, uint, CN, 8) SPEC(5, uint, CK, 8)
WGSIZE(WGX, WGY)
#include "coop_intel.h"
#include "peak_matrix.h"
#define TILES (WGX / SUBGROUP)
KERNEL(peak_coop)
WO(0, float, Y)
PARAMS P(uint, n) P(uint, rounds)
LOCALS SHARED(frag_t, sa, PEAK_AS *CM *CK) SHARED(frag_t, sb, PEAK_BS *CK *CN)
SHARED(float, stage, TILES *CM *CN)
BODY
    uint sg = SG_ID;
    FRAG_A(fa, PEAK_AS);
    FRAG_B(fb, PEAK_BS);
    FRAG_C(sum, PEAK_AS *PEAK_BS);
    EACH(e, PEAK_AS * CM * CK) { sa[e] = TOFRAG(PEAK_A(e % (CM * CK) / CK, e % CK, e / (CM * CK))); }
    EACH(e, PEAK_BS * CK * CN) { sb[e] = TOFRAG(PEAK_B(e % (CK * CN) / CN, e % CN, e / (CK * CN))); }
    BARRIER();
    FRAGS for (uint i = 0u; i < PEAK_AS; i++) { FRAG_LOAD_A_ROWS(fa[i], sa, i *CM *CK, CK); }
    FRAGS for (uint j = 0u; j < PEAK_BS; j++) { FRAG_LOAD_B(fb[j], sb, j *CK *CN, CN); }
    FRAGS for (uint s = 0u; s < PEAK_AS * PEAK_BS; s++) { FRAG_ZERO(sum[s]); }
    ROLLED
    for (uint i = 0u; i < rounds; i++) {
        FRAGS for (uint s = 0u; s < PEAK_AS * PEAK_BS; s++) {
            FRAG_MUL(sum[s], fa[s / PEAK_BS], fb[s % PEAK_BS]);
        }
    }
    FRAGS for (uint s = 1u; s < PEAK_AS * PEAK_BS; s++) { FRAG_ADD(sum[0], sum[s]); }
    FRAG_STORE(sum[0], stage, sg *CM *CN, CN);
    BARRIER();
    if (WLIN < n) {
        EACH(e, TILES * CM * CN) { Y[WLIN * (TILES * CM * CN) + e] = stage[e]; }
    }
END
