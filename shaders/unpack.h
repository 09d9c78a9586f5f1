/* Resident weights (backend/resident/resident_weight.c makes them): W' (O, I) in panels of LP * VW rows, each
 * panel [word][row], so that the lanes of one load are VW output rows. Words of a row: first the codes,
 * CODE_WORDS for every block of 32 inputs; then, for every unit of `ub` blocks, UNIT_WORDS words of scales.
 *   CODE  2 to 8  whole numbers of that many bits; 20 numbers of 4 bits into IQ4_NL's table;
 *         16, 17, 32  the weight itself as fp16, bf16, f32
 *         Planes of a block, in this order: 4 bits (4 words), 2 bits (2 words), 1 bit (1 word); in each,
 *         element e stands above e - 1. 8 bits and floats are one plane.
 *   SCALE 0  none                                        W' = w
 *         1  fp16 s per group, two groups to a word      W' = s q, q signed
 *         2  fp16 s | fp16 m per group                   W' = s q + m
 *         3  fp16 s | zero point per group               W' = s (q - z)
 *         4  fp16 d | fp16 dm, then a byte c | n << 4 per 16 inputs    W' = (d c) q - dm n   (Q2_K)
 *         5  fp16 d | fp16 dm, then the bytes c, n per 32 inputs       W' = (d c) q - dm n   (Q4_K, Q5_K)
 *         6  fp16 d, then a signed byte c per 16 inputs                W' = (d c) q, signed  (Q3_K, Q6_K)
 * Every product above is exact in f32, so that W' has one rounding and the same bits in any order of
 * evaluation. */
#define HAS4       ((CODE >= 4u && CODE <= 7u) || CODE == 20u)
#define HAS2       (CODE == 2u || CODE == 3u || CODE == 6u || CODE == 7u)
#define HAS1       (CODE == 3u || CODE == 5u || CODE == 7u)
#define IS_FLOAT   (SCALE == 0u)
#define CODE_WORDS (CODE == 20u ? 4u : CODE == 17u ? 16u : CODE)
#define UNIT_WORDS (SCALE == 0u ? 0u : SCALE < 4u ? 1u : 5u)
#define IS_SIGNED  (SCALE == 1u || SCALE == 6u)
#define HAS_MIN    (SCALE >= 2u && SCALE <= 5u)
#define HAS_DM     (SCALE == 2u || SCALE == 4u || SCALE == 5u) /* an fp16 in the word's upper half */
#define IN_HALVES  (SCALE == 4u || SCALE == 6u)                /* the scale changes after 16 inputs */

/* The fp16 numbers in the low halves of h, exact; subnormals without a subnormal operand, for some flush
 * those. */
FN fvec ar_halves(uvec h) {
    uvec u = (h & 0x7fffu) << 13u, tiny = UV(0u) - (((h & 0x7c00u) - 1u) >> 31u);
    fvec below = FV_FLOATS(u + 0x38800000u) - FV(6.103515625e-5f);
    uvec bits = (FV_BITS(below) & tiny) | ((u + 0x38000000u) & ~tiny);
    return FV_FLOATS(bits | ((h & 0x8000u) << 16u));
}

/* Number q of IQ4_NL's table, bytes four to a word. */
FN fvec ar_table(uvec q) {
    uvec second = UV(0u) - ((q >> 2u) & 1u), upper = UV(0u) - (q >> 3u);
    uvec low = 0xbfad9881u ^ (second & (0xbfad9881u ^ 0xf6eaddcfu));
    uvec high = 0x26190d01u ^ (second & (0x26190d01u ^ 0x71594535u));
    uvec word = low ^ (upper & (low ^ high));
    return FV_SIGNED(word << (24u - 8u * (q & 3u)), 24u);
}

/* b bits of u that end below bit `top`, as a number. */
FN fvec ar_field(uvec u, uint top, uint b) {
    if (IS_SIGNED) return FV_SIGNED(u << (32u - top), 32u - b);
    return FV_SIGNED((u << (32u - top)) >> (32u - b), 0u);
}

/* Element c of an eighth, eight elements, of which a holds the 4-bit codes, h the 2-bit and t the 1-bit
 * planes from bit 0 on; of 8-bit codes and floats, a is the word that holds it. */
