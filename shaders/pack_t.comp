/* pack_t: panels of T columns from a matrix whose rows run across k, for gemm.
 *   D[d0 + panel*pitch + k*T + j] = S[s0 + k*ld + panel*T + j], zero where panel*T + j >= rows
 * One item per (panel, k, PART columns), neighbours along the columns: depth * T / PART items per panel.
 * PART divides T. BRAIN: rounded to bf16. LINES: 0, or as many values of k to an item; then rows is a
 * multiple of T, depth of LINES, and all else that counts elements, and PART, one of 4. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, T, 8) SPEC(3, uint, PART, 8)
SPEC(4, uint, BRAIN, 0) SPEC(5, uint, LINES, 0)
WGSIZE(WGX, WGY)
#include "brain.h"
#define OF(v)  (BRAIN != 0u ? ar_brain_round(v) : (v))
#define OF4(v) (BRAIN != 0u ? ar_brain_round4(v) : (v))
KERNEL(pack_t)
RO(0, float, S) WO(1, float, D)
PARAMS P(uint, items) P(uint, rows) P(uint, depth) P(uint, ld) P(uint, s0) P(uint, d0) P(uint, pitch)
LOCALS VIEW(0, float4, S4, S) RW_VIEW(1, float4, D4, D)
BODY
    uint item = GLIN;
    if (item >= items) return;
    uint line = item / (T / PART), at = (item - line * (T / PART)) * PART, lines = max(LINES, 1u);
    uint panel = line / (depth / lines), k = line * lines - panel * depth, col = panel * T + at;
    uint from = s0 + k * ld + col, to = d0 + panel * pitch + k * T + at;
    if (LINES != 0u) {
        UNROLL for (uint l = 0u; l < LINES; l++) {
            UNROLL for (uint j = 0u; j < PART; j += 4u)
                D4[(to + l * T + j) / 4u] = OF4(S4[(from + l * ld + j) / 4u]);
        }
    } else if (PART % 4u == 0u && col + PART <= rows) {
        ROLLED for (uint j = 0u; j < PART; j += 4u) { ST4(D, to + j, OF4(LD4(S, from + j))); }
    } else {
        ROLLED for (uint j = 0u; j < PART; j++) {
            float v = 0.0f;
            if (col + j < rows) v = OF(S[from + j]);
            D[to + j] = v;
        }
    }
END
