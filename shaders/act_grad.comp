/* act_grad: dx (+)= dy f'(x), f' by kind as in act.h
 *   x, dy, dx: n elements, read by vectors of VW lanes; the last may reach into the padding
 *   acc = 1 adds to dx
 * One item per vector. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
#include "act.h"
KERNEL(act_grad)
RO(0, fvec, X) RO(1, fvec, dY) RW(2, fvec, dX)
PARAMS P(uint, n) P(uint, kind) P(uint, acc)
LOCALS
BODY
    if (GLIN * VW < n) {
        fvec d = act_slope(X[GLIN], kind);
        d *= dY[GLIN];
        if (acc != 0u) d += dX[GLIN];
        dX[GLIN] = d;
    }
END
