/* gated_over: gated in the place of its first factor, a = f(a) b, f by KIND as in act.h
 *   a, b: n elements, read by vectors of VW lanes; the last one may reach into the padding of the buffers
 * One item per vector; the bits of gated. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, KIND, 3)
WGSIZE(WGX, WGY)
#include "act.h"
KERNEL(gated_over)
RW(0, fvec, A) RO(1, fvec, B)
PARAMS P(uint, n)
LOCALS
BODY
    if (GLIN * VW < n) A[GLIN] = act_of(A[GLIN], KIND) * B[GLIN];
END
