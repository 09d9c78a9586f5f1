/* Spans of rows as the words of shaders/unpack.h, straight into their panel: planes of 4, 2 and 1 bits are
 * gathered from the stored bytes, eight at a time. A span is 256 inputs, the block of K-quants: so much of a
 * panel stays in the nearest cache while its rows are written one after the other. Formulas: docs/formats.md
 * and github.com/ggml-org/ggml. */
#include "resident_weight.h"
#include "qblocks.h"
#include <string.h>

/* One row of a panel: word i lies at at[i * step]. */
typedef struct row {
    uint32_t *at;
    size_t step;
} row;

static row from(row r, size_t i) { return (row){r.at + i * r.step, r.step}; }

static void put(row r, size_t i, uint32_t word) { r.at[i * r.step] = word; }

static uint32_t half_at(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }

static uint32_t word_at(const uint8_t *p) { return half_at(p) | half_at(p + 2) << 16; }

static uint64_t eight(const uint8_t *q) { return word_at(q) | (uint64_t)word_at(q + 4) << 32; }

/* ---- planes ---- */

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

/* The plane of 4, 2 or 1 bits from bit `shift` on of 32 bytes. flip inverts bits of the words: the sign bits
 * of codes that are stored without one, which makes two's complement of them. */
static void plane4(row r, const uint8_t *q, uint32_t shift) {
    for (size_t i = 0; i < 4; i++) put(r, i, gather4(eight(q + 8 * i) >> shift));
}

static void plane2(row r, const uint8_t *q, uint32_t shift, uint32_t flip) {
    for (size_t i = 0; i < 2; i++) {
        uint64_t low = eight(q + 16 * i) >> shift, high = eight(q + 16 * i + 8) >> shift;
        put(r, i, (gather2(low) | gather2(high) << 16) ^ flip);
    }
}

static void plane1(row r, const uint8_t *q, uint32_t shift, uint32_t flip) {
    uint32_t word = 0;
    for (size_t i = 0; i < 4; i++) word |= gather1(eight(q + 8 * i) >> shift) << 8 * i;
    put(r, 0, word ^ flip);
}

/* Sixteen bytes of two codes each: the low ones are elements 0 to 15, the high ones the others. */
static void nibbles(row r, const uint8_t *qs, uint32_t flip) {
    for (size_t i = 0; i < 4; i++) put(r, i, gather4(eight(qs + 8 * (i % 2)) >> 4 * (i / 2)) ^ flip);
}

/* 32 codes, one to a byte. */
static void codes(row r, const uint8_t *q, uint32_t bits) {
    uint32_t shift = 0;
    for (size_t i = 0; bits == 8 && i < 8; i++) put(r, i, word_at(q + 4 * i));
    if (bits == 8) return;
    if (bits & 4) {
        plane4(r, q, 0);
        r = from(r, 4);
        shift = 4;
    }
    if (bits & 2) {
        plane2(r, q, shift, 0);
        r = from(r, 2);
        shift += 2;
    }
    if (bits & 1) plane1(r, q, shift, 0);
}

/* ---- blocks of 32 ---- */

/* The codes of a block; returns its scale word (or half word). */
static uint32_t small_block(row r, ar_qtype type, const uint8_t *at) {
    const ar__q4_1 *b = (const ar__q4_1 *)at; /* d and, where there is one, m come first in all of them */
    uint32_t d = half_at(b->d);
    switch (type) {
    case AR_QT_Q4_0: nibbles(r, ((const ar__q4_0 *)at)->qs, 0x88888888u); return d;
    case AR_QT_IQ4_NL: nibbles(r, ((const ar__q4_0 *)at)->qs, 0); return d;
    case AR_QT_Q4_1: nibbles(r, b->qs, 0); return d | half_at(b->m) << 16;
    case AR_QT_Q5_0:
        nibbles(r, ((const ar__q5_0 *)at)->qs, 0);
        put(r, 4, ~word_at(((const ar__q5_0 *)at)->qh));
        return d;
    case AR_QT_Q5_1:
        nibbles(r, ((const ar__q5_1 *)at)->qs, 0);
        put(r, 4, word_at(((const ar__q5_1 *)at)->qh));
        return d | half_at(b->m) << 16;
    default: codes(r, ((const ar__q8_0 *)at)->qs, 8); return d; /* Q8_0 */
    }
}

