/* frozen_decide: the places U = f + t with |t - .5| >= ROOM[0] become their nearest code for good, 512 + it.
 *   U (n) numbers   ROOM (1)   Q the last code
 * One item per number. */
#include "soft.h"
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(frozen_decide)
RW(0, float, U) RO(1, float, ROOM)
PARAMS P(uint, n) P(float, Q)
LOCALS
BODY
    const uint i = GLIN;
    if (i < n) {
        const float u = U[i], t = u - floor(u);
        if (u < SOFT_DECIDED - 1.0f && FABS(t - 0.5f) >= ROOM[0])
            U[i] = SOFT_DECIDED + clamp(RINT(u), 0.0f, Q);
    }
END
