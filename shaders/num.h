/* Numbers that must come out the same on every device: correctly rounded division, fp16 by integer code.
 * Values only, valid in both languages. Included after the dialect, before every kernel. */

/* a / b, correctly rounded wherever a, b and the quotient are normal; a below that counts as 0, and so does
 * the quotient. By integers, because neither language promises an exact quotient or a fused fma: the
 * quotient's 24 bits n are guessed by the driver's division (2.5 ulp) and settled by the true remainder of
 * the mantissas, which is small and so exact modulo 2^32. A quotient is never halfway between two floats. */
FN float ar_div(float a, float b) {
    uint ua = ASU(a), ub = ASU(b), sign = (ua ^ ub) & 0x80000000u;
    int ea = TOI((ua >> 23u) & 255u), eb = TOI((ub >> 23u) & 255u);
    if (ea == 255 || eb == 255 || eb == 0) return a / b;
    if (ea == 0) return ASF(sign);
    uint ma = (ua & 0x7fffffu) | 0x800000u, mb = (ub & 0x7fffffu) | 0x800000u;
    int up = ma < mb ? 24 : 23;
    float guess = ASF(0x3f800000u | (ua & 0x7fffffu)) / ASF(0x3f800000u | (ub & 0x7fffffu));
    uint n = TOU(guess * (up == 24 ? 16777216.0f : 8388608.0f));
    int left = TOI((ma << TOU(up)) - n * mb), by = TOI(mb);
    int more = TOI(RINT(TOF(left) / TOF(by)));
    n += TOU(more);
    left -= more * by;
    if (2 * left > by) n += 1u;
    if (2 * left < -by) n -= 1u;
    uint bits = ASU(TOF(n));
    int e = TOI(bits >> 23u) - up + ea - eb;
    if (e <= 0) return ASF(sign);
    if (e >= 255) return ASF(sign | 0x7f800000u);
    return ASF(sign | (TOU(e) << 23u) | (bits & 0x7fffffu));
}

/* The leading 12 bits of a mantissa: products of such halves are exact. */
#define HIGH(x)    ASF(ASU(x) & 0xfffff000u)
#define HV_HIGH(v) HV_FLOATS(HV_BITS(v) & 0xfffff000u)

/* Quotients without branches or integers, for a float and for a vector (QUOTIENTS makes both):
 * ar_quot12 = a / d, correctly rounded, d of at most 12 significant bits (an fp16 number), y within 2.5 ulp
 * of 1 / d: the remainder a - q d is exact, and a / d is too far from any midpoint for the correction's own
 * error to matter. EXACT keeps Mesa from regrouping sums of products (one quotient in seven was off by a bit
 * without). Where |a| < 2^-90 the result may be off, but is as small.
 * ar_quot20 = the same for d of at most 20 significant bits and y = 1 / d correctly rounded. */
#define QUOT12(T, D, S, TOP, quot12)                                                                         \
    FN T quot12(T a, D d, D y) {                                                                             \
        EXACT T q = a * S(y), qh = TOP(q), ql = q - qh;                                                      \
        EXACT T left = (a - qh * S(d)) - ql * S(d);                                                          \
        EXACT T settled = q + left * S(y);                                                                   \
        return settled;                                                                                      \
    }
#define QUOTIENTS(T, S, TOP, quot12, quot20)                                                                 \
    QUOT12(T, float, S, TOP, quot12)                                                                         \
    FN T quot20(T a, float d, float y) {                                                                     \
        EXACT float dh = HIGH(d), dl = d - dh;                                                               \
        EXACT T q = a * S(y), qh = TOP(q), ql = q - qh;                                                      \
        EXACT T left = (((a - qh * S(dh)) - qh * S(dl)) - ql * S(dh)) - ql * S(dl);                          \
        EXACT T settled = q + left * S(y);                                                                   \
        return settled;                                                                                      \
    }
QUOTIENTS(float, TOF, HIGH, ar_quot12, ar_quot20)
#ifdef HV
QUOTIENTS(hvec, HV, HV_HIGH, ar_quot12v, ar_quot20v)
QUOT12(hvec, hvec, HV, HV_HIGH, ar_quot12vv)
#endif

/* The fp16 bits of f: half to even, subnormals kept, overflow to infinity. No branches, so that compilers
 * make vectors of it; what is below half of the least subnormal shifts away. */
