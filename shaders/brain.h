/* bf16: the upper half of f32's bits. Rounded by integers, half to even, so that every device gives the same;
 * infinities and NaNs stay as they are. */
#define SPECIAL_BITS_(u) (((((u) >> 23u) & 255u) + 1u) >> 8u) /* 1 of those, else 0 */
#define BRAIN_BITS(u)                                                                                        \
    (((u) + (0x7fffu + (((u) >> 16u) & 1u)) * (1u - SPECIAL_BITS_(u))) &                                     \
     (0xffff0000u | SPECIAL_BITS_(u) * 0xffffu))
FN float ar_brain_round(float f) { return ASF(BRAIN_BITS(ASU(f))); }
/* The bits of two, the first one in the lower half. */
FN uint ar_brain_pair(float lo, float hi) {
    return (ASU(ar_brain_round(lo)) >> 16u) | (ASU(ar_brain_round(hi)) & 0xffff0000u);
}
FN float4 ar_brain_round4(float4 v) {
    return F4(ar_brain_round(v.x), ar_brain_round(v.y), ar_brain_round(v.z), ar_brain_round(v.w));
}
