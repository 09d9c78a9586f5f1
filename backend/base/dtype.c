/* Data types: sizes, names, and the exact 16-bit float conversions. */
#include "ar_error.h"
#include <assert.h>
#include <string.h>

enum {
#define AR_DTYPE(id, name, bytes) ROW_##id,
#include "dtypes.def"
#undef AR_DTYPE
    ROW_COUNT
};
#define AR_DTYPE(id, name, bytes)                                                                            \
    static_assert((int)ROW_##id == (int)(id), "dtypes.def is in ar_dtype's order");
#include "dtypes.def"
#undef AR_DTYPE
static_assert((int)ROW_COUNT == (int)AR_DTYPE_COUNT, "one row per type");

typedef struct dtype_row {
    const char *name;
    size_t bytes;
} dtype_row;

static const dtype_row rows[AR_DTYPE_COUNT] = {
#define AR_DTYPE(id, name, bytes) [id] = {name, bytes},
#include "dtypes.def"
#undef AR_DTYPE
};

size_t ar_dtype_bytes(ar_dtype dtype) { return (unsigned)dtype < AR_DTYPE_COUNT ? rows[dtype].bytes : 0; }

const char *ar_dtype_name(ar_dtype dtype) {
    return (unsigned)dtype < AR_DTYPE_COUNT ? rows[dtype].name : "?";
}

static uint32_t bits_of(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static float float_of(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

float ar_f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, e = (h >> 10) & 31u, m = h & 1023u;
    if (e == 31) return float_of(sign | 0x7f800000u | m << 13);
    if (e != 0) return float_of(sign | (e + 112) << 23 | m << 13);
    float f = (float)m * 5.9604644775390625e-8f; /* 2^-24: exact, m has 10 bits */
    return sign ? -f : f;
}

uint16_t ar_f32_to_f16(float f) {
    uint32_t u = bits_of(f), sign = u >> 16 & 0x8000u, a = u & 0x7fffffffu;
    if (a > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u | (a >> 13 & 0x3ffu)); /* a quiet NaN, payload kept */
    if (a >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u);    /* 65520 and up round to infinity */
    if (a <= 0x33000000u) return (uint16_t)sign;                /* 2^-25 is a tie: to even, 0 */
    uint32_t e = a >> 23, m = (a & 0x7fffffu) | 0x800000u, shift = e < 113 ? 126 - e : 13;
    uint32_t h = e < 113 ? m >> shift : (e - 112) << 10 | (m >> 13 & 0x3ffu);
    uint32_t rest = m & ((1u << shift) - 1), half = 1u << (shift - 1);
    if (rest > half || (rest == half && (h & 1u))) h++; /* a carry into the exponent is the next binade */
    return (uint16_t)(sign | h);
}

float ar_bf16_to_f32(uint16_t h) { return float_of((uint32_t)h << 16); }

uint16_t ar_f32_to_bf16(float f) {
    uint32_t u = bits_of(f);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40u); /* a quiet NaN */
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}
