/* GGUF's tensor types. A block of 32 elements is, with d and m in fp16 and bytes in this order,
 *   Q4_0  d, 16 bytes        x = d (q - 8)     element j in the low half of byte j, j + 16 in its high half
 *   Q4_1  d, m, 16 bytes     x = d q + m       likewise
 *   Q8_0  d, 32 int8         x = d q
 * d may have any sign. */
#include "fmt_gguf.h"
#include <math.h>
#include <string.h>

#define HALF (AR__GGUF_BLOCK / 2)

static const ar__gguf_type types[] = {
    {AR__GGUF_T_F32, "F32", 1, 4},
    {AR__GGUF_T_F16, "F16", 1, 2},
    {AR__GGUF_T_BF16, "BF16", 1, 2},
    {AR__GGUF_T_Q4_0, "Q4_0", AR__GGUF_BLOCK, 2 + HALF},
    {AR__GGUF_T_Q4_1, "Q4_1", AR__GGUF_BLOCK, 4 + HALF},
    {AR__GGUF_T_Q8_0, "Q8_0", AR__GGUF_BLOCK, 2 + AR__GGUF_BLOCK},
    {6, "Q5_0", 0, 0},
    {7, "Q5_1", 0, 0},
    {9, "Q8_1", 0, 0},
    {10, "Q2_K", 0, 0},
    {11, "Q3_K", 0, 0},
    {12, "Q4_K", 0, 0},
    {13, "Q5_K", 0, 0},
    {14, "Q6_K", 0, 0},
    {15, "Q8_K", 0, 0},
    {16, "IQ2_XXS", 0, 0},
    {17, "IQ2_XS", 0, 0},
    {18, "IQ3_XXS", 0, 0},
    {19, "IQ1_S", 0, 0},
    {20, "IQ4_NL", 0, 0},
    {21, "IQ3_S", 0, 0},
    {22, "IQ2_S", 0, 0},
    {23, "IQ4_XS", 0, 0},
    {24, "I8", 0, 0},
    {25, "I16", 0, 0},
    {26, "I32", 0, 0},
    {27, "I64", 0, 0},
    {28, "F64", 0, 0},
    {29, "IQ1_M", 0, 0},
    {34, "TQ1_0", 0, 0},
    {35, "TQ2_0", 0, 0},
    {39, "MXFP4", 0, 0},
    {40, "NVFP4", 0, 0},
    {41, "Q1_0", 0, 0},
    {42, "Q2_0", 0, 0},
};

const ar__gguf_type *ar__gguf_type_of(int32_t id) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].id == id) return &types[i];
    return NULL;
}

int64_t ar__gguf_row_bytes(const ar__gguf_type *type, int64_t width) {
    return width / type->elems * type->bytes;
}

static uint16_t load_f16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }

/* ---- values ---- */

static void decode_block(float *x, int32_t id, const uint8_t *src) {
    float d = ar_f16_to_f32(load_f16(src));
    if (id == AR__GGUF_T_Q8_0) {
        for (int32_t j = 0; j < AR__GGUF_BLOCK; j++) x[j] = d * (float)(int8_t)src[2 + j];
        return;
    }
    bool has_min = id == AR__GGUF_T_Q4_1;
    float m = has_min ? ar_f16_to_f32(load_f16(src + 2)) : 0.0f;
    const uint8_t *qs = src + (has_min ? 4 : 2);
    for (int32_t j = 0; j < HALF; j++) {
        float low = (float)(qs[j] & 15), high = (float)(qs[j] >> 4);
        x[j] = has_min ? d * low + m : d * (low - 8.0f);
        x[j + HALF] = has_min ? d * high + m : d * (high - 8.0f);
    }
}

