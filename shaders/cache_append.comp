/* cache_append: keys and values of N = B T rows into the caches, keys and queries rotated; row b T + t at
 * pos[0] + t.
 *   q (N, ldq) from column q0, H D of them; k, v ditto, K D   rq (N, H D)   caches (B, K, C, D) fp16
 *   angles (T, pairs, 2) = cos, sin; dims i and i + pairs of a head turn together (Su 2021), pairs 0 = no
 *   rotation
 * One item per two neighbouring dims of rq, k cache or v cache: a word of a cache; or, HEADS 1, per head of
 * them, for even pairs. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1) SPEC(2, uint, HEADS, 0)
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
/* Dims e and e + pairs of the head that begins at X[at], e < pairs, rotated. */
#define BOTH(X, low, high, at, e)                                                    \
    float2 cs_##low = angles[t * pairs + (e)];                                       \
    float a_##low = X[(at) + (e)], b_##low = X[(at) + pairs + (e)];                  \
    float low = a_##low * cs_##low.x + -b_##low * cs_##low.y;                        \
    float high = b_##low * cs_##low.x + a_##low * cs_##low.y;
#define HALVES(x, y) (ar_half_bits(x) | (ar_half_bits(y) << 16u))
BODY
    bool whole = HEADS != 0u;
    uint words = whole ? (HD + 2u * KD) / D : HD / 2u + KD, row = GLIN / words;
    uint c = GLIN % words * (whole ? D : 2u);
    if (row < rows) {
        uint t = row % T, kc = c < HD + KD ? c - HD : c - HD - KD, e = c % D;
        uint to = (((row / T * (KD / D) + kc / D) * C + TOU(pos[0]) + t) * D + e) / 2u;
        if (c < HD && whole) {
            uint at = row * ldq + q0 + c;
            for (uint i = 0u; i < pairs; i++) {
                BOTH(Q, low, high, at, i)
                RQ[row * HD + c + i] = low;
                RQ[row * HD + c + pairs + i] = high;
            }
            for (uint i = 2u * pairs; i < D; i++) RQ[row * HD + c + i] = Q[at + i];
        } else if (c < HD) {
            uint at = row * ldq + q0 + c - e;
            TURNED(Q, y0, at, e)
            TURNED(Q, y1, at, e + 1u)
            RQ[row * HD + c] = y0;
            RQ[row * HD + c + 1u] = y1;
        } else if (c < HD + KD && whole) {
            uint at = row * ldk + k0 + kc;
            for (uint i = 0u; i < pairs / 2u; i++) {
                BOTH(K, y0, z0, at, 2u * i)
                BOTH(K, y1, z1, at, 2u * i + 1u)
                KC[to + i] = HALVES(y0, y1);
                KC[to + pairs / 2u + i] = HALVES(z0, z1);
            }
            for (uint i = pairs; i < D / 2u; i++) KC[to + i] = HALVES(K[at + 2u * i], K[at + 2u * i + 1u]);
        } else if (c < HD + KD) {
            uint at = row * ldk + k0 + kc - e;
            TURNED(K, y0, at, e)
            TURNED(K, y1, at, e + 1u)
            KC[to] = HALVES(y0, y1);
        } else {
            uint at = row * ldv + v0 + kc, n = whole ? D / 2u : 1u;
            for (uint i = 0u; i < n; i++) VC[to + i] = HALVES(V[at + 2u * i], V[at + 2u * i + 1u]);
        }
    }
END
