/* attention_append: cache_append and attention_cached in one launch, for one token of each sequence: the item
 * of a key head turns its new key and that key's R <= QN queries, writes key and value into the caches and
 * attends (cached.h).
 *   x (B, HW ldn): q, k and v from columns HW qn, HW kn and HW vn on   q, y (B, H D)
 *   angles (1, HW PN, 2), PN 0 = no rotation   caches (B, K, C, D) fp16   all at position pos[0]
 * The specs, and the launch, are attention_cached's. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, HW, 4) SPEC(3, uint, QN, 1) SPEC(4, uint, KQ, 1)
SPEC(5, uint, CAPPED, 0) SPEC(6, uint, ROUNDS, 1)
WGSIZE(WGX, WGY)
#include "cap.h"
FN hsvec to_halves(hvec v) {
    float f[HW];
    uint w[HW / 2u];
    STH(f, 0u, v);
    UNROLL for (uint l = 0u; l < HW / 2u; l++)
        w[l] = ar_half_bits(f[2u * l]) | (ar_half_bits(f[2u * l + 1u]) << 16u);
    return LDHS(w, 0u);
}
KERNEL(attention_append)
RO(0, hvec, X) RO(1, float2, angles) RO(2, int, pos) RW(3, hvec, Q) RW(4, hsvec, K) RW(5, hsvec, V)
RW(6, hvec, Y)
PARAMS P(uint, items) P(uint, item0) P(uint, R) P(uint, KH) P(uint, C) P(uint, HN) P(uint, window)
       P(float, scale) P(float, cap) P(uint, PN) P(uint, ldn) P(uint, qn) P(uint, kn) P(uint, vn)
LOCALS
#define T 1u
/* Vectors i and PN + i of the head that begins at X[at], turned. */
#define TURN(low, high, at, i)                                                                               \
    float cos_[HW], sin_[HW];                                                                                \
    UNROLL for (uint l = 0u; l < HW; l++) {                                                                  \
        float2 cs = angles[(i) * HW + l];                                                                    \
        cos_[l] = cs.x;                                                                                      \
        sin_[l] = cs.y;                                                                                      \
    }                                                                                                        \
    hvec a_ = X[at + (i)], b_ = X[at + PN + (i)], c_ = LDH(cos_, 0u), s_ = LDH(sin_, 0u);                    \
    hvec low = a_ * c_ + -b_ * s_, high = b_ * c_ + a_ * s_
#define APPEND(b, kh, bk, p0)                                                                                \
    uint x0 = b * ldn, key = x0 + kn + kh * HN, value = x0 + vn + kh * HN, to = (bk * C + p0) * HN;          \
    for (uint i = 0u; i < PN; i++) {                                                                         \
        TURN(low, high, key, i);                                                                             \
        K[to + i] = to_halves(low);                                                                          \
        K[to + PN + i] = to_halves(high);                                                                    \
    }                                                                                                        \
    for (uint i = 2u * PN; i < HN; i++) K[to + i] = to_halves(X[key + i]);                                   \
    for (uint i = 0u; i < HN; i++) V[to + i] = to_halves(X[value + i]);                                      \
    for (uint r = 0u; r < R; r++) {                                                                          \
        uint query = x0 + qn + (kh * R + r) * HN, turned = (bk * R + r) * HN;                                \
        for (uint i = 0u; i < PN; i++) {                                                                     \
            TURN(low, high, query, i);                                                                       \
            Q[turned + i] = low;                                                                             \
            Q[turned + PN + i] = high;                                                                       \
        }                                                                                                    \
        for (uint i = 2u * PN; i < HN; i++) Q[turned + i] = X[query + i];                                    \
    }
BODY
    if (GLIN < items) {
#include "cached.h"
    }
END
