/* Streams of packed values; see packing.h. */
#include "packing.h"
#include <string.h>

#define BLOCK 32 /* values that make a whole number of words at any bit width */

/* AWQ's kernels unpack a word's even nibbles and then its odd ones, into neighbouring outputs. */
static const uint8_t awq_order[8] = {0, 4, 1, 5, 2, 6, 3, 7};

const ar_packing ar__packing_gptq = {
    .codes = "qweight", .zeros = "qzeros", .scales = "scales", .g_idx = "g_idx", .code_columns = true};
const ar_packing ar__packing_awq = {.codes = "qweight",
                                    .zeros = "qzeros",
                                    .scales = "scales",
                                    .g_idx = "g_idx",
                                    .codes_along_O = true,
                                    .order = awq_order};
const ar_packing ar__packing_compressed = {.codes = "weight_packed",
                                           .zeros = "weight_zero_point",
                                           .scales = "weight_scale",
                                           .g_idx = "weight_g_idx",
                                           .shape = "weight_shape",
                                           .zero_columns = true,
                                           .scales_output_first = true,
                                           .input_scale = "input_scale",
                                           .input_zero = "input_zero_point"};
/* The same library's unpacked form. */
const ar_packing ar__packing_bytes = {.codes = "weight",
                                      .zeros = "weight_zero_point",
                                      .scales = "weight_scale",
                                      .g_idx = "weight_g_idx",
                                      .scales_output_first = true,
                                      .input_scale = "input_scale",
                                      .input_zero = "input_zero_point",
                                      .is_bytes = true};

static ar_streams streams(int64_t count, int64_t length, bool columns, int32_t bits, const uint8_t *order) {
    int64_t words = (length * bits + 31) / 32;
    return (ar_streams){.count = count,
                        .length = length,
                        .words = words,
                        .next_stream = columns ? 1 : words,
                        .next_word = columns ? count : 1,
                        .dims = {columns ? words : count, columns ? count : words},
                        .bits = bits,
                        .order = order};
}

ar_streams ar__packing_codes(const ar_packing *p, int64_t O, int64_t I, int32_t bits) {
    return streams(p->codes_along_O ? I : O, p->codes_along_O ? O : I, p->code_columns, bits, p->order);
}

ar_streams ar__packing_zeros(const ar_packing *p, int64_t O, int64_t groups, int32_t bits) {
    return streams(groups, O, p->zero_columns, bits, p->order);
}

static uint32_t load_u32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static int64_t place(const ar_streams *s, int64_t i) { return s->order ? i / 8 * 8 + s->order[i % 8] : i; }

void ar__stream_put(uint32_t *dst, const ar_streams *s, int64_t at, const uint8_t *src, int64_t step) {
    dst += at * s->next_stream;
    for (int64_t from = 0, word = 0; from < s->length; from += BLOCK, word += s->bits) {
        uint32_t words[9] = {0};
        int64_t count = s->length - from < BLOCK ? s->length - from : BLOCK;
        for (int64_t j = 0; j < count; j++) {
            uint32_t value = src[(from + j) * step];
            int64_t bit = place(s, j) * s->bits, shift = bit % 32;
            words[bit / 32] |= value << shift;
            if (shift + s->bits > 32) words[bit / 32 + 1] |= value >> (32 - shift);
        }
        for (int64_t w = 0; w < s->bits && word + w < s->words; w++)
            dst[(word + w) * s->next_word] = words[w];
    }
}

void ar__stream_block(uint8_t values[32], const ar_streams *s, const uint8_t *src, int64_t at,
                      int64_t block) {
    uint32_t words[9] = {0}, mask = (1u << s->bits) - 1;
    int64_t word = block * s->bits;
    src += 4 * (at * s->next_stream + word * s->next_word);
    for (int64_t w = 0; w < s->bits && word + w < s->words; w++)
        words[w] = load_u32(src + 4 * w * s->next_word);
    for (int32_t j = 0; j < BLOCK; j++) {
        int32_t bit = (int32_t)place(s, j) * s->bits, shift = bit % 32;
        uint32_t value = words[bit / 32] >> shift;
        if (shift + s->bits > 32) value |= words[bit / 32 + 1] << (32 - shift);
        values[j] = (uint8_t)(value & mask);
    }
}

uint32_t ar__stream_value(const ar_streams *s, const uint8_t *src, int64_t at, int64_t i) {
    int64_t bit = place(s, i) * s->bits, shift = bit % 32;
    src += 4 * (at * s->next_stream + bit / 32 * s->next_word);
    uint32_t value = load_u32(src) >> shift;
    if (shift + s->bits > 32) value |= load_u32(src + 4 * s->next_word) << (32 - shift);
    return value & ((1u << s->bits) - 1);
}
