/* Codes of resident weights (unpack.h) as unsigned bytes, for products with bytes (acts_bytes): a sign, where
 * there is one, becomes an offset of 2^(bits - 1). */
#define PARTS (IN_HALVES ? 2u : 1u)

/* Bits 4 i of x in bytes i. */
FN uvec ar_spread4(uvec x, uint mask) {
    x = (x | (x << 8u)) & 0x00ff00ffu;
    return (x | (x << 4u)) & (mask * 0x01010101u);
}

/* Bits 2 i of x in bytes i. */
FN uvec ar_spread2(uvec x) {
    x = ((x & 0x55u) | ((x & 0x55u) << 12u)) & 0x00050005u;
    return (x | (x << 6u)) & 0x01010101u;
}

/* Elements k, 2 + k, 4 + k, 6 + k of an eighth, whose planes are ar_code's; of 8-bit codes a, as it stands.
 */
FN uvec ar_bytes(uvec a, uvec h, uvec t, uint k) {
    uvec low = (a >> (4u * k)) & 0x0f0f0f0fu, mid = UV(0u), top = UV(0u), u = low;
    if (HAS2) mid = ar_spread4((h >> (2u * k)) & 0x3333u, 3u);
    if (HAS1) top = ar_spread2(t >> k);
    if (CODE == 2u) u = mid;
    if (CODE == 3u) u = mid | (top << 2u);
    if (CODE == 5u) u = low | (top << 4u);
    if (CODE == 6u) u = low | (mid << 4u);
    if (CODE == 7u) u = low | (mid << 4u) | (top << 6u);
    if (CODE == 8u) u = a;
    if (IS_SIGNED) u ^= (1u << (CODE - 1u)) * 0x01010101u;
    return u;
}
#define EIGHTH_BYTES(k) ar_bytes(a[CODE == 8u ? (k) : 0u], h, t, k)
