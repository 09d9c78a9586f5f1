/* gemv_lanes: gemv for devices that pay for every lane of a load (llvmpipe): the items of a subgroup load
 * eight numbers of X together and pass them on. A group is a subgroup; its size divides 8. WGY = 1. */
SPEC(0, uint, WGX, 8) SPEC(1, uint, WGY, 1) SPEC(2, uint, CODE, 4) SPEC(3, uint, SCALE, 1)
SPEC(4, uint, NC, 1)
SPEC(5, uint, LP, 1) SPEC(6, uint, NORM, 0)
WGSIZE(WGX, WGY)
#define LANES WGX
#define X_LOADS (8u / LANES)
#define X_REGISTERS float x[NC * X_LOADS], square[NC]
#define SQUARE_0 0.0f
#define LOAD_X(n, e)                                                                                         \
    UNROLL for (uint r_ = 0u; r_ < X_LOADS; r_++)                                                            \
        x[(n) * X_LOADS + r_] = X[from_x[n] + (e) * 8u + r_ * LANES + SG_LANE]
#define X_AT(n, c) SG_FROM(x[(n) * X_LOADS + (c) / LANES], (c) % LANES)
#define X_SUM(n)                                                                                             \
    (((X_AT(n, 0u) + X_AT(n, 1u)) + (X_AT(n, 2u) + X_AT(n, 3u))) +                                           \
     ((X_AT(n, 4u) + X_AT(n, 5u)) + (X_AT(n, 6u) + X_AT(n, 7u))))
#define NORM_X(n, e)                                                                                         \
    UNROLL for (uint r_ = 0u; r_ < X_LOADS; r_++) {                                                          \
        float v_ = x[(n) * X_LOADS + r_];                                                                    \
        square[n] = fma(v_, v_, square[n]);                                                                  \
        x[(n) * X_LOADS + r_] = v_ * G[(e) * 8u + r_ * LANES + SG_LANE];                                     \
    }
#define ADD_SQUARES(to, n)                                                                                   \
    UNROLL for (uint l_ = 0u; l_ < LANES; l_++) to += SG_FROM(square[n], l_)
#include "unpack.h"
KERNEL(gemv_lanes)
RO(0, uvec, W) RO(1, float, X) RO(2, float, BIAS) RO(3, float, RES) RO(4, float, G) WO(5, float, Y)
#include "gemv.h"
