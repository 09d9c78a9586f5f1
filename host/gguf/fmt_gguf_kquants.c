/* Super-blocks of 256 of GGUF's K types. Group s (16 elements, or 32) has an integer scale sc[s] (and minimum
 * mn[s]); with d and dmin in fp16, every product rounded to f32, Q2_K, Q4_K, Q5_K  x = (d sc) q - dmin mn
 *   Q3_K, Q6_K        x = (d sc) (q - 2^(bits-1))
 * Where the bits of codes and scales lie is told at each type; l counts bytes, e elements. */
#include "fmt_gguf.h"
#include "qblocks.h"
#include <string.h>

static uint16_t load_f16(const uint8_t p[2]) { return (uint16_t)(p[0] | p[1] << 8); }

/* ---- Q2_K: scales[s] = sc | mn << 4; element 128h + 32j + l in bits 2j of qs[32h + l] ---- */

static void unpack_q2(ar__gguf_block *b, const uint8_t *src) {
    const ar__q2_k *k = (const ar__q2_k *)(const void *)src;
    b->d = load_f16(k->d);
    b->m = load_f16(k->dmin);
    for (int32_t s = 0; s < 16; s++) {
        b->sc[s] = (int8_t)(k->scales[s] & 15);
        b->mn[s] = k->scales[s] >> 4;
    }
    for (int32_t e = 0; e < AR_SUPER_BLOCK; e++)
        b->q[e] = k->qs[e / 128 * 32 + e % 32] >> 2 * (e / 32 % 4) & 3;
}

static void pack_q2(uint8_t *dst, const ar__gguf_block *b) {
    ar__q2_k *k = (ar__q2_k *)(void *)dst;
    ar__gguf_store(k->d, b->d, 2);
    ar__gguf_store(k->dmin, b->m, 2);
    for (int32_t s = 0; s < 16; s++) k->scales[s] = (uint8_t)(b->sc[s] | b->mn[s] << 4);
    for (int32_t e = 0; e < AR_SUPER_BLOCK; e++)
        k->qs[e / 128 * 32 + e % 32] |= (uint8_t)(b->q[e] << 2 * (e / 32 % 4));
}

/* ---- Q3_K: low two bits as Q2_K; the third of element 128h + 32j + l is bit 4h + j of hmask[l]; sc + 32 has
 * its low four bits in the low halves of scales[0..7], then the high ones, and bits 4 and 5 two by two in
 * scales[8..11] ---- */

static void unpack_q3(ar__gguf_block *b, const uint8_t *src) {
    const ar__q3_k *k = (const ar__q3_k *)(const void *)src;
    b->d = load_f16(k->d);
    for (int32_t s = 0; s < 16; s++) {
        int32_t low = s < 8 ? k->scales[s] & 15 : k->scales[s - 8] >> 4;
        b->sc[s] = (int8_t)((low | (k->scales[8 + s % 4] >> 2 * (s / 4) & 3) << 4) - 32);
    }
    for (int32_t e = 0; e < AR_SUPER_BLOCK; e++) {
        int32_t low = k->qs[e / 128 * 32 + e % 32] >> 2 * (e / 32 % 4) & 3,
                top = k->hmask[e % 32] >> e / 32 & 1;
        b->q[e] = (uint8_t)(low | top << 2);
    }
}

static void pack_q3(uint8_t *dst, const ar__gguf_block *b) {
    ar__q3_k *k = (ar__q3_k *)(void *)dst;
    ar__gguf_store(k->d, b->d, 2);
    for (int32_t s = 0; s < 16; s++) {
        int32_t sc = b->sc[s] + 32;
        k->scales[s % 8] |= (uint8_t)((sc & 15) << (s < 8 ? 0 : 4));
        k->scales[8 + s % 4] |= (uint8_t)((sc >> 4) << 2 * (s / 4));
    }
    for (int32_t e = 0; e < AR_SUPER_BLOCK; e++) {
        k->qs[e / 128 * 32 + e % 32] |= (uint8_t)((b->q[e] & 3) << 2 * (e / 32 % 4));
        k->hmask[e % 32] |= (uint8_t)((b->q[e] >> 2) << e / 32);
    }
}

