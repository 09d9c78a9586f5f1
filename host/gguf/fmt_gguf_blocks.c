/* GGUF's tensor types. The table of types is backend/qtypes.def's, and behind it those that are known but not
 * read. A block of 32 elements is, with d and m in fp16 and bytes in this order,
 *   Q4_0    d, 16 bytes                x = d (q - 8)     element j in the low half of byte j, j + 16 in its
 *                                                        high half
 *   Q4_1    d, m, 16 bytes             x = d q + m       likewise
 *   Q5_0    d, 32 bits, 16 bytes       x = d (q - 16)    likewise; bit j of the 32 is the fifth of element j
 *   Q5_1    d, m, 32 bits, 16 bytes    x = d q + m       likewise
 *   Q8_0    d, 32 int8                 x = d q           codes here are q + 128
 *   IQ4_NL  d, 16 bytes                x = d T[q]        T: a fixed table of 16 levels
 * d may have any sign. Super-blocks of 256 are in fmt_gguf_kquants.c. */
#include "fmt_gguf.h"
#include <math.h>
#include <string.h>
#include <strings.h>

#define HALF (AR__GGUF_BLOCK / 2)

static const ar__gguf_type types[] = {
#define AR_QTYPE(name, text, id, elems, bytes) {id, text, elems, bytes, AR_QT_##name},
#include "qtypes.def"
#undef AR_QTYPE
#define UNREAD(id, text)                                                                                     \
    { id, text, 0, 0, AR_QT_COUNT }
    UNREAD(9, "Q8_1"),     UNREAD(15, "Q8_K"),  UNREAD(16, "IQ2_XXS"), UNREAD(17, "IQ2_XS"),
    UNREAD(18, "IQ3_XXS"), UNREAD(19, "IQ1_S"), UNREAD(21, "IQ3_S"),   UNREAD(22, "IQ2_S"),
    UNREAD(23, "IQ4_XS"),  UNREAD(24, "I8"),    UNREAD(25, "I16"),     UNREAD(26, "I32"),
    UNREAD(27, "I64"),     UNREAD(28, "F64"),   UNREAD(29, "IQ1_M"),   UNREAD(34, "TQ1_0"),
    UNREAD(35, "TQ2_0"),   UNREAD(39, "MXFP4"), UNREAD(40, "NVFP4"),   UNREAD(41, "Q1_0"),
    UNREAD(42, "Q2_0")};

const ar__gguf_type *ar__gguf_type_of(int32_t id) {
    for (size_t i = 0; id >= 0 && i < sizeof types / sizeof *types; i++)
        if (types[i].id == id) return &types[i];
    return NULL;
}

const ar__gguf_type *ar__gguf_type_for(ar_qtype type) { return ar__gguf_type_of(ar_qtype_gguf_id(type)); }

ar_qtype ar__gguf_type_named(const char *name) {
    for (int32_t t = 0; t < AR_QT_COUNT; t++)
        if (t != AR_QT_GROUP && t != AR_QT_IQ4_NL && strcasecmp(ar_qtype_name((ar_qtype)t), name) == 0)
            return (ar_qtype)t;
    return AR_QT_COUNT;
}

int64_t ar__gguf_row_bytes(const ar__gguf_type *type, int64_t width) {
    return width / type->elems * type->bytes;
}

static uint16_t load_f16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }

bool ar__gguf_scheme(ar_scheme *scheme, ar_qtype type) {
    static const ar_scheme schemes[AR_QT_COUNT] = {
        [AR_QT_Q4_0] = {4, AR__GGUF_BLOCK, AR_ZERO_SYM, 0, AR_SUPER_NONE},
        [AR_QT_Q4_1] = {4, AR__GGUF_BLOCK, AR_ZERO_F16MIN, 0, AR_SUPER_NONE},
        [AR_QT_Q5_0] = {5, AR__GGUF_BLOCK, AR_ZERO_SYM, 0, AR_SUPER_NONE},
        [AR_QT_Q5_1] = {5, AR__GGUF_BLOCK, AR_ZERO_F16MIN, 0, AR_SUPER_NONE},
        [AR_QT_Q8_0] = {8, AR__GGUF_BLOCK, AR_ZERO_SYM, 0, AR_SUPER_NONE}};
    static const ar_super supers[AR_QT_COUNT] = {[AR_QT_Q2_K] = AR_SUPER_Q2_K,
                                                 [AR_QT_Q3_K] = AR_SUPER_Q3_K,
                                                 [AR_QT_Q4_K] = AR_SUPER_Q4_K,
                                                 [AR_QT_Q5_K] = AR_SUPER_Q5_K,
                                                 [AR_QT_Q6_K] = AR_SUPER_Q6_K};
    *scheme = supers[type] ? ar_scheme_super(supers[type]) : schemes[type];
    return scheme->bits != 0;
}

