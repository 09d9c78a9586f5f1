/* Stored weights that are no numbers: NaN or Inf among floats, scales and minima. Kernels decode halves by
 * integers, which make large numbers of both, so that nothing behind the upload would tell. Rows are looked
 * at span by span, while their bytes are in the nearest cache: a file is not read twice. */
#include "resident_weight.h"
#include "qblocks.h"
#include <stddef.h>
#include <string.h>

static uint32_t half_at(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }

/* "NaN", "Inf" or "-Inf" of 16 bits whose exponent is all ones; fraction: the bits below it. */
static const char *name_of(uint32_t half, uint32_t fraction) {
    return half & fraction ? "NaN" : half & 0x8000u ? "-Inf" : "Inf";
}

/* ---- floats ---- */

/* Without an early exit, so that these become vector code. */
static bool has_bad_words(const uint8_t *at, int64_t count) {
    uint32_t bad = 0, word;
    for (int64_t i = 0; i < count; i++) {
        memcpy(&word, at + 4 * i, sizeof word);
        bad |= (word & 0x7f800000u) == 0x7f800000u;
    }
    return bad != 0;
}

static bool has_bad_halves(const uint8_t *at, int64_t count, uint16_t exponent) {
    uint16_t bad = 0, half;
    for (int64_t i = 0; i < count; i++) {
        memcpy(&half, at + 2 * i, sizeof half);
        bad |= (half & exponent) == exponent;
    }
    return bad != 0;
}

static int64_t find_bad_word(const uint8_t *at, int64_t count, const char **found) {
    if (!has_bad_words(at, count)) return -1;
    int64_t i = 0;
    while (!has_bad_words(at + 4 * i, 1)) i++;
    uint32_t high = half_at(at + 4 * i + 2);
    *found = half_at(at + 4 * i) ? "NaN" : name_of(high, 0x7fu);
    return i;
}

static int64_t find_bad_half(const uint8_t *at, int64_t count, uint16_t exponent, const char **found) {
    if (!has_bad_halves(at, count, exponent)) return -1;
    int64_t i = 0;
    while (!has_bad_halves(at + 2 * i, 1, exponent)) i++;
    *found = name_of(half_at(at + 2 * i), 0x7fffu ^ exponent);
    return i;
}

/* ---- blocks and groups: the first input of the first whose scale or minimum is none ---- */

/* Where a block's scale and minimum stand; twice the same where it has no minimum. */
static void find_halves(size_t at[2], ar_qtype type) {
    at[0] = at[1] = 0;
    switch (type) {
    case AR_QT_Q4_1:
    case AR_QT_Q5_1: at[1] = offsetof(ar__q4_1, m); return;
    case AR_QT_Q2_K: at[0] = offsetof(ar__q2_k, d), at[1] = offsetof(ar__q2_k, dmin); return;
    case AR_QT_Q3_K: at[0] = at[1] = offsetof(ar__q3_k, d); return;
    case AR_QT_Q4_K:
    case AR_QT_Q5_K: at[1] = offsetof(ar__q4_k, dmin); return;
    case AR_QT_Q6_K: at[0] = at[1] = offsetof(ar__q6_k, d); return;
    default: return;
    }
}

static int64_t find_bad_block(const uint8_t *at, ar_qtype type, int64_t inputs, const char **found) {
    int64_t elems = ar_qtype_elems(type), bytes = ar_qtype_bytes(type);
    size_t halves[2];
    find_halves(halves, type);
    for (int64_t b = 0; b < inputs / elems; b++)
        for (int k = 0; k < 2; k++)
            if (find_bad_half(at + b * bytes + halves[k], 1, 0x7c00u, found) == 0) return b * elems;
    return -1;
}

static int64_t find_bad_group(const ar_resident_weight_desc *p, int64_t o, const char **found) {
    int64_t groups = ar_scheme_groups(&p->scheme, p->I), width = groups == 1 ? p->I : p->scheme.group;
    for (int64_t j = o * groups; j < (o + 1) * groups; j++) {
        uint32_t s = p->scales[j], m = p->mins ? p->mins[j] : 0;
        if ((s & 0x7c00u) != 0x7c00u && (m & 0x7c00u) != 0x7c00u) continue;
        *found = name_of((s & 0x7c00u) == 0x7c00u ? s : m, 0x3ffu);
        return (j - o * groups) * width;
    }
    return -1;
}

int64_t ar__resident_find_bad(const char **found, const ar_resident_weight_desc *p, int64_t o,
                              uint32_t first) {
    int64_t from = (int64_t)first * AR__BLOCK, count = p->I - from, at;
    if (count > AR__SPAN * AR__BLOCK) count = AR__SPAN * AR__BLOCK;
    if (p->type == AR_QT_GROUP) return first == 0 ? find_bad_group(p, o, found) : -1;
    const uint8_t *row = p->blocks + (uint64_t)(p->row_order ? p->row_order[o] : o) * p->row_stride;
    row += from / ar_qtype_elems(p->type) * ar_qtype_bytes(p->type);
    switch (p->type) {
    case AR_QT_F32: at = find_bad_word(row, count, found); break;
    case AR_QT_F16: at = find_bad_half(row, count, 0x7c00u, found); break;
    case AR_QT_BF16: at = find_bad_half(row, count, 0x7f80u, found); break;
    default: at = find_bad_block(row, p->type, count, found); break;
    }
    return at < 0 ? -1 : from + at;
}
