/* gemv_bytes: Y (N, O) = X W'^T with resident W' (unpack.h) and X in bytes (acts_bytes), whose products are
 * added up per scale in 32-bit integers: y = sum_b d_b (s_b sum(q c) + m_b sum(q)), c the code without its
 * sign, so that m holds what that adds.        (as llama.cpp multiplies)
 *   W  [panel][word][LP * VW rows]   Q [tile][nb][12][NC]   Y pitch ldy
 *   flags 1: y += BIAS   2: y += RES (N, .) after everything else   4: y[i] = silu(y[2 i]) y[2 i + 1]
 * One item makes VW rows for `tiles` tiles of NC columns, so that its rows of W' stay in the nearest cache.
 * items: items of this launch, the first of them at row0; columns from tile t0 on, N of them in all. The
 * other parameters are gemv's. */
SPEC(0, uint, WGX, 8) SPEC(1, uint, WGY, 1) SPEC(2, uint, CODE, 4) SPEC(3, uint, SCALE, 1)
SPEC(4, uint, NC, 1) SPEC(5, uint, LP, 1)
WGSIZE(WGX, WGY)
#include "unpack.h"
#include "bytes.h"
KERNEL(gemv_bytes)
RO(0, uvec, W) RO(1, uint, Q) RO(2, float, BIAS) RO(3, float, RES) WO(4, float, Y)
#include "gemv_bytes.h"
