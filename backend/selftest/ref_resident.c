/* See ref_resident.h. */
#include "ref_resident.h"
#include "ref.h"
#include <stddef.h>
#include <string.h>

static const ref_block_form forms[] = {
    {0, 1, 4, -1, -1},       {1, 1, 2, 0, -1},        {30, 1, 2, -1, -1},   {2, 32, 18, 0, -1},
    {3, 32, 20, 0, 2},       {6, 32, 22, 0, -1},      {7, 32, 24, 0, 2},    {8, 32, 34, 0, -1},
    {10, 256, 84, 80, 82},   {11, 256, 110, 108, -1}, {12, 256, 144, 0, 2}, {13, 256, 176, 0, 2},
    {14, 256, 210, 208, -1}, {20, 32, 18, 0, -1},
};

const ref_block_form *ref_block_form_of(int gguf_type) {
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        if (forms[i].gguf_type == gguf_type) return &forms[i];
    return NULL;
}

static double half(const uint8_t *p) { return ref_half_value((uint16_t)(p[0] | p[1] << 8)); }
static int low(int byte) { return byte & 15; }
static int high(int byte) { return byte >> 4; }

static double from_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return (double)f;
}

/* The nibble of element e of 32: the first sixteen lie in the low halves. */
static int nibble(const uint8_t *qs, int e) { return e < 16 ? low(qs[e]) : high(qs[e - 16]); }

static int bit(const uint8_t *bytes, int i) { return bytes[i / 8] >> (i % 8) & 1; }

static double simple(int type, const uint8_t *b, int e) {
    static const int table[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    switch (type) {
    case 0:
        return from_bits((uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24);
    case 1: return half(b);
    case 30: return from_bits((uint32_t)b[0] << 16 | (uint32_t)b[1] << 24);
    case 2: return half(b) * (nibble(b + 2, e) - 8);
    case 3: return half(b) * nibble(b + 4, e) + half(b + 2);
    case 6: return half(b) * (nibble(b + 6, e) + 16 * bit(b + 2, e) - 16);
    case 7: return half(b) * (nibble(b + 8, e) + 16 * bit(b + 4, e)) + half(b + 2);
    case 8: return half(b) * (b[2 + e] < 128 ? b[2 + e] : b[2 + e] - 256);
    default: return half(b) * table[nibble(b + 2, e)];
    }
}

/* The 6-bit scale (which = 0) or minimum (1) of sub-block i. */
static int six(const uint8_t *p, int i, int which) {
    if (i < 4) return p[i + 4 * which] & 63;
    return (which ? high(p[i + 4]) : low(p[i + 4])) + (p[i - 4 + 4 * which] >> 6) * 16;
}

static double q2_k(const uint8_t *b, int e) {
    int h = e / 128, j = e / 32 % 4, l = e % 32, s = 8 * h + 2 * j + l / 16;
    int q = b[16 + 32 * h + l] >> (2 * j) & 3;
    return half(b + 80) * low(b[s]) * q - half(b + 82) * high(b[s]);
}

static double q3_k(const uint8_t *b, int e) {
    const uint8_t *hmask = b, *qs = b + 32, *scales = b + 96;
    int h = e / 128, j = e / 32 % 4, l = e % 32, s = 8 * h + 2 * j + l / 16;
    int q = (qs[32 * h + l] >> (2 * j) & 3) - ((hmask[l] >> (4 * h + j) & 1) ? 0 : 4);
    int sc = s < 8 ? low(scales[s]) : high(scales[s - 8]);
    sc += 16 * (scales[8 + s % 4] >> (2 * (s / 4)) & 3);
    return half(b + 108) * (sc - 32) * q;
}

static double q45_k(int type, const uint8_t *b, int e) {
    const uint8_t *qh = b + 16, *qs = type == 12 ? b + 16 : b + 48;
    int p = e / 64, l = e % 32, upper = e / 32 % 2, i = 2 * p + upper;
    int q = upper ? high(qs[32 * p + l]) : low(qs[32 * p + l]);
    if (type == 13) q += 16 * (qh[l] >> i & 1);
    return half(b) * six(b + 4, i, 0) * q - half(b + 2) * six(b + 4, i, 1);
}

static double q6_k(const uint8_t *b, int e) {
    const uint8_t *ql = b, *qh = b + 128, *scales = b + 192;
    int h = e / 128, part = e / 32 % 4, l = e % 32;
    int byte = ql[64 * h + (part % 2 ? 32 : 0) + l], q = part < 2 ? low(byte) : high(byte);
    q += 16 * (qh[32 * h + l] >> (2 * part) & 3);
    int sc = scales[8 * h + l / 16 + 2 * part];
    return half(b + 208) * (sc < 128 ? sc : sc - 256) * (q - 32);
}

double ref_block_weight(int gguf_type, const uint8_t *block, int e) {
    switch (gguf_type) {
    case 10: return q2_k(block, e);
    case 11: return q3_k(block, e);
    case 12:
    case 13: return q45_k(gguf_type, block, e);
    case 14: return q6_k(block, e);
    default: return simple(gguf_type, block, e);
    }
}

double ref_group_weight(int bits, int code, uint16_t scale, int zero, uint16_t least) {
    double s = ref_half_value(scale);
    if (zero == -2) return s * code + ref_half_value(least);
    return s * (code - (zero == -1 ? 1 << (bits - 1) : zero));
}