FN uint ar_half_bits(float f) {
    uint u = ASU(f), sign = (u >> 16u) & 0x8000u, a = u & 0x7fffffffu;
    uint e = a >> 23u, m = (a & 0x7fffffu) | 0x800000u, shift = e < 113u ? min(126u - e, 31u) : 13u;
    uint h = e < 113u ? m >> shift : ((e - 112u) << 10u) + ((m >> 13u) & 0x3ffu);
    uint rest = m & ((1u << shift) - 1u), halfway = 1u << (shift - 1u);
    h += rest > halfway - (h & 1u) ? 1u : 0u; /* a half goes up from odd h */
    h = a >= 0x477ff000u ? 0x7c00u : h;
    return sign | (a > 0x7f800000u ? 0x7e00u : h);
}

/* The value of fp16 bits, exact. */
FN float ar_half_value(uint h) {
    uint e = (h >> 10u) & 31u, m = h & 1023u;
    float f = e == 0u ? TOF(m) * 5.9604644775390625e-8f : ASF(((e + 112u) << 23u) | (m << 13u));
    if (e == 31u) f = ASF(0x7f800000u | (m << 13u));
    return (h & 0x8000u) != 0u ? -f : f;
}

#ifdef HV
/* HW fp16 numbers, two to a word, as floats; subnormal ones may become 0, infinities 65536. */
FN hvec ar_halves(hsvec u) {
    return HV_FLOATS((HV_WIDE(u) << 13u) & 0x8fffffffu) * HV(5.192296858534828e33f);
}
#endif

/* f rounded to fp16, without branches: adding a number whose last place is fp16's there rounds, half to even.
 */
FN float ar_half_round(float f) {
    uint sign = ASU(f) & 0x80000000u, e = clamp((ASU(f) >> 23u) & 255u, 113u, 143u);
    float magic = ASF(((e + 13u) << 23u) | 0x400000u);
    EXACT float near = f + magic;
    EXACT float r = near - magic;
    return FABS(f) >= 65520.0f ? ASF(sign | 0x7f800000u) : ASF(sign | ASU(r));
}
#ifdef HV
FN hvec ar_half_roundv(hvec f) {
    const huvec sign = HV_BITS(f) & 0x80000000u, e = clamp((HV_BITS(f) >> 23u) & 255u, 113u, 143u);
    const hvec magic = HV_FLOATS(((e + 13u) << 23u) | 0x400000u);
    EXACT hvec near = f + magic;
    EXACT hvec r = near - magic;
    return HV_LESS(HV(65519.996f), FABS(f), HV_FLOATS(sign | 0x7f800000u), HV_FLOATS(sign | HV_BITS(r)));
}
#endif

/* The statement that follows, for every i in [0, n) shared out among the items of the group. All items make
 * the same number of rounds: PoCL 3.1 lets items past the end into `for (i = LID0; i < n; i += WGX)` in
 * kernels with barriers. */