/* Blocks [first, end) of a row whose blocks begin at `at`; first is even. */
static void small_blocks(row r, const ar_resident_weight *w, const uint8_t *at, uint32_t first,
                         uint32_t end) {
    size_t bytes = (size_t)ar_qtype_bytes(w->type);
    row scales = from(r, (size_t)w->nb * w->code_words);
    uint32_t s = 0;
    for (uint32_t b = first; b < end; b++) {
        uint32_t next = small_block(from(r, (size_t)b * w->code_words), w->type, at + b * bytes);
        s = w->scale == 1 && b % 2 ? s | next << 16 : next;
        put(scales, w->scale == 1 ? b / 2 : b, s);
    }
}

/* ---- K-quants: eight blocks and the five scale words ---- */

static void q2_k(row *blocks, uint32_t *scales, const ar__q2_k *b) {
    for (uint32_t i = 0; i < 8; i++) plane2(blocks[i], b->qs + i / 4 * 32, 2 * (i % 4), 0);
    scales[0] = half_at(b->d) | half_at(b->dmin) << 16;
    for (int i = 0; i < 4; i++) scales[1 + i] = word_at(b->scales + 4 * i);
}

static void q3_k(row *blocks, uint32_t *scales, const ar__q3_k *b) {
    for (uint32_t i = 0; i < 8; i++) {
        plane2(blocks[i], b->qs + i / 4 * 32, 2 * (i % 4), 0);
        plane1(from(blocks[i], 2), b->hmask, i, ~0u); /* a clear bit subtracts 4: the sign */
    }
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

static void q4_k(row *blocks, uint32_t *scales, const ar__q4_k *b) {
    for (uint32_t i = 0; i < 8; i++) plane4(blocks[i], b->qs + i / 2 * 32, 4 * (i % 2));
    scales[0] = half_at(b->d) | half_at(b->dmin) << 16;
    six_bits(scales, b->scales);
}

static void q5_k(row *blocks, uint32_t *scales, const ar__q5_k *b) {
    for (uint32_t i = 0; i < 8; i++) {
        plane4(blocks[i], b->qs + i / 2 * 32, 4 * (i % 2));
        plane1(from(blocks[i], 4), b->qh, i, 0);
    }
    scales[0] = half_at(b->d) | half_at(b->dmin) << 16;
    six_bits(scales, b->scales);
}

static void q6_k(row *blocks, uint32_t *scales, const ar__q6_k *b) {
    for (uint32_t i = 0; i < 8; i++) {
        uint32_t half = i / 4, part = i % 4;
        plane4(blocks[i], b->ql + 64 * half + 32 * (part % 2), 4 * (part / 2));
        plane2(from(blocks[i], 4), b->qh + 32 * half, 2 * part, 0xaaaaaaaau);
    }
    scales[0] = half_at(b->d);
    for (int i = 0; i < 4; i++) scales[1 + i] = word_at(b->scales + 4 * i);
}

static void super_block(row r, const ar_resident_weight *w, const uint8_t *at, uint32_t first) {
    row blocks[8], unit = from(r, (size_t)w->nb * w->code_words + 5 * (size_t)(first / 8));
    uint32_t scales[5] = {0};
    at += first / 8 * (size_t)ar_qtype_bytes(w->type);
    for (uint32_t i = 0; i < 8; i++) blocks[i] = from(r, (size_t)(first + i) * w->code_words);
    switch (w->type) {
    case AR_QT_Q2_K: q2_k(blocks, scales, (const ar__q2_k *)at); break;
    case AR_QT_Q3_K: q3_k(blocks, scales, (const ar__q3_k *)at); break;
    case AR_QT_Q4_K: q4_k(blocks, scales, (const ar__q4_k *)at); break;
    case AR_QT_Q5_K: q5_k(blocks, scales, (const ar__q5_k *)at); break;
    default: q6_k(blocks, scales, (const ar__q6_k *)at); break;
    }
    for (size_t i = 0; i < 5; i++) put(unit, i, scales[i]);
}

/* ---- floats, and codes of an ar_scheme ---- */

static void floats(row r, const ar_resident_weight *w, const uint8_t *at, uint32_t first, uint32_t end) {
    int64_t last = (int64_t)end * AR__BLOCK < w->I ? (int64_t)end * AR__BLOCK : w->I;
    int64_t i = (int64_t)first * AR__BLOCK;
    if (w->code == 32) {
        for (; i < last; i++) put(r, (size_t)i, word_at(at + 4 * i));
        return;
    }
    for (; i + 1 < last; i += 2) put(r, (size_t)i / 2, word_at(at + 2 * i));
    if (i < last) put(r, (size_t)i / 2, half_at(at + 2 * i));
}

/* The constant zero point of signed codes is folded into two's complement. */
static void group_codes(row r, const ar_resident_weight *w, const ar_resident_weight_desc *p, int64_t o,
                        uint32_t first, uint32_t end) {
    uint32_t bits = (uint32_t)p->scheme.bits;
    const uint8_t *stored = p->codes + o * w->I;
    uint8_t q[AR__BLOCK], mask = (uint8_t)((1u << bits) - 1);
    uint8_t flip = (uint8_t)(w->scale == 1 ? 1u << (bits - 1) : 0u);
    for (uint32_t b = first; b < end; b++) {
        int64_t at = (int64_t)b * AR__BLOCK, count = w->I - at < AR__BLOCK ? w->I - at : AR__BLOCK;
        for (int64_t i = 0; i < AR__BLOCK; i++)
            q[i] = i < count ? (uint8_t)((stored[at + i] & mask) ^ flip) : 0;
        codes(from(r, (size_t)b * w->code_words), q, bits);
    }
}

static void group_scales(row r, const ar_resident_weight *w, const ar_resident_weight_desc *p, int64_t o) {
    int64_t groups = ar_scheme_groups(&p->scheme, w->I);
    row scales = from(r, (size_t)w->nb * w->code_words);
    uint32_t s = 0;
    for (int64_t j = 0; j < groups; j++) {
        int64_t at = o * groups + j;
        if (w->scale == 1)
            s = j % 2 ? s | (uint32_t)p->scales[at] << 16 : p->scales[at];
        else
            s = p->scales[at] | (uint32_t)(w->scale == 2 ? p->mins[at] : p->zeros[at]) << 16;
        put(scales, (size_t)(w->scale == 1 ? j / 2 : j), s);
    }
}

/* Groups that cut blocks: the weights themselves, as ar_qlinear_dequant makes them. */
static void dense(row r, const ar_resident_weight *w, const ar_resident_weight_desc *p, int64_t o,
                  uint32_t first, uint32_t end) {
    int64_t groups = ar_scheme_groups(&p->scheme, w->I), G = groups == 1 ? w->I : p->scheme.group;
    for (int64_t i = (int64_t)first * AR__BLOCK; i < (int64_t)end * AR__BLOCK && i < w->I; i++) {
        int64_t group = o * groups + i / G;
        float s = ar_f16_to_f32(p->scales[group]), code = (float)p->codes[o * w->I + i], v;
        uint32_t word;
        if (p->scheme.zero == AR_ZERO_F16MIN)
            v = s * code + ar_f16_to_f32(p->mins[group]);
        else
            v = s * (code - (p->scheme.zero == AR_ZERO_SYM ? (float)(1 << (p->scheme.bits - 1))
                                                           : (float)p->zeros[group]));
        memcpy(&word, &v, sizeof word);
        put(r, (size_t)i, word);
    }
}

/* ---- spans ---- */

void ar__resident_span(uint32_t *words, size_t step, const ar_resident_weight *w,
                       const ar_resident_weight_desc *p, int64_t o, uint32_t first) {
    row r = {words, step};
    uint32_t end = w->nb - first < AR__SPAN ? w->nb : first + AR__SPAN;
    if (p->type == AR_QT_GROUP) {
        if (w->code == 32) {
            dense(r, w, p, o, first, end);
            return;
        }
        group_codes(r, w, p, o, first, end);
        if (first == 0) group_scales(r, w, p, o);
        return;
    }
    const uint8_t *at = p->blocks + (uint64_t)(p->row_order ? p->row_order[o] : o) * p->row_stride;
    if (w->scale == 0)
        floats(r, w, at, first, end);
    else if (w->scale >= 4)
        super_block(r, w, at, first);
    else
        small_blocks(r, w, at, first, end);
}