/* ---- Q4_K, Q5_K: six bits of sc and mn of groups 0..3 in scales[s] and scales[s + 4]; of groups 4..7 the
 * low four in the halves of scales[s + 4], the high two on top of scales[s - 4] and scales[s]. Element 64p +
 * l in the low half of qs[32p + l], 64p + 32 + l in its high half; the fifth bit of element e is bit e / 32
 * of qh[e % 32] ---- */

static void unpack_scales6(ar__gguf_block *b, const uint8_t scales[12]) {
    for (int32_t s = 0; s < 8; s++) {
        int32_t sc = s < 4 ? scales[s] & 63 : (scales[s + 4] & 15) | (scales[s - 4] >> 6) << 4;
        int32_t mn = s < 4 ? scales[s + 4] & 63 : scales[s + 4] >> 4 | (scales[s] >> 6) << 4;
        b->sc[s] = (int8_t)sc;
        b->mn[s] = (uint8_t)mn;
    }
}

static void pack_scales6(uint8_t scales[12], const ar__gguf_block *b) {
    for (int32_t s = 0; s < 4; s++) {
        int32_t sc = b->sc[s + 4], mn = b->mn[s + 4];
        scales[s] = (uint8_t)(b->sc[s] | (sc >> 4) << 6);
        scales[s + 4] = (uint8_t)(b->mn[s] | (mn >> 4) << 6);
        scales[s + 8] = (uint8_t)((sc & 15) | (mn & 15) << 4);
    }
}

/* The place of element e of Q4_K and Q5_K: a byte of qs and a shift. */
static int32_t half_byte(int32_t *shift, int32_t e) {
    *shift = e / 32 % 2 * 4;
    return e / 64 * 32 + e % 32;
}

static void unpack_q4(ar__gguf_block *b, const uint8_t *src) {
    const ar__q4_k *k = (const ar__q4_k *)(const void *)src;
    b->d = load_f16(k->d);
    b->m = load_f16(k->dmin);
    unpack_scales6(b, k->scales);
    for (int32_t e = 0, shift; e < AR_SUPER_BLOCK; e++) {
        int32_t at = half_byte(&shift, e);
        b->q[e] = k->qs[at] >> shift & 15;
    }
}

static void pack_q4(uint8_t *dst, const ar__gguf_block *b) {
    ar__q4_k *k = (ar__q4_k *)(void *)dst;
    ar__gguf_store(k->d, b->d, 2);
    ar__gguf_store(k->dmin, b->m, 2);
    pack_scales6(k->scales, b);
    for (int32_t e = 0, shift; e < AR_SUPER_BLOCK; e++) {
        int32_t at = half_byte(&shift, e);
        k->qs[at] |= (uint8_t)(b->q[e] << shift);
    }
}

static void unpack_q5(ar__gguf_block *b, const uint8_t *src) {
    const ar__q5_k *k = (const ar__q5_k *)(const void *)src;
    b->d = load_f16(k->d);
    b->m = load_f16(k->dmin);
    unpack_scales6(b, k->scales);
    for (int32_t e = 0, shift; e < AR_SUPER_BLOCK; e++) {
        int32_t at = half_byte(&shift, e);
        b->q[e] = (uint8_t)((k->qs[at] >> shift & 15) | (k->qh[e % 32] >> e / 32 & 1) << 4);
    }
}

static void pack_q5(uint8_t *dst, const ar__gguf_block *b) {
    ar__q5_k *k = (ar__q5_k *)(void *)dst;
    ar__gguf_store(k->d, b->d, 2);
    ar__gguf_store(k->dmin, b->m, 2);
    pack_scales6(k->scales, b);
    for (int32_t e = 0, shift; e < AR_SUPER_BLOCK; e++) {
        int32_t at = half_byte(&shift, e);
        k->qs[at] |= (uint8_t)((b->q[e] & 15) << shift);
        k->qh[e % 32] |= (uint8_t)((b->q[e] >> 4) << e / 32);
    }
}

