/* Rows of weights as the words of shaders/unpack.h: each block is taken apart into codes of one byte and
 * scales, and the codes go into planes of 4, 2 and 1 bits. Formulas: docs/formats.md and
 * github.com/ggml-org/ggml. */
#include "packed.h"
#include "qblocks.h"
#include <string.h>

#define SUPER 256 /* inputs of a K-quant's block */

static uint32_t half_at(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }

/* ---- planes ---- */

static uint64_t eight(const uint8_t *q) {
    uint64_t x = 0;
    for (int i = 0; i < 8; i++) x |= (uint64_t)q[i] << 8 * i;
    return x;
}

/* The low 4, 2 or 1 bits of eight bytes, together. */
static uint32_t gather4(uint64_t x) {
    x &= UINT64_C(0x0f0f0f0f0f0f0f0f);
    x = (x | x >> 4) & UINT64_C(0x00ff00ff00ff00ff);
    x = (x | x >> 8) & UINT64_C(0x0000ffff0000ffff);
    return (uint32_t)(x | x >> 16);
}

static uint32_t gather2(uint64_t x) {
    x &= UINT64_C(0x0303030303030303);
    x = (x | x >> 6) & UINT64_C(0x000f000f000f000f);
    x = (x | x >> 12) & UINT64_C(0x000000ff000000ff);
    return (uint32_t)((x | x >> 24) & 0xffff);
}

static uint32_t gather1(uint64_t x) {
    return (uint32_t)((x & UINT64_C(0x0101010101010101)) * UINT64_C(0x0102040810204080) >> 56);
}

/* 32 codes into the planes of their number of bits. */
static void put_codes(uint32_t *words, const uint8_t *q, uint32_t bits) {
    uint64_t x[4] = {eight(q), eight(q + 8), eight(q + 16), eight(q + 24)};
    uint32_t shift = 0;
    if (bits == 8) {
        for (int i = 0; i < 8; i++) words[i] = (uint32_t)(x[i / 2] >> 32 * (i % 2));
        return;
    }
    if (bits & 4) {
        for (int i = 0; i < 4; i++) *words++ = gather4(x[i]);
        shift = 4;
    }
    if (bits & 2) {
        for (int i = 0; i < 2; i++)
            *words++ = gather2(x[2 * i] >> shift) | gather2(x[2 * i + 1] >> shift) << 16;
        shift += 2;
    }
    if (bits & 1) {
        *words = 0;
        for (int i = 0; i < 4; i++) *words |= gather1(x[i] >> shift) << 8 * i;
    }
}

/* ---- blocks of 32: codes and the scale word ---- */

static void nibbles(uint8_t *q, const uint8_t *qs, uint8_t flip) {
    for (int j = 0; j < 16; j++) {
        q[j] = (uint8_t)((qs[j] & 15) ^ flip);
        q[j + 16] = (uint8_t)((qs[j] >> 4) ^ flip);
    }
}

static void add_fifth(uint8_t *q, const uint8_t *qh, uint8_t flip) {
    for (int j = 0; j < AR__BLOCK; j++) q[j] = (uint8_t)((q[j] | (qh[j / 8] >> j % 8 & 1) << 4) ^ flip);
}

/* The codes of a block of 32, signed ones in two's complement; returns its scale word (or half word). */
static uint32_t small_block(uint8_t *q, ar_qtype type, const uint8_t *at) {
    const ar__q4_1 *b = (const ar__q4_1 *)at; /* d and, where there is one, m come first in all of them */
    uint32_t d = half_at(b->d), dm = d | half_at(b->m) << 16;
    switch (type) {
    case AR_QT_Q4_0: nibbles(q, ((const ar__q4_0 *)at)->qs, 8); return d;
    case AR_QT_IQ4_NL: nibbles(q, ((const ar__q4_0 *)at)->qs, 0); return d;
    case AR_QT_Q4_1: nibbles(q, b->qs, 0); return dm;
    case AR_QT_Q5_0:
        nibbles(q, ((const ar__q5_0 *)at)->qs, 0);
        add_fifth(q, ((const ar__q5_0 *)at)->qh, 16);
        return d;
    case AR_QT_Q5_1:
        nibbles(q, ((const ar__q5_1 *)at)->qs, 0);
        add_fifth(q, ((const ar__q5_1 *)at)->qh, 0);
        return dm;
    default: memcpy(q, ((const ar__q8_0 *)at)->qs, AR__BLOCK); return d; /* Q8_0 */
    }
}