/* ---- blocks of 32 ---- */

static bool has_min(ar_qtype type) { return type == AR_QT_Q4_1 || type == AR_QT_Q5_1; }
static bool has_high_bits(ar_qtype type) { return type == AR_QT_Q5_0 || type == AR_QT_Q5_1; }

static void unpack(ar__gguf_block *b, ar_qtype type, const uint8_t *src) {
    b->d = load_f16(src);
    b->m = has_min(type) ? load_f16(src + 2) : 0;
    src += has_min(type) ? 4 : 2;
    if (type == AR_QT_Q8_0) {
        for (int32_t j = 0; j < AR__GGUF_BLOCK; j++) b->q[j] = src[j] ^ 0x80;
        return;
    }
    uint32_t high = has_high_bits(type) ? ar__gguf_load32(src) : 0;
    const uint8_t *qs = src + (has_high_bits(type) ? 4 : 0);
    for (int32_t j = 0; j < HALF; j++) {
        b->q[j] = (uint8_t)((qs[j] & 15) | (high >> j & 1) << 4);
        b->q[j + HALF] = (uint8_t)(qs[j] >> 4 | (high >> (j + HALF) & 1) << 4);
    }
}

static void pack(uint8_t *dst, ar_qtype type, const ar__gguf_block *b) {
    uint32_t high = 0;
    ar__gguf_store(dst, b->d, 2);
    if (has_min(type)) ar__gguf_store(dst + 2, b->m, 2);
    dst += has_min(type) ? 4 : 2;
    if (type == AR_QT_Q8_0) {
        for (int32_t j = 0; j < AR__GGUF_BLOCK; j++) dst[j] = b->q[j] ^ 0x80;
        return;
    }
    uint8_t *qs = dst + (has_high_bits(type) ? 4 : 0);
    for (int32_t j = 0; j < AR__GGUF_BLOCK; j++) high |= (uint32_t)(b->q[j] >> 4) << j;
    for (int32_t j = 0; j < HALF; j++) qs[j] = (uint8_t)((b->q[j] & 15) | b->q[j + HALF] << 4);
    if (has_high_bits(type)) ar__gguf_store(dst, high, 4);
}

static void decode_block(float *x, ar_qtype type, const uint8_t *src) {
    static const int8_t levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};
    ar__gguf_block b;
    unpack(&b, type, src);
    float d = ar_f16_to_f32(b.d), m = ar_f16_to_f32(b.m);
    int32_t middle = type == AR_QT_Q8_0 ? 128 : type == AR_QT_Q5_0 ? 16 : 8;
    for (int32_t j = 0; j < AR__GGUF_BLOCK; j++)
        x[j] = has_min(type) ? d * (float)b.q[j] + m
                             : d * (float)(type == AR_QT_IQ4_NL ? levels[b.q[j]] : b.q[j] - middle);
}

void ar__gguf_decode(float *dst, const ar__gguf_type *type, const uint8_t *src, int64_t count) {
    ar_scheme s;
    ar__gguf_scheme(&s, type->qtype);
    for (int64_t i = 0; i < count; i += type->elems, src += type->bytes) {
        if (type->qtype == AR_QT_F32)
            dst[i] = ar__gguf_load_f32(src);
        else if (type->qtype == AR_QT_F16)
            dst[i] = ar_f16_to_f32(load_f16(src));
        else if (type->qtype == AR_QT_BF16)
            dst[i] = ar_bf16_to_f32(load_f16(src));
        else if (s.super != AR_SUPER_NONE)
            ar__gguf_decode_super(dst + i, &s, src);
        else
            decode_block(dst + i, type->qtype, src);
    }
}

/* ---- codes ---- */

