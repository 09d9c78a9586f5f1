/* attention_delta: delta = sum_d dy y of every row and head, for the gradients of attention (Dao et al. 2022,
 * arXiv 2205.14135, B.2).   y, dy (rows, D)   delta (rows): rows are (B T, H), HN = D / HW. An item a row.
 * TOPS: for kernels that scale and round dy to fp16, the sum is of what they make of it, so that p (dy.v -
 * delta) cancels where a weight is 1; delta (rows, 2), behind each the largest |dy|, of no meaning if one is
 * NaN. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, HW, 4) SPEC(3, uint, TOPS, 0)
WGSIZE(WGX, WGY)
#include "scale.h"
KERNEL(attention_delta)
RO(0, hvec, Y) RO(1, hvec, dY) WO(2, float, delta)
PARAMS P(uint, rows) P(uint, HN)
LOCALS
BODY
    uint row = GLIN;
    if (row >= rows) return;
    if (TOPS == 0u) {
        hvec sum = HV(0.0f);
        for (uint i = 0u; i < HN; i++) sum = fma(dY[row * HN + i], Y[row * HN + i], sum);
        delta[row] = HVSUM(sum);
    } else {
        hvec most = HV(0.0f);
        float top = 0.0f, sum = 0.0f;
        for (uint i = 0u; i < HN; i++) most = max(most, FABS(dY[row * HN + i]));
        for (uint l = 0u; l < HW; l++) top = max(top, LANE(most, l));
        float scale = coop_scale(top);
        for (uint i = 0u; i < HN; i++) {
            hvec y = Y[row * HN + i], dy = dY[row * HN + i] * HV(scale);
            for (uint l = 0u; l < HW; l++) sum = fma(ar_half_round(LANE(dy, l)), LANE(y, l), sum);
        }
        delta[2u * row] = sum * coop_inverse(scale);
        delta[2u * row + 1u] = top;
    }
END