/* ---- K-quants: 256 codes and the five scale words ---- */

static void crumbs(uint8_t *q, const uint8_t *qs) {
    for (int e = 0; e < SUPER; e++) q[e] = (uint8_t)(qs[e / 128 * 32 + e % 32] >> 2 * (e / 32 % 4) & 3);
}

static void q2_k(uint8_t *q, uint32_t *scales, const ar__q2_k *b) {
    crumbs(q, b->qs);
    scales[0] = half_at(b->d) | half_at(b->dmin) << 16;
    for (int i = 0; i < 16; i++) scales[1 + i / 4] |= (uint32_t)b->scales[i] << 8 * (i % 4);
}

static void q3_k(uint8_t *q, uint32_t *scales, const ar__q3_k *b) {
    crumbs(q, b->qs);
    for (int e = 0; e < SUPER; e++) /* a clear bit subtracts 4: the sign of two's complement */
        q[e] = (uint8_t)(q[e] | (~b->hmask[e % 32] >> e / 32 & 1) << 2);
    scales[0] = half_at(b->d);
    for (int i = 0; i < 16; i++) {
        int low = i < 8 ? b->scales[i] & 15 : b->scales[i - 8] >> 4;
        int high = b->scales[8 + i % 4] >> 2 * (i / 4) & 3;
        scales[1 + i / 4] |= (uint32_t)(uint8_t)((low | high << 4) - 32) << 8 * (i % 4);
    }
}

/* Scale and minimum i of Q4_K's and Q5_K's twelve bytes. */
static void six_bits(uint32_t *scales, const uint8_t *p) {
    for (int i = 0; i < 8; i++) {
        int c = i < 4 ? p[i] & 63 : (p[i + 4] & 15) | p[i - 4] >> 6 << 4;
        int n = i < 4 ? p[i + 4] & 63 : p[i + 4] >> 4 | p[i] >> 6 << 4;
        scales[1 + i / 2] |= (uint32_t)(c | n << 8) << 16 * (i % 2);
    }
}

static void nibble_pairs(uint8_t *q, const uint8_t *qs) {
    for (int e = 0; e < SUPER; e++) q[e] = (uint8_t)(qs[e / 64 * 32 + e % 32] >> 4 * (e / 32 % 2) & 15);
}

static void q4_k(uint8_t *q, uint32_t *scales, const ar__q4_k *b) {
    nibble_pairs(q, b->qs);
    scales[0] = half_at(b->d) | half_at(b->dmin) << 16;
    six_bits(scales, b->scales);
}

static void q5_k(uint8_t *q, uint32_t *scales, const ar__q5_k *b) {
    nibble_pairs(q, b->qs);
    for (int e = 0; e < SUPER; e++) q[e] = (uint8_t)(q[e] | (b->qh[e % 32] >> e / 32 & 1) << 4);
    scales[0] = half_at(b->d) | half_at(b->dmin) << 16;
    six_bits(scales, b->scales);
}

static void q6_k(uint8_t *q, uint32_t *scales, const ar__q6_k *b) {
    for (int e = 0; e < SUPER; e++) {
        int half = e / 128, part = e / 32 % 4;
        int low = b->ql[64 * half + 32 * (part % 2) + e % 32] >> 4 * (part / 2) & 15;
        int high = b->qh[32 * half + e % 32] >> 2 * part & 3;
        q[e] = (uint8_t)((low | high << 4) ^ 32);
    }
    scales[0] = half_at(b->d);
    for (int i = 0; i < 16; i++) scales[1 + i / 4] |= (uint32_t)b->scales[i] << 8 * (i % 4);
}

static void super_block(uint8_t *q, uint32_t *scales, ar_qtype type, const uint8_t *at) {
    memset(scales, 0, 5 * sizeof *scales);
    switch (type) {
    case AR_QT_Q2_K: q2_k(q, scales, (const ar__q2_k *)at); break;
    case AR_QT_Q3_K: q3_k(q, scales, (const ar__q3_k *)at); break;
    case AR_QT_Q4_K: q4_k(q, scales, (const ar__q4_k *)at); break;
    case AR_QT_Q5_K: q5_k(q, scales, (const ar__q5_k *)at); break;
    default: q6_k(q, scales, (const ar__q6_k *)at); break;
    }
}

