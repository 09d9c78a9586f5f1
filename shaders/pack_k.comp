/* pack_k: panels of T rows from a matrix whose rows run along k, for gemm.
 *   D[d0 + panel*pitch + k*T + j] = S[s0 + (panel*T + j)*ld + k], zero where panel*T + j >= rows
 * One item per (PART rows of a panel, 4 values of k), transposed 4 x 4 at a time: ceil(depth / 4) items to
 * PART rows. PART divides T. BRAIN: rounded to bf16. WHOLE: rows is a multiple of T, and all else that counts
 * elements and PART one of 4. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, T, 8) SPEC(3, uint, PART, 8)
SPEC(4, uint, BRAIN, 0) SPEC(5, uint, WHOLE, 0)
WGSIZE(WGX, WGY)
#include "brain.h"
#define OF(v)  (BRAIN != 0u ? ar_brain_round(v) : (v))
#define OF4(v) (BRAIN != 0u ? ar_brain_round4(v) : (v))
KERNEL(pack_k)
RO(0, float, S) WO(1, float, D)
PARAMS P(uint, items) P(uint, rows) P(uint, depth) P(uint, ld) P(uint, s0) P(uint, d0) P(uint, pitch)
LOCALS VIEW(0, float4, S4, S) RW_VIEW(1, float4, D4, D)
BODY
    uint item = GLIN;
    if (item >= items) return;
    uint quads = (depth + 3u) / 4u, part = item / quads, k = (item - part * quads) * 4u, row = part * PART;
    uint from = s0 + row * ld + k, to = d0 + row / T * pitch + k * T + row % T;
    if (WHOLE != 0u) {
        ROLLED for (uint j = 0u; j < PART; j += 4u) {
            float4 a = OF4(S4[(from + j * ld) / 4u]), b = OF4(S4[(from + (j + 1u) * ld) / 4u]);
            float4 c = OF4(S4[(from + (j + 2u) * ld) / 4u]), d = OF4(S4[(from + (j + 3u) * ld) / 4u]);
            D4[(to + j) / 4u] = F4(a.x, b.x, c.x, d.x);
            D4[(to + T + j) / 4u] = F4(a.y, b.y, c.y, d.y);
            D4[(to + 2u * T + j) / 4u] = F4(a.z, b.z, c.z, d.z);
            D4[(to + 3u * T + j) / 4u] = F4(a.w, b.w, c.w, d.w);
        }
    } else if (PART % 4u == 0u && row + PART <= rows && k + 4u <= depth) {
        ROLLED for (uint j = 0u; j < PART; j += 4u) {
            float4 a = OF4(LD4(S, from + j * ld)), b = OF4(LD4(S, from + (j + 1u) * ld));
            float4 c = OF4(LD4(S, from + (j + 2u) * ld)), d = OF4(LD4(S, from + (j + 3u) * ld));
            ST4(D, to + j, F4(a.x, b.x, c.x, d.x));
            ST4(D, to + T + j, F4(a.y, b.y, c.y, d.y));
            ST4(D, to + 2u * T + j, F4(a.z, b.z, c.z, d.z));
            ST4(D, to + 3u * T + j, F4(a.w, b.w, c.w, d.w));
        }
    } else {
        for (uint l = 0u; l < min(4u, depth - k); l++) {
            ROLLED for (uint j = 0u; j < PART; j++) {
                float v = 0.0f;
                if (row + j < rows) v = OF(S[from + j * ld + l]);
                D[to + l * T + j] = v;
            }
        }
    }
END
