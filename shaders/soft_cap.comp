/* soft_cap: y = cap tanh(x / cap)        (Bello et al. 2016, arXiv 1611.09940; Gemma 2, arXiv 2408.00118)
 *   x, y: n elements. One item per element. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
#include "cap.h"
KERNEL(soft_cap)
RO(0, float, X) WO(1, float, Y)
PARAMS P(uint, n) P(float, cap)
LOCALS
BODY
    if (GLIN < n) Y[GLIN] = capped(X[GLIN], cap);
END
