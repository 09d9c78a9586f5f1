/* UTF-8, the byte-level alphabet of GPT-2, text buffers that grow, quoting for error lines. */
#include "tokenizer.h"
#include <stdlib.h>
#include <string.h>

ar_status ar__utf8_check(const char *text, size_t bytes, const char *what) {
    const uint8_t *p = (const uint8_t *)text;
    for (size_t i = 0; i < bytes;) {
        size_t step = ar__utf8_sequence(p + i, bytes - i);
        if (step == 0)
            return ar__fail(AR_ERR_FORMAT, "%s: byte %zu: found 0x%02x, expected UTF-8", what, i, p[i]);
        i += step;
    }
    return AR_OK;
}

ar_status ar__utf8_repair(char **out, const char *text, size_t bytes) {
    const uint8_t *p = (const uint8_t *)text;
    char *q = *out = ar__alloc(bytes * 3 + 1, 1);
    if (!q) return AR_ERR_MEMORY;
    for (size_t i = 0; i < bytes;) {
        size_t step = p[i] ? ar__utf8_sequence(p + i, bytes - i) : 0, kept = step ? step : 3;
        memcpy(q, step ? text + i : "\xef\xbf\xbd", kept);
        q += kept;
        i += step ? step : 1;
    }
    *q = '\0';
    return AR_OK;
}

size_t ar__utf8_bytes(uint8_t first) { return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4; }

uint32_t ar__utf8_char(const char *p, size_t *bytes) {
    const uint8_t *u = (const uint8_t *)p;
    *bytes = ar__utf8_bytes(u[0]);
    if (*bytes == 1) return u[0];
    uint32_t c = u[0] & (0x7fu >> *bytes);
    for (size_t i = 1; i < *bytes; i++) c = c << 6 | (u[i] & 0x3fu);
    return c;
}

bool ar__utf8_is_space(uint32_t c) {
    return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
           c == 0x3000;
}

/* Bytes that print stand for themselves; the others, in order, are U+0100, U+0101, … */
static bool byte_prints(uint32_t b) {
    return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
}

size_t ar__byte_to_char(char out[2], uint8_t byte) {
    uint32_t c = byte;
    if (!byte_prints(byte)) /* its place among those that do not print: 0..32, 127..160, 173 */
        c = 256u + (byte <= 32 ? byte : byte <= 160 ? byte - 94u : 67u);
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    out[0] = (char)(0xc0 | c >> 6);
    out[1] = (char)(0x80 | (c & 0x3f));
    return 2;
}

int32_t ar__char_to_byte(uint32_t c) {
    if (c < 256) return byte_prints(c) ? (int32_t)c : -1;
    if (c <= 256 + 32) return (int32_t)(c - 256);
    if (c <= 256 + 66) return (int32_t)(c - 256 + 94);
    return c == 256 + 67 ? 173 : -1;
}

ar_status ar__buffer_grow(void **data, size_t *capacity, size_t used, size_t count, size_t each) {
    if (count <= *capacity) return AR_OK;
    size_t wanted = *capacity + *capacity / 2 > count ? *capacity + *capacity / 2 : count + 32;
    void *grown = ar__alloc(wanted, each);
    if (!grown) return AR_ERR_MEMORY;
    if (used > 0) memcpy(grown, *data, used * each);
    free(*data);
    *data = grown;
    *capacity = wanted;
    return AR_OK;
}

ar_status ar__text_append(ar__text *text, const char *src, size_t bytes) {
    if (bytes > INT32_MAX || text->bytes + bytes > INT32_MAX)
        return ar__fail(AR_ERR_UNSUPPORTED, "text: found %zu bytes after normalization, expected at most %d",
                        text->bytes + bytes, INT32_MAX);
    void *data = text->data;
    AR_TRY(ar__buffer_grow(&data, &text->capacity, text->bytes, text->bytes + bytes, 1));
    text->data = data;
    if (bytes > 0) memcpy(text->data + text->bytes, src, bytes);
    text->bytes += bytes;
    return AR_OK;
}

const char *ar__quote(char out[AR__QUOTE_BYTES], const char *text, size_t bytes) {
    size_t n = bytes, limit = AR__QUOTE_BYTES - 6;
    if (n > limit) { /* cut before a character, not inside one */
        n = limit;
        while (n > 0 && ((uint8_t)text[n] & 0xc0) == 0x80) n--;
    }
    char *p = out;
    *p++ = '"';
    for (size_t i = 0; i < n; i++) *p++ = (uint8_t)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
    if (n < bytes) {
        memcpy(p, "...", 3);
        p += 3;
    }
    *p++ = '"';
    *p = 0;
    return out;
}