FN fvec ar_code(uvec a, uvec h, uvec t, uint c) {
    uvec low = (a >> (4u * c)) & 15u, mid = (h >> (2u * c)) & 3u, top = (t >> c) & 1u;
    if (CODE == 2u) return ar_field(h, 2u * c + 2u, 2u);
    if (CODE == 3u) return ar_field(mid | (top << 2u), 3u, 3u);
    if (CODE == 4u) return IS_SIGNED ? SIGNED_NIBBLE(a, c) : NIBBLE(a, c);
    if (CODE == 5u) return ar_field(low | (top << 4u), 5u, 5u);
    if (CODE == 6u) return ar_field(low | (mid << 4u), 6u, 6u);
    if (CODE == 7u) return ar_field(low | (mid << 4u) | (top << 6u), 7u, 7u);
    if (CODE == 8u) return ar_field(a, 8u * (c % 4u) + 8u, 8u);
    if (CODE == 16u) return ar_halves(a >> (16u * (c % 2u)));
    if (CODE == 17u) return FV_FLOATS((a >> (16u * (c % 2u))) << 16u);
    if (CODE == 20u) return ar_table(low);
    return FV_FLOATS(a);
}

/* The same where a code's bits stand in one plane, left at their place: u 2^ar_place(c), u = q or, of signed
 * codes, q + 2^(CODE - 1). One operation less than to bring them down; x takes the power of two. */
#define IS_PLACED    (CODE == 2u || CODE == 4u || CODE == 8u)
#define PLACED_SIGNS (CODE == 4u ? 0x88888888u : CODE == 8u ? 0x80808080u : 0xaaaaaaaau)
FN uint ar_place(uint c) {
    uint at = CODE * (c % (32u / CODE));
    return at + CODE == 32u ? 0u : at; /* the highest bits would be a sign: those come down */
}
FN fvec ar_placed(uvec a, uvec h, uint c) {
    uint at = CODE * (c % (32u / CODE));
    uvec u = CODE == 2u ? h : a;
    if (at + CODE == 32u) return FV_SIGNED(u >> at, 0u);
    return FV_SIGNED(u & (((1u << CODE % 32u) - 1u) << at), 0u);
}

/* Scale of a sub-block. word: the unit's first; d: its low fp16; sub: the word of sub-scales that holds it;
 * i: block within its unit; half_: which 16 inputs of it; odd: the second group of a word. */
FN fvec ar_scale(uvec word, fvec d, uvec sub, uint i, uint half_, uint odd) {
    uint at = 16u * (i & 1u);
    if (SCALE == 1u) return ar_halves(word >> (16u * odd));
    if (SCALE <= 3u) return d;
    if (SCALE == 4u) return d * FV_SIGNED((sub >> (at + 8u * half_)) & 15u, 0u);
    if (SCALE == 5u) return d * FV_SIGNED((sub >> at) & 255u, 0u);
    return d * FV_SIGNED(sub << (24u - at - 8u * half_), 24u);
}

/* m of W' = s q + m; dm: the unit's high fp16. */
FN fvec ar_least(uvec word, fvec s, fvec dm, uvec sub, uint i, uint half_) {
    uint at = 16u * (i & 1u);
    if (SCALE == 2u) return dm;
    if (SCALE == 3u) return -(s * FV_SIGNED((word >> 16u) & 255u, 0u));
    if (SCALE == 4u) return -(dm * FV_SIGNED((sub >> (at + 8u * half_ + 4u)) & 15u, 0u));
    return -(dm * FV_SIGNED((sub >> (at + 8u)) & 255u, 0u));
}

/* What a block at word `at` of W, LP apart, needs before its eighths: its planes of 2 bits (h0, h1) and 1 bit
 * (t0). */
#define LOAD_BLOCK(W, at)                                                                                    \
    if (HAS2) h0 = W[(at) + (HAS4 ? 4u : 0u) * LP], h1 = W[(at) + (HAS4 ? 5u : 1u) * LP];                    \
    if (HAS1) t0 = W[(at) + (CODE - 1u) * LP]
/* Words of an eighth beside those: one of 4-bit codes, or what 8-bit codes and floats take. */
#define EIGHTH_WORDS (CODE < 8u || CODE == 20u ? 1u : CODE_WORDS / 4u)
#define LOAD_EIGHTH(W, at, q)                                                                                \
    if (CODE >= 4u) {                                                                                        \
        UNROLL for (uint k_ = 0u; k_ < EIGHTH_WORDS; k_++) a[k_] = W[(at) + ((q)*EIGHTH_WORDS + k_) * LP];   \
    }                                                                                                        \
    if (HAS2) h = ((q) < 2u ? h0 : h1) >> (16u * ((q) % 2u));                                                \
    if (HAS1) t = t0 >> (8u * (q))
#define EIGHTH_CODE(c)   ar_code(a[(c)*EIGHTH_WORDS / 8u], h, t, c)
#define EIGHTH_PLACED(c) ar_placed(a[(c)*EIGHTH_WORDS / 8u], h, c)
#define PLANES           uvec a[EIGHTH_WORDS], h = UV(0u), t = UV(0u), h0 = UV(0u), h1 = UV(0u), t0 = UV(0u)
