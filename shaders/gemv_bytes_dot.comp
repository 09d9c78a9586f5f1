/* gemv_bytes_dot: gemv_bytes by the device's instruction for four products of bytes and their sum; the same
 * bits, as those sums are of whole numbers. */
SPEC(0, uint, WGX, 8) SPEC(1, uint, WGY, 1) SPEC(2, uint, CODE, 4) SPEC(3, uint, SCALE, 1)
SPEC(4, uint, NC, 1) SPEC(5, uint, LP, 1)
WGSIZE(WGX, WGY)
#include "unpack.h"
#include "bytes.h"
#include "dot.h"
KERNEL(gemv_bytes_dot)
RO(0, uvec, W) RO(1, uint, Q) RO(2, float, BIAS) RO(3, float, RES) WO(4, float, Y)
#include "gemv_bytes.h"
