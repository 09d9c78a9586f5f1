/* gemv: Y (N, O) = X (N, I) W'^T with resident W' (unpack.h), for columns n0 to n0 + columns - 1 of X^T,
 * NC to a group.
 *   W  [panel][word][LP * VW rows]   X (N, nb * 32) f32, ldx float4 (gemv_lanes: floats) per row   Y pitch
 *   ldy
 *   flags 1: y += BIAS   2: y += RES (N, .) after everything else   4: y[i] = silu(y[2 i]) y[2 i + 1]
 *   NORM 1: x is first RMS-normed with weight G (I) and eps, y = r W' (G x), r = 1 / sqrt(mean x^2 + eps)
 * One item makes VW rows; LP items share a panel, so that neighbours load neighbouring words. WGY slices of I
 * are added in order. items: items of this launch, the first of them at row0. nb blocks of 32 in a row, ub of
 * them to a unit of scales, gb to a group; pw words per panel row; W starts w0 vectors into its binding.
 * Every weight is decoded once for NC columns, every loaded x serves VW rows. */
SPEC(0, uint, WGX, 8) SPEC(1, uint, WGY, 1) SPEC(2, uint, CODE, 4) SPEC(3, uint, SCALE, 1)
SPEC(4, uint, NC, 1)
SPEC(5, uint, LP, 1) SPEC(6, uint, NORM, 0)
WGSIZE(WGX, WGY)
#define FIRST_TILE uint item = GID0, first_n = n0 + WID1 * NC
#define NEXT_TILE
#define X_REGISTERS float4 x0[NC], x1[NC], square[NC]
#define SQUARE_0 F4S(0.0f)
#define LOAD_X(n, e) x0[n] = X[from_x[n] + 2u * (e)], x1[n] = X[from_x[n] + 2u * (e) + 1u]
#define X_AT(n, c) ((c) < 4u ? LANE(x0[n], (c) % 4u) : LANE(x1[n], (c) % 4u))
#define PLACE_X(n)
#define ADD_SUM(n) sums[n] += FVSUM4(x0[n]) + FVSUM4(x1[n])
#define SUM(n) sums[n]
#define HAS_LEAST HAS_MIN
#define UNSIGN
#define WEIGHT(c) EIGHTH_CODE(c)
#define IN_PASSES false
#define BLOCKS while (b < end)
#define NORM_X(n, e)                                                                                         \
    square[n] = fma(x0[n], x0[n], fma(x1[n], x1[n], square[n]));                                             \
    x0[n] *= G[2u * (e)], x1[n] *= G[2u * (e) + 1u]
#define ADD_SQUARES(to, n) to += FVSUM4(square[n])
#include "unpack.h"
KERNEL(gemv)
RO(0, uvec, W) RO(1, float4, X) RO(2, float, BIAS) RO(3, float, RES) RO(4, float4, G) WO(5, float, Y)
#include "gemv.h"
