/* gemv_lanes: gemv for devices that pay for every lane of a load (llvmpipe): the items of a subgroup load
 * eight numbers of X together and pass them on. A group is a subgroup; its size divides 8. WGY = 1.
 * Few groups take the launch's tiles in turn, whichever of them runs: llvmpipe cuts a launch into a part for
 * each of its threads, and a second one takes some 50 us to wake. TURN[0] is 0 between launches: the group
 * that takes the last number, each having taken one that is none of a tile, puts it back. */
SPEC(0, uint, WGX, 8) SPEC(1, uint, WGY, 1) SPEC(2, uint, CODE, 4) SPEC(3, uint, SCALE, 1)
SPEC(4, uint, NC, 1)
SPEC(5, uint, LP, 1) SPEC(6, uint, NORM, 0)
WGSIZE(WGX, WGY)
#define TAKE_TURN                                                                                            \
    if (SG_LANE == 0u) turn = TAKE(TURN, 0u);                                                                \
    turn = SG_FROM(turn, 0u)
#define FIRST_TILE                                                                                           \
    uint across = (items + WGX - 1u) / WGX, tiles = across * ((columns + NC - 1u) / NC), turn = 0u;          \
    TAKE_TURN;                                                                                               \
    while (turn < tiles) {                                                                                   \
        uint item = turn % across * WGX + LID0, first_n = n0 + turn / across * NC
#define NEXT_TILE                                                                                            \
        TAKE_TURN;                                                                                           \
    }                                                                                                        \
    if (SG_LANE == 0u && turn == tiles + WN0 - 1u) TURN[0] = 0u
#define LANES WGX
#define X_LOADS (8u / LANES)
#define X_REGISTERS                                                                                          \
    float x[NC * X_LOADS], square[NC], place[X_LOADS];                                                       \
    UNROLL for (uint r_ = 0u; r_ < X_LOADS; r_++)                                                            \
        place[r_] = ASF((127u - ar_place(r_ * LANES + SG_LANE)) << 23u)
#define SQUARE_0 0.0f
#define LOAD_X(n, e)                                                                                         \
    UNROLL for (uint r_ = 0u; r_ < X_LOADS; r_++)                                                            \
        x[(n) * X_LOADS + r_] =                                                                              \
            t_ == 0u || b < b1 ? X[from_x[n] + (e) * 8u + r_ * LANES + SG_LANE] : 0.0f
#define X_AT(n, c) SG_FROM(x[(n) * X_LOADS + (c) / LANES], (c) % LANES)
/* codes stay where they are in their words, x takes the power of two; signed ones are made unsigned, and the
 * sum of x corrects that */
#define PLACE_X(n)                                                                                           \
    if (IS_PLACED) {                                                                                         \
        UNROLL for (uint r_ = 0u; r_ < X_LOADS; r_++) x[(n) * X_LOADS + r_] *= place[r_];                    \
    }
#define ADD_SUM(n) UNROLL for (uint r_ = 0u; r_ < X_LOADS; r_++) sums[n] += x[(n) * X_LOADS + r_]
#define SUM(n) lane_sum(sums[n])
#define HAS_LEAST (HAS_MIN || (IS_PLACED && IS_SIGNED))
#define UNSIGN                                                                                               \
    if (IS_PLACED && IS_SIGNED) {                                                                            \
        UNROLL for (uint k_ = 0u; k_ < EIGHTH_WORDS; k_++) a[k_] = a[k_] ^ UV(PLACED_SIGNS);                 \
        h = h ^ UV(PLACED_SIGNS);                                                                            \
    }
#define WEIGHT(c) (IS_PLACED ? EIGHTH_PLACED(c) : EIGHTH_CODE(c))
/* Where units are short a pass of the loop goes by blocks, two where little text decodes them, the scales'
 * word loaded for each: llvmpipe's loops cost more than that (bench/LOG.md). One too many has zeros in x. */
#define IN_PASSES (SCALE >= 1u && SCALE < 4u)
#define BLOCKS                                                                                               \
    for (uint p_ = 0u; IN_PASSES ? p_ < 1u : b < end; p_++)                                                  \
        UNROLL for (uint t_ = 0u; t_ == 0u || (t_ == 1u && NC == 1u && IN_PASSES && IS_PLACED); t_++)
#define NORM_X(n, e)                                                                                         \
    UNROLL for (uint r_ = 0u; r_ < X_LOADS; r_++) {                                                          \
        float v_ = x[(n) * X_LOADS + r_];                                                                    \
        square[n] = fma(v_, v_, square[n]);                                                                  \
        x[(n) * X_LOADS + r_] = v_ * G[(e) * 8u + r_ * LANES + SG_LANE];                                     \
    }
#define ADD_SQUARES(to, n)                                                                                   \
    UNROLL for (uint l_ = 0u; l_ < LANES; l_++) to += SG_FROM(square[n], l_)
#include "unpack.h"
FN float lane_sum(float v) {
    float sum = 0.0f;
    UNROLL for (uint l = 0u; l < LANES; l++) sum += SG_FROM(v, l);
    return sum;
}
KERNEL(gemv_lanes)
RO(0, uvec, W) RO(1, float, X) RO(2, float, BIAS) RO(3, float, RES) RO(4, float, G) WO(5, float, Y)
RW(6, uint, TURN)
#include "gemv.h"
