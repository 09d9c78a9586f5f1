/* The readable truth of the packed layouts, from their description in docs/formats.md; includes nothing of
 * anyround. A small safetensors reader and the value of one element, found bit by bit. */
#ifndef AR_REF_PACKED_H
#define AR_REF_PACKED_H
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct ref_file {
    uint8_t *bytes;
    char *header;
    const uint8_t *data;
} ref_file;
typedef struct ref_tensor {
    char dtype[8];
    long dims[2];
    int dim_count;
    const uint8_t *data;
} ref_tensor;

static inline int ref_open(ref_file *f, const char *path) {
    *f = (ref_file){0};
    FILE *in = fopen(path, "rb");
    if (!in) return 0;
    fseek(in, 0, SEEK_END);
    long size = ftell(in);
    rewind(in);
    f->bytes = malloc((size_t)size);
    int ok = fread(f->bytes, 1, (size_t)size, in) == (size_t)size;
    fclose(in);
    uint64_t header;
    memcpy(&header, f->bytes, 8);
    f->header = calloc(header + 1, 1);
    memcpy(f->header, f->bytes + 8, header);
    f->data = f->bytes + 8 + header;
    return ok;
}

static inline void ref_close(ref_file *f) {
    free(f->bytes);
    free(f->header);
}

/* 0 if there is no such tensor. Header as safetensors writers make it: no spaces. */
static inline int ref_find(ref_tensor *t, const ref_file *f, const char *prefix, const char *suffix) {
    char key[300];
    unsigned long from, to;
    snprintf(key, sizeof key, "\"%s.%s\":{", prefix, suffix);
    const char *at = strstr(f->header, key);
    if (!at) return 0;
    at += strlen(key);
    const char *dtype = strstr(at, "\"dtype\":\""), *shape = strstr(at, "\"shape\":["),
               *range = strstr(at, "\"data_offsets\":[");
    if (!dtype || !shape || !range) return 0;
    sscanf(dtype + 9, "%7[^\"]", t->dtype);
    t->dim_count = sscanf(shape + 9, "%ld,%ld", &t->dims[0], &t->dims[1]);
    if (sscanf(range + 16, "%lu,%lu", &from, &to) != 2) return 0;
    t->data = f->data + from;
    return 1;
}

static inline uint32_t ref_word(const uint8_t *p) {
    return p[0] + 256u * p[1] + 65536u * p[2] + 16777216u * p[3];
}

/* Value v of 32 / 3-bit ones in three words, w(0..2) their contents, as the description lists them. */
static inline uint32_t ref_three(int v, uint32_t w0, uint32_t w1, uint32_t w2) {
    if (v < 10) return w0 >> (3 * v) & 7;
    if (v == 10) return (w0 >> 30 & 3) | (w1 & 1) << 2;
    if (v < 21) return w1 >> (1 + 3 * (v - 11)) & 7;
    if (v == 21) return (w1 >> 31 & 1) | (w2 & 3) << 1;
    return w2 >> (2 + 3 * (v - 22)) & 7;
}

/* Value `at` of a packed line whose words lie `stride` words apart. */
static inline uint32_t ref_value(const uint8_t *line, long stride, long at, int bits) {
    if (bits == 3) {
        const uint8_t *three = line + 4 * stride * (at / 32 * 3);
        return ref_three((int)(at % 32), ref_word(three), ref_word(three + 4 * stride),
                         ref_word(three + 8 * stride));
    }
    long per = 32 / bits;
    return ref_word(line + 4 * stride * (at / per)) >> (at % per * bits) & ((1u << bits) - 1);
}

static inline float ref_half(const uint8_t *p) {
    uint32_t h = p[0] + 256u * p[1], exponent = h >> 10 & 31, fraction = h & 1023;
    float value = exponent ? 1.0f + (float)fraction / 1024.0f : (float)fraction / 1024.0f;
    for (int e = exponent ? (int)exponent : 1; e > 15; e--) value *= 2.0f;
    for (int e = exponent ? (int)exponent : 1; e < 15; e++) value *= 0.5f;
    return h >> 15 ? -value : value;
}