#define EACH(i, n)                                                                                           \
    for (uint i##_ = 0u, i = LID0; i##_ < (n); i##_ += WGX, i += WGX)                                        \
        if (i < (n))

/* red[0] = the combination of red[0 .. WGX), always in the same order; WGX is a power of two. Every item of
 * the group writes red[LID0] first; uniform flow only. Read red[0], then BARRIER() before red is written
 * again. */
#define TREE(red, COMBINE)                                                                                   \
    for (uint h_ = WGX >> 1u; h_ > 0u; h_ >>= 1u) {                                                          \
        BARRIER();                                                                                           \
        if (LID0 < h_) red[LID0] = COMBINE(red[LID0], red[LID0 + h_]);                                       \
    }                                                                                                        \
    BARRIER()
#define SUM2(a, b) ((a) + (b))
#define MAX2(a, b) max(a, b)

/* Inputs as bytes (acts_bytes.comp): words of four in order or, within eight, of 0, 2, 4, 6 and 1, 3, 5, 7.
 */
#ifndef PACK_BYTES
#define PACK_BYTES(words, x, fours)                                                                          \
    uint words[8];                                                                                           \
    UNROLL for (uint w_ = 0u; w_ < 8u; w_++) {                                                               \
        words[w_] = 0u;                                                                                      \
        UNROLL for (uint k_ = 0u; k_ < 4u; k_++) {                                                           \
            uint e_ = (fours) != 0u ? 4u * w_ + k_ : 8u * (w_ / 2u) + 2u * k_ + w_ % 2u;                     \
            words[w_] |= (TOU(TOI(LANE(x[e_ / VW], e_ % VW))) & 255u) << (8u * k_);                          \
        }                                                                                                    \
    }
#endif

/* floor(i / d) for whole numbers; shift = log2 d where d is a power of two, else 32. */
FN uint ar_divu(uint i, uint d, uint shift) {
    if (shift < 32u) return i >> shift;
    return i / d;
}

/* ---- fake quantization: what its kernels share (docs/methods.md) ---- */

#define AR_SCALE_MIN 1.001358032e-5f /* fp16(1e-5) */

/* Multiple number i of a state: kind 1 f32, 2 i32, 3 i16 two to a word. */
FN float ar_state(uint kind, uint word, uint i) {
    if (kind == 1u) return ASF(word);
    if (kind == 2u) return TOF(TOI(word));
    return TOF(TOI(word << (16u - 16u * (i & 1u))) >> 16);
}
#define AR_STATE(kind, S, i) ar_state(kind, S[kind == 3u ? (i) >> 1u : (i)], i)

/* The range coefficient of a multiple of 1/mdiv; minv = 1/mdiv correctly rounded. */
FN float ar_coefficient(float multiple, float mdiv, float minv) {
    return clamp(ar_quot20(mdiv + multiple, mdiv, minv), 0.0f, 1.0f);
}
#ifdef HV
FN hvec ar_coefficients(hvec multiples, float mdiv, float minv) {
    return clamp(ar_quot20v(HV(mdiv) + multiples, mdiv, minv), HV(0.0f), HV(1.0f));
}
#endif

/* (min, max) coefficients of group g; kind 0: not tuned. */
#define AR_COEFFICIENTS(kind, M, g, mdiv, minv)                                                              \
    (kind == 0u ? F2(1.0f, 1.0f)                                                                             \
                : F2(ar_coefficient(AR_STATE(kind, M, 2u * (g)), mdiv, minv),                                \
                     ar_coefficient(AR_STATE(kind, M, 2u * (g) + 1u), mdiv, minv)))

/* (lo/s, 1): how zp moves with s and lo, in units of 1/s; (0, 0) where it is constant or held at a bound. */
FN float2 ar_fq_zero(uint kind, float lo, float s, float zp) {
    if (kind == 0u || RINT(ar_quot12(-lo, s, 1.0f / s)) != zp) return F2(0.0f, 0.0f);
    return F2(lo / s, 1.0f);
}

/* (dmin, dmax) of a group from A = sum dW dW'/ds and B = sum dW over the clamped weights. A tie of the
 * symmetric range goes half to each side. */
FN float2 ar_fq_dmm(uint kind, float Q, float2 range, float2 coef, float live, float zero_live, float A,
                    float B) {
    if (kind != 0u) return F2(zero_live * B * range.x - live * A * range.x / Q, live * A * range.y / Q);
    float a = -range.x * coef.x, c = range.y * coef.y, M = 0.5f * (Q + 1.0f);
    float k = a > c ? 1.0f : (a < c ? 0.0f : 0.5f), d = live * (c < a ? A : -A) / M;
    return F2(-k * d * range.x, (1.0f - k) * d * range.y);
}

/* ---- double-quantized structures: what their kernels share (docs/methods.md, equations 7 to 12) ---- */

#define AR_HUGE 3.0e38f
#define AR_SUPER_TINY                                                                                        \
    5.9604644775390625e-8f /* 2^-24: smaller weights are below the structure's resolution                    \
                            */

/* How much the error of weight w counts; twice = twice the mean |w| of its group. */
FN float ar_super_weight(float importance, float twice, float w) {
    EXACT float a = importance * (twice + FABS(w));
    return a;
}

/* clamp(rnd(s/d), least, most); 0 for d = 0. d is an fp16 number. */
FN float ar_super_multiple(float s, float d, float least, float most) {
    if (d == 0.0f) return 0.0f;
    return clamp(RINT(ar_quot12(s, d, 1.0f / d)), least, most);
}

/* (scale, minimum) coefficients of group g, (mdiv + multiple)/mdiv; kind 0: not tuned. */
#define AR_SUPER_COEFFICIENTS(kind, M, g, mdiv, minv)                                                        \
    (kind == 0u ? F2(1.0f, 1.0f)                                                                             \
                : F2(ar_quot20(mdiv + AR_STATE(kind, M, 2u * (g)), mdiv, minv),                              \
                     ar_quot20(mdiv + AR_STATE(kind, M, 2u * (g) + 1u), mdiv, minv)))
