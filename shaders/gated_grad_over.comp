/* gated_grad_over: gated_grad in the place of its factors, of y = f(a) b, f by KIND as in act.h:
 *   a = dy b f'(a),   b = dy f(a), both of what a and b were
 *   a, b, dy: n elements, read by vectors of VW lanes; the last may reach into the padding
 * One item per vector; the bits of gated_grad. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, KIND, 3)
WGSIZE(WGX, WGY)
#include "act.h"
KERNEL(gated_grad_over)
RW(0, fvec, A) RW(1, fvec, B) RO(2, fvec, dY)
PARAMS P(uint, n)
LOCALS
BODY
    if (GLIN * VW < n) {
        fvec a = A[GLIN], b = B[GLIN], dy = dY[GLIN], da, db;
        GATED_GRADS(da, db, a, b, dy, KIND)
        A[GLIN] = da;
        B[GLIN] = db;
    }
END