typedef struct ref_gptq {
    ref_tensor qweight, qzeros, scales, g_idx;
    int has_g_idx;
} ref_gptq;

static inline int ref_gptq_find(ref_gptq *q, const ref_file *f, const char *prefix) {
    q->has_g_idx = ref_find(&q->g_idx, f, prefix, "g_idx");
    return ref_find(&q->qweight, f, prefix, "qweight") && ref_find(&q->qzeros, f, prefix, "qzeros") &&
           ref_find(&q->scales, f, prefix, "scales");
}

/* W'[n, k]; plus_one where the file stores zp - 1; group -1 = all of K. */
static inline float ref_gptq_value(const ref_gptq *q, long n, long k, int bits, long group, int plus_one) {
    long N = q->qweight.dims[1], g = group < 0 ? 0 : k / group;
    uint32_t code = ref_value(q->qweight.data + 4 * n, N, k, bits);
    uint32_t zero = ref_value(q->qzeros.data + 4 * g * q->qzeros.dims[1], 1, n, bits) + (uint32_t)plus_one;
    return ref_half(q->scales.data + 2 * (g * N + n)) * ((float)code - (float)zero);
}

/* AWQ: a word holds eight neighbouring outputs; these are the outputs of its nibbles, from the lowest on. */
static inline uint32_t ref_awq_nibble(const uint8_t *line, long n) {
    static const int output_of[8] = {0, 2, 4, 6, 1, 3, 5, 7};
    uint32_t word = ref_word(line + 4 * (n / 8));
    for (int j = 0; j < 8; j++, word /= 16)
        if (output_of[j] == n % 8) return word % 16;
    return 99;
}

static inline float ref_awq_value(const ref_gptq *q, long n, long k, long group) {
    long words = q->qweight.dims[1], g = group < 0 ? 0 : k / group;
    float code = (float)ref_awq_nibble(q->qweight.data + 4 * words * k, n),
          zero = (float)ref_awq_nibble(q->qzeros.data + 4 * words * g, n);
    return ref_half(q->scales.data + 2 * (g * q->scales.dims[1] + n)) * (code - zero);
}

/* compressed-tensors, pack-quantized. */
typedef struct ref_pack {
    ref_tensor packed, scale, shape, zero;
    int has_zero;
} ref_pack;

static inline int ref_pack_find(ref_pack *q, const ref_file *f, const char *prefix) {
    q->has_zero = ref_find(&q->zero, f, prefix, "weight_zero_point");
    return ref_find(&q->packed, f, prefix, "weight_packed") &&
           ref_find(&q->scale, f, prefix, "weight_scale") && ref_find(&q->shape, f, prefix, "weight_shape");
}

/* A number of `bits` bits, one by one, from bit `at` on of words that lie `stride` words apart. */
static inline long ref_bits(const uint8_t *line, long stride, long at, int bits) {
    long value = 0;
    for (int b = 0; b < bits; b++, at++)
        value += (long)(ref_word(line + 4 * stride * (at / 32)) >> (at % 32) & 1) << b;
    return value;
}

/* Codes and zero points are signed, and stored with 2^(bits-1) added. */
static inline float ref_pack_value(const ref_pack *q, long n, long k, int bits, long group) {
    long words = q->packed.dims[1], groups = q->scale.dims[1], g = group < 0 ? 0 : k / group,
         bias = 1L << (bits - 1);
    long code = ref_bits(q->packed.data + 4 * words * n, 1, k * bits, bits) - bias,
         zero = q->has_zero ? ref_bits(q->zero.data + 4 * g, groups, n * bits, bits) - bias : 0;
    return ref_half(q->scale.data + 2 * (groups * n + g)) * ((float)code - (float)zero);
}
#endif
