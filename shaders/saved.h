/* Numbers that save_half kept: a block of 64 in COUNT vectors, bits of two of them in the halves of words. */
#define COUNT (64u / VW)
/* 2^(e + 13) + m has m in its last places, which are fp16's there: nothing is rounded, and no float below
 * the normal ones, which devices may take for 0, is met. An infinity is added where h is one. */
FN fvec half_values(uvec h) {
    uvec low = h & 0x7fffu, e = max(low >> 10u, UV(1u)), magic = (e + 125u) << 23u;
    EXACT fvec v = FV_FLOATS(magic + (low - ((e - 1u) << 10u))) - FV_FLOATS(magic);
    fvec beyond = FV_FLOATS((max(low, UV(0x7bffu)) - 0x7bffu) * 0x7f800000u);
    return FV_FLOATS(FV_BITS(v + beyond) | ((h & 0x8000u) << 16u));
}