/* ---- rows ---- */

static void float_row(uint32_t *words, const ar_packed *w, const uint8_t *at) {
    if (w->code == 32) {
        memcpy(words, at, (size_t)w->I * 4);
        return;
    }
    for (int64_t i = 0; i < w->I; i++) words[i / 2] |= half_at(at + 2 * i) << (i % 2 ? 16 : 0);
}

static void block_row(uint32_t *words, const ar_packed *w, const uint8_t *at) {
    uint32_t *scales = words + w->nb * w->code_words, bits = w->code == 20 ? 4 : w->code;
    size_t step = (size_t)ar_qtype_bytes(w->type);
    uint8_t q[SUPER];
    if (w->scale >= 4) {
        for (uint32_t b = 0; b < w->nb; b += 8, at += step, scales += 5) {
            super_block(q, scales, w->type, at);
            for (uint32_t i = 0; i < 8; i++)
                put_codes(words + (b + i) * w->code_words, q + AR__BLOCK * i, bits);
        }
        return;
    }
    for (uint32_t b = 0; b < w->nb; b++, at += step) {
        uint32_t s = small_block(q, w->type, at);
        put_codes(words + b * w->code_words, q, bits);
        if (w->scale == 1)
            scales[b / 2] |= s << 16 * (b % 2);
        else
            scales[b] = s;
    }
}

/* Codes of an ar_scheme; the constant zero point of signed ones is folded into two's complement. */
static void group_row(uint32_t *words, const ar_packed *w, const ar_packed_desc *p, int64_t o) {
    int64_t groups = ar_scheme_groups(&p->scheme, w->I);
    uint32_t *scales = words + w->nb * w->code_words, bits = (uint32_t)p->scheme.bits;
    const uint8_t *codes = p->codes + o * w->I;
    uint8_t q[AR__BLOCK], mask = (uint8_t)((1u << bits) - 1);
    uint8_t flip = (uint8_t)(w->scale == 1 ? 1u << (bits - 1) : 0u);
    for (uint32_t b = 0; b < w->nb; b++) {
        int64_t from = (int64_t)b * AR__BLOCK, count = w->I - from < AR__BLOCK ? w->I - from : AR__BLOCK;
        for (int64_t i = 0; i < AR__BLOCK; i++)
            q[i] = i < count ? (uint8_t)((codes[from + i] & mask) ^ flip) : 0;
        put_codes(words + b * w->code_words, q, bits);
    }
    for (int64_t j = 0; j < groups; j++) {
        uint32_t s = p->scales[o * groups + j];
        if (w->scale == 1)
            scales[j / 2] |= s << (j % 2 ? 16 : 0);
        else
            scales[j] = s | (uint32_t)(w->scale == 2 ? p->mins[o * groups + j] : p->zeros[o * groups + j])
                                << 16;
    }
}

/* Groups that cut blocks: the weights themselves, as ar_qlinear_dequant makes them. */
static void dense_row(uint32_t *words, const ar_packed *w, const ar_packed_desc *p, int64_t o) {
    int64_t groups = ar_scheme_groups(&p->scheme, w->I), G = groups == 1 ? w->I : p->scheme.group;
    for (int64_t i = 0; i < w->I; i++) {
        int64_t group = o * groups + i / G;
        float s = ar_f16_to_f32(p->scales[group]), code = (float)p->codes[o * w->I + i], v;
        if (p->scheme.zero == AR_ZERO_F16MIN)
            v = s * code + ar_f16_to_f32(p->mins[group]);
        else
            v = s * (code - (p->scheme.zero == AR_ZERO_SYM ? (float)(1 << (p->scheme.bits - 1))
                                                           : (float)p->zeros[group]));
        memcpy(&words[i], &v, sizeof v);
    }
}

void ar__packed_row(uint32_t *words, const ar_packed *w, const ar_packed_desc *p, int64_t o) {
    memset(words, 0, w->pw * sizeof *words);
    if (p->type == AR_QT_GROUP) {
        if (w->code == 32)
            dense_row(words, w, p, o);
        else
            group_row(words, w, p, o);
        return;
    }
    const uint8_t *at = p->blocks + (uint64_t)(p->row_order ? p->row_order[o] : o) * p->row_stride;
    if (w->scale == 0)
        float_row(words, w, at);
    else
        block_row(words, w, at);
}
