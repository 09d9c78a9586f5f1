/* act: y = f(x), f by kind as in act.h
 *   x, y: n elements, read by vectors of VW lanes; the last one may reach into the padding of the buffers
 * One item per vector. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
#include "act.h"
KERNEL(act)
RO(0, fvec, X) WO(1, fvec, Y)
PARAMS P(uint, n) P(uint, kind)
LOCALS
BODY
    if (GLIN * VW < n) Y[GLIN] = act_of(X[GLIN], kind);
END
