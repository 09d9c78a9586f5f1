/* attention_cached: y = softmax(q k^T scale) v over the positions of the caches up to the row's own (of
 * which, with window > 0, the last `window`), with a running maximum m and sum l (Milakov & Gimelshein 2018,
 * arXiv 1805.02867).
 *   q, y (B T, H D)   caches (B, K, C, D) fp16   row b T + t is at position pos[0] + t
 * CAPPED: scores become cap tanh(score / cap).
 * HN = D / HW vectors per head. A key head's queries are T R rows, R = H / K heads of every token in turn;
 * one item per QN of them, so that a key that is loaded serves several; y itself holds the running sum; no
 * shared memory, keys in order. Scores are made of KB = 4 KQ keys at a time, as attention.comp's are, and
 * weights of KN = KB ROUNDS, whole vectors. A launch has `items` of them, from item0 on. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, HW, 4) SPEC(3, uint, QN, 1) SPEC(4, uint, KQ, 1)
SPEC(5, uint, CAPPED, 0) SPEC(6, uint, ROUNDS, 1)
WGSIZE(WGX, WGY)
#include "cap.h"
KERNEL(attention_cached)
RO(0, hvec, Q) RO(1, hsvec, K) RO(2, hsvec, V) RO(3, int, pos) RW(4, hvec, Y)
PARAMS P(uint, items) P(uint, item0) P(uint, T) P(uint, R) P(uint, KH) P(uint, C) P(uint, HN) P(uint, window)
       P(float, scale) P(float, cap)
LOCALS
#define APPEND(b, kh, bk, p0)
BODY
    if (GLIN < items) {
#include "cached.h"
    }
END
