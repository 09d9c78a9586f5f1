/* Numbers that must come out the same on every device: correctly rounded division, fp16 by integer code.
 * Values only, valid in both languages. Included after the dialect, before every kernel. */

/* a / b, correctly rounded for finite normal results: one residual correction of the driver's quotient
 * (Vulkan allows 2.5 ulp, OpenCL 1.2 as well). b != 0. */
FN float ar_div(float a, float b) {
    EXACT float q = a / b;
    EXACT float r = fma(-q, b, a);
    EXACT float c = fma(r / b, 1.0f, q);
    return c;
}

/* The fp16 bits of f: half to even, subnormals kept, overflow to infinity. */
FN uint ar_half_bits(float f) {
    uint u = ASU(f), sign = (u >> 16u) & 0x8000u, a = u & 0x7fffffffu;
    if (a >= 0x7f800000u) return sign | (a > 0x7f800000u ? 0x7e00u : 0x7c00u);
    if (a >= 0x477ff000u) return sign | 0x7c00u;
    if (a < 0x33000001u) return sign;
    uint e = a >> 23u, m = (a & 0x7fffffu) | 0x800000u, shift = e < 113u ? 126u - e : 13u;
    uint h = e < 113u ? m >> shift : ((e - 112u) << 10u) + ((m >> 13u) & 0x3ffu);
    uint rest = m & ((1u << shift) - 1u), halfway = 1u << (shift - 1u);
    if (rest > halfway || (rest == halfway && (h & 1u) == 1u)) h += 1u;
    return sign | h;
}

/* The value of fp16 bits, exact. */
FN float ar_half_value(uint h) {
    uint e = (h >> 10u) & 31u, m = h & 1023u;
    float f = e == 0u ? TOF(m) * 5.9604644775390625e-8f : ASF(((e + 112u) << 23u) | (m << 13u));
    if (e == 31u) f = ASF(0x7f800000u | (m << 13u));
    return (h & 0x8000u) != 0u ? -f : f;
}

FN float ar_half_round(float f) { return ar_half_value(ar_half_bits(f)); }

/* red[0] = the combination of red[0 .. WGX), always in the same order; WGX is a power of two. Every item of the
 * group writes red[LID0] first; uniform flow only. Read red[0], then BARRIER() before red is written again. */
#define TREE(red, COMBINE)                                                                   \
    for (uint h_ = WGX >> 1u; h_ > 0u; h_ >>= 1u) {                                          \
        BARRIER();                                                                           \
        if (LID0 < h_) red[LID0] = COMBINE(red[LID0], red[LID0 + h_]);                       \
    }                                                                                        \
    BARRIER()
#define SUM2(a, b) ((a) + (b))
#define MAX2(a, b) max(a, b)
