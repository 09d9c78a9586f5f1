/* gated_grad: y = f(a) b, f by KIND as in act.h: da (+)= dy b f'(a),   db (+)= dy f(a)
 * With g = 1 / (1 + exp(-a)), where f is silu: da (+)= dy b g (1 + a (1 - g)),   db (+)= dy a g
 *   a, b, dy, da, db: n elements, read by vectors of VW lanes; the last may reach into the padding
 *    acc_a, acc_b = 1 add to da, db
 * One item per vector. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, KIND, 3)
WGSIZE(WGX, WGY)
#include "act.h"
KERNEL(gated_grad)
RO(0, fvec, A) RO(1, fvec, B) RO(2, fvec, dY) RW(3, fvec, dA) RW(4, fvec, dB)
PARAMS P(uint, n) P(uint, acc_a) P(uint, acc_b)
LOCALS
BODY
    if (GLIN * VW < n) {
        fvec a = A[GLIN], b = B[GLIN], dy = dY[GLIN], da, db;
        GATED_GRADS(da, db, a, b, dy, KIND)
        if (acc_a != 0u) da += dA[GLIN];
        if (acc_b != 0u) db += dB[GLIN];
        dA[GLIN] = da;
        dB[GLIN] = db;
    }
END
