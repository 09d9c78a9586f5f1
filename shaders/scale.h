/* What panels of fp16 (pack_half) and the products of them (gemm_coop) agree on. */
#define LARGEST 65504.0f
/* A power of two that brings a panel's largest number into [2^14, 2^15), as fp16 has fewer places below 6e-5
 * and none below 3e-8; 1 if that is 0, subnormal or no number. */
FN float coop_scale(float top) {
    uint e = (ASU(top) >> 23u) & 255u, scaled = min(268u - e, 253u) << 23u;
    return e == 0u || e == 255u ? 1.0f : ASF(scaled);
}
FN float coop_inverse(float scale) { return ASF((254u << 23u) - ASU(scale)); }
/* s = the scale of the panel whose slices' largest numbers stand in S from `first` on; 1 without slices. */
#define COOP_SCALE(s, S, first)                                                                              \
    float s = 0.0f;                                                                                          \
    for (uint i = 0u; i < slices; i++) s = max(s, S[(first) + i]);                                           \
    s = coop_scale(s)