void ar__gguf_decode(float *dst, const ar__gguf_type *type, const uint8_t *src, int64_t count) {
    for (int64_t i = 0; i < count; i += type->elems, src += type->bytes) {
        switch (type->id) {
        case AR__GGUF_T_F32: dst[i] = ar__gguf_load_f32(src); break;
        case AR__GGUF_T_F16: dst[i] = ar_f16_to_f32(load_f16(src)); break;
        case AR__GGUF_T_BF16: dst[i] = ar_bf16_to_f32(load_f16(src)); break;
        default: decode_block(dst + i, type->id, src); break;
        }
    }
}

/* ---- codes ---- */

bool ar__gguf_scheme(ar_scheme *scheme, const ar__gguf_type *type) {
    if (type->elems == 1) return false;
    bool sym = type->id != AR__GGUF_T_Q4_1;
    *scheme = (ar_scheme){type->id == AR__GGUF_T_Q8_0 ? 8 : 4, AR__GGUF_BLOCK,
                          sym ? AR_ZERO_SYM : AR_ZERO_F16MIN, 0, AR_SUPER_NONE};
    return true;
}

/* The zero point that a minimum came from: the files keep the minimum alone. */
static uint8_t zero_of(uint16_t scale, uint16_t min) {
    float zp = rintf(-ar_f16_to_f32(min) / ar_f16_to_f32(scale));
    return zp >= 15.0f ? 15 : zp > 0.0f ? (uint8_t)zp : 0;
}

void ar__gguf_decode_codes(ar_qlinear *q, int64_t row, const ar__gguf_type *type, const uint8_t *src) {
    for (int64_t b = 0; b < q->I / AR__GGUF_BLOCK; b++, src += type->bytes) {
        uint8_t *codes = q->codes + row * q->I + b * AR__GGUF_BLOCK;
        int64_t group = row * q->groups + b;
        q->scales[group] = load_f16(src);
        if (type->id == AR__GGUF_T_Q8_0) {
            q->zeros[group] = 128;
            for (int32_t j = 0; j < AR__GGUF_BLOCK; j++) codes[j] = (uint8_t)(src[2 + j] ^ 0x80);
            continue;
        }
        const uint8_t *qs = src + (q->mins ? 4 : 2);
        if (q->mins) q->mins[group] = load_f16(src + 2);
        q->zeros[group] = q->mins ? zero_of(q->scales[group], q->mins[group]) : 8;
        for (int32_t j = 0; j < HALF; j++) {
            codes[j] = qs[j] & 15;
            codes[j + HALF] = qs[j] >> 4;
        }
    }
}

int32_t ar__gguf_code_offset(const ar__gguf_type *type, int32_t bits) {
    if (type->id == AR__GGUF_T_Q4_1) return 0;
    return (type->id == AR__GGUF_T_Q8_0 ? 128 : 8) - (1 << (bits - 1));
}

void ar__gguf_encode_codes(uint8_t *dst, const ar__gguf_type *type, const ar_qlinear *q, int64_t row) {
    int32_t offset = ar__gguf_code_offset(type, q->scheme.bits);
    for (int64_t b = 0; b < q->I / AR__GGUF_BLOCK; b++, dst += type->bytes) {
        const uint8_t *codes = q->codes + row * q->I + b * AR__GGUF_BLOCK;
        int64_t group = row * q->groups + (q->groups == 1 ? 0 : b * AR__GGUF_BLOCK / q->scheme.group);
        ar__gguf_store(dst, q->scales[group], 2);
        if (type->id == AR__GGUF_T_Q8_0) {
            for (int32_t j = 0; j < AR__GGUF_BLOCK; j++) dst[2 + j] = (uint8_t)((codes[j] + offset) ^ 0x80);
            continue;
        }
        if (q->mins) ar__gguf_store(dst + 2, q->mins[group], 2);
        uint8_t *qs = dst + (q->mins ? 4 : 2);
        for (int32_t j = 0; j < HALF; j++)
            qs[j] = (uint8_t)((codes[j] + offset) | (codes[j + HALF] + offset) << 4);
    }
}
