/* Text of a growing row of tokens, given out in whole UTF-8 characters: the bytes of a character that more
 * tokens must complete are held back. */
#include "tokenizer.h"
#include <stdlib.h>
#include <string.h>

/* Whether the bytes (1 to 3) may be the beginning of a character. */
static bool may_grow(const uint8_t *p, size_t bytes) {
    uint8_t whole[4] = {p[0], 0x80, 0x80, 0x80};
    size_t need = ar__utf8_bytes(p[0]);
    if (bytes >= need || bytes > 3) return false;
    if (bytes == 1)
        whole[1] = p[0] == 0xe0 || p[0] == 0xf0 ? 0xa0 : 0x80; /* a second byte that every first one takes */
    for (size_t i = 1; i < bytes; i++) whole[i] = p[i];
    return ar__utf8_sequence(whole, need) == need;
}

/* Moves the whole characters of text (bytes) to out, U+FFFD for every NUL and every byte of no character, and
 * what may still become one to the stream. Returns the bytes written, at most 3 * bytes. */
static size_t take_characters(ar_text_stream *s, char *out, const uint8_t *text, size_t bytes) {
    size_t used = 0;
    s->held_bytes = 0;
    for (size_t i = 0; i < bytes;) {
        size_t step = text[i] ? ar__utf8_sequence(text + i, bytes - i) : 0;
        if (step == 0 && may_grow(text + i, bytes - i)) {
            s->held_bytes = (int32_t)(bytes - i);
            memcpy(s->held, text + i, bytes - i);
            break;
        }
        memcpy(out + used, step ? (const char *)text + i : "\xef\xbf\xbd", step ? step : 3);
        used += step ? step : 3;
        i += step ? step : 1;
    }
    return used;
}

static ar_status push_bytes(ar_text_stream *s, char **text, size_t *bytes, const char *more,
                            size_t more_bytes) {
    size_t held = (size_t)s->held_bytes;
    uint8_t *all = ar__alloc(held + more_bytes + 1, 1);
    char *out = ar__alloc(3 * (held + more_bytes) + 1, 1);
    if (!all || !out) {
        free(all);
        free(out);
        return AR_ERR_MEMORY;
    }
    memcpy(all, s->held, held);
    memcpy(all + held, more, more_bytes);
    *bytes = take_characters(s, out, all, held + more_bytes);
    out[*bytes] = '\0';
    *text = out;
    free(all);
    return AR_OK;
}

ar_status ar_text_stream_push(ar_text_stream *s, char **text, size_t *bytes, const ar_tokenizer *t,
                              int32_t id) {
    char *more = NULL;
    size_t more_bytes = 0;
    *text = NULL;
    *bytes = 0;
    AR_TRY(ar_tokenizer_decode(t, &more, &more_bytes, &id, 1, !s->started, true));
    bool shown = id < t->vocab && t->tokens[id].text && !t->tokens[id].special;
    s->started = s->started || shown;
    ar_status status = push_bytes(s, text, bytes, more, more_bytes);
    free(more);
    return status;
}

ar_status ar_text_stream_end(ar_text_stream *s, char **text, size_t *bytes) {
    *text = ar__alloc(3 * sizeof s->held + 1, 1);
    *bytes = 0;
    if (!*text) return AR_ERR_MEMORY;
    for (int32_t i = 0; i < s->held_bytes; i++, *bytes += 3) memcpy(*text + *bytes, "\xef\xbf\xbd", 3);
    *s = (ar_text_stream){0};
    return AR_OK;
}
