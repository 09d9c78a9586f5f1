/* cache_append: keys and values of N = B T rows into the caches, keys and queries rotated; row b T + t at
 * pos[0] + t.
 *   q (N, ldq) from column q0, H D of them; k, v ditto, K D   rq (N, H D)   caches (B, K, C, D) fp16
 *   angles (T, pairs, 2) = cos, sin; dims i and i + pairs of a head turn together (Su 2021), pairs 0 = no
 *   rotation
 * One item per two neighbouring dims of rq, k cache or v cache: a word of a cache. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(cache_append)
RO(0, float, Q) RO(1, float, K) RO(2, float, V) RO(3, float2, angles) RO(4, int, pos) WO(5, float, RQ)
RW(6, uint, KC) RW(7, uint, VC)
PARAMS P(uint, rows) P(uint, T) P(uint, C) P(uint, D) P(uint, pairs) P(uint, HD) P(uint, KD) P(uint, ldq)
       P(uint, q0) P(uint, ldk)
P(uint, k0) P(uint, ldv) P(uint, v0)
LOCALS
/* turned = dim e of the rotated head that begins at X[at] */
#define TURNED(X, turned, at, e)                                                     \
    float turned = X[(at) + (e)];                                                    \
    if ((e) < 2u * pairs) {                                                          \
        float2 cs = angles[t * pairs + ((e) < pairs ? (e) : (e) - pairs)];           \
        float other = (e) < pairs ? -X[(at) + (e) + pairs] : X[(at) + (e) - pairs];  \
        turned = turned * cs.x + other * cs.y;                                       \
    }
BODY
    uint words = HD / 2u + KD, row = GLIN / words, c = 2u * (GLIN % words);
    if (row < rows) {
        uint t = row % T;
        if (c < HD) {
            uint e = c % D, at = row * ldq + q0 + c - e;
            TURNED(Q, y0, at, e)
            TURNED(Q, y1, at, e + 1u)
            RQ[row * HD + c] = y0;
            RQ[row * HD + c + 1u] = y1;
        } else {
            uint kc = c < HD + KD ? c - HD : c - HD - KD, e = kc % D, h = kc / D;
            uint to = (((row / T * (KD / D) + h) * C + TOU(pos[0]) + t) * D + e) / 2u;
            if (c < HD + KD) {
                uint at = row * ldk + k0 + kc - e;
                TURNED(K, y0, at, e)
                TURNED(K, y1, at, e + 1u)
                KC[to] = ar_half_bits(y0) | (ar_half_bits(y1) << 16u);
            } else {
                uint at = row * ldv + v0 + kc;
                VC[to] = ar_half_bits(V[at]) | (ar_half_bits(V[at + 1u]) << 16u);
            }
        }
    }
END