/* The zero point that a minimum came from: the files keep the minimum alone. */
static uint8_t zero_of(uint16_t scale, uint16_t min, float most) {
    float zp = rintf(-ar_f16_to_f32(min) / ar_f16_to_f32(scale));
    return zp >= most ? (uint8_t)most : zp > 0.0f ? (uint8_t)zp : 0;
}

static void decode_super_codes(ar_qlinear *q, int64_t row, const ar__gguf_type *type, const uint8_t *src) {
    ar__gguf_block b;
    size_t each = (size_t)(AR_SUPER_BLOCK / q->scheme.group);
    for (int64_t k = 0; k < q->supers; k++, src += type->bytes) {
        int64_t super = row * q->supers + k, group = row * q->groups + k * (int64_t)each;
        ar__gguf_unpack_super(&b, q->scheme.super, src);
        q->d[super] = b.d;
        if (q->dmin) q->dmin[super] = b.m;
        memcpy(q->sub_scales + group, b.sc, each);
        if (q->sub_mins) memcpy(q->sub_mins + group, b.mn, each);
        memcpy(q->codes + row * q->I + k * AR_SUPER_BLOCK, b.q, AR_SUPER_BLOCK);
    }
}

void ar__gguf_decode_codes(ar_qlinear *q, int64_t row, const ar__gguf_type *type, const uint8_t *src) {
    if (q->scheme.super != AR_SUPER_NONE) {
        decode_super_codes(q, row, type, src);
        return;
    }
    ar__gguf_block b;
    for (int64_t k = 0; k < q->I / AR__GGUF_BLOCK; k++, src += type->bytes) {
        int64_t group = row * q->groups + k;
        unpack(&b, type->qtype, src);
        memcpy(q->codes + row * q->I + k * AR__GGUF_BLOCK, b.q, AR__GGUF_BLOCK);
        q->scales[group] = b.d;
        if (q->mins) q->mins[group] = b.m;
        q->zeros[group] = (uint8_t)(q->mins ? zero_of(b.d, b.m, (float)((1 << q->scheme.bits) - 1))
                                            : 1 << (q->scheme.bits - 1));
    }
}

int32_t ar__gguf_code_offset(ar_qtype type, int32_t bits) {
    ar_scheme own;
    ar__gguf_scheme(&own, type);
    return own.zero == AR_ZERO_SYM ? (1 << (own.bits - 1)) - (1 << (bits - 1)) : 0;
}

static void encode_super_codes(uint8_t *dst, const ar__gguf_type *type, const ar_qlinear *q, int64_t row) {
    ar__gguf_block b = {0};
    size_t each = (size_t)(AR_SUPER_BLOCK / q->scheme.group);
    memset(dst, 0, (size_t)q->supers * (size_t)type->bytes);
    for (int64_t k = 0; k < q->supers; k++, dst += type->bytes) {
        int64_t super = row * q->supers + k, group = row * q->groups + k * (int64_t)each;
        b.d = q->d[super];
        if (q->dmin) b.m = q->dmin[super];
        memcpy(b.sc, q->sub_scales + group, each);
        if (q->sub_mins) memcpy(b.mn, q->sub_mins + group, each);
        memcpy(b.q, q->codes + row * q->I + k * AR_SUPER_BLOCK, AR_SUPER_BLOCK);
        ar__gguf_pack_super(dst, q->scheme.super, &b);
    }
}

void ar__gguf_encode_codes(uint8_t *dst, const ar__gguf_type *type, const ar_qlinear *q, int64_t row) {
    if (q->scheme.super != AR_SUPER_NONE) {
        encode_super_codes(dst, type, q, row);
        return;
    }
    ar__gguf_block b = {0};
    int32_t offset = ar__gguf_code_offset(type->qtype, q->scheme.bits);
    for (int64_t k = 0; k < q->I / AR__GGUF_BLOCK; k++, dst += type->bytes) {
        const uint8_t *codes = q->codes + row * q->I + k * AR__GGUF_BLOCK;
        int64_t group = row * q->groups + (q->groups == 1 ? 0 : k * AR__GGUF_BLOCK / q->scheme.group);
        for (int32_t j = 0; j < AR__GGUF_BLOCK; j++) b.q[j] = (uint8_t)(codes[j] + offset);
        b.d = q->scales[group];
        if (q->mins) b.m = q->mins[group];
        pack(dst, type->qtype, &b);
    }
}
