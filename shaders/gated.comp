/* gated: y = f(a) b, f by KIND as in act.h        (SwiGLU and others; Shazeer 2020, arXiv 2002.05202)
 *   a, b, y: n elements, read by vectors of VW lanes; the last one may reach into the padding of the buffers
 * One item per vector. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, KIND, 3)
WGSIZE(WGX, WGY)
#include "act.h"
KERNEL(gated)
RO(0, fvec, A) RO(1, fvec, B) WO(2, fvec, Y)
PARAMS P(uint, n)
LOCALS
BODY
    if (GLIN * VW < n) Y[GLIN] = act_of(A[GLIN], KIND) * B[GLIN];
END