/* ---- Q6_K: element 128h + 32j + l has four bits in half j / 2 of ql[64h + 32 (j % 2) + l] and two in bits
 * 2j of qh[32h + l]; scales are signed bytes ---- */

static int32_t q6_byte(int32_t *shift, int32_t e) {
    int32_t j = e / 32 % 4;
    *shift = j / 2 * 4;
    return e / 128 * 64 + j % 2 * 32 + e % 32;
}

static void unpack_q6(ar__gguf_block *b, const uint8_t *src) {
    const ar__q6_k *k = (const ar__q6_k *)(const void *)src;
    b->d = load_f16(k->d);
    memcpy(b->sc, k->scales, 16);
    for (int32_t e = 0, shift; e < AR_SUPER_BLOCK; e++) {
        int32_t at = q6_byte(&shift, e), top = k->qh[e / 128 * 32 + e % 32] >> 2 * (e / 32 % 4) & 3;
        b->q[e] = (uint8_t)((k->ql[at] >> shift & 15) | top << 4);
    }
}

static void pack_q6(uint8_t *dst, const ar__gguf_block *b) {
    ar__q6_k *k = (ar__q6_k *)(void *)dst;
    ar__gguf_store(k->d, b->d, 2);
    memcpy(k->scales, b->sc, 16);
    for (int32_t e = 0, shift; e < AR_SUPER_BLOCK; e++) {
        int32_t at = q6_byte(&shift, e);
        k->ql[at] |= (uint8_t)((b->q[e] & 15) << shift);
        k->qh[e / 128 * 32 + e % 32] |= (uint8_t)((b->q[e] >> 4) << 2 * (e / 32 % 4));
    }
}

/* ---- the types ---- */

void ar__gguf_unpack_super(ar__gguf_block *b, ar_super super, const uint8_t *src) {
    b->m = 0;
    switch (super) {
    case AR_SUPER_Q2_K: unpack_q2(b, src); break;
    case AR_SUPER_Q3_K: unpack_q3(b, src); break;
    case AR_SUPER_Q4_K: unpack_q4(b, src); break;
    case AR_SUPER_Q5_K: unpack_q5(b, src); break;
    case AR_SUPER_Q6_K: unpack_q6(b, src); break;
    case AR_SUPER_NONE:
    case AR_SUPER_COUNT: break;
    }
}

void ar__gguf_pack_super(uint8_t *dst, ar_super super, const ar__gguf_block *b) {
    switch (super) {
    case AR_SUPER_Q2_K: pack_q2(dst, b); break;
    case AR_SUPER_Q3_K: pack_q3(dst, b); break;
    case AR_SUPER_Q4_K: pack_q4(dst, b); break;
    case AR_SUPER_Q5_K: pack_q5(dst, b); break;
    case AR_SUPER_Q6_K: pack_q6(dst, b); break;
    case AR_SUPER_NONE:
    case AR_SUPER_COUNT: break;
    }
}

void ar__gguf_decode_super(float *x, const ar_scheme *s, const uint8_t *src) {
    ar__gguf_block b;
    ar__gguf_unpack_super(&b, s->super, src);
    float d = ar_f16_to_f32(b.d), dmin = ar_f16_to_f32(b.m), middle = (float)(1 << (s->bits - 1));
    bool has_min = s->zero == AR_ZERO_F16MIN;
    for (int32_t e = 0; e < AR_SUPER_BLOCK; e++) {
        int32_t group = e / s->group;
        float scale = d * (float)b.sc[group];
        x[e] = has_min ? scale * (float)b.q[e] - dmin * (float)b.mn[group] : scale * ((float)b.q[e] - middle);
    }
}
