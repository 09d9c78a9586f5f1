/* Normalizer steps, in order: text goes through each of them whole. */
#include "tokenizer.h"
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define MOST_TIMES 64 /* as long a text becomes, and so many bytes more */
#define MOST_MORE  4096

static ar_status copy_string(char **copy, const char *text) {
    size_t bytes = strlen(text);
    *copy = ar__alloc(bytes + 1, 1);
    if (!*copy) return AR_ERR_MEMORY;
    memcpy(*copy, text, bytes);
    return AR_OK;
}

ar_status ar__norm_add(ar_tokenizer *t, ar__norm_kind kind, const char *from, const char *to,
                       const char *what) {
    if (t->norm_count == AR__MAX_STEPS)
        return ar__fail(AR_ERR_FORMAT, "%s: normalizer: found more than %d steps, expected at most that",
                        what, AR__MAX_STEPS);
    ar__norm_step *step = &t->norm[t->norm_count++]; /* counted first, so that closing frees what it holds */
    step->kind = kind;
    if (from) AR_TRY(copy_string(&step->from, from));
    return to ? copy_string(&step->to, to) : AR_OK;
}

/* Sixteen steps that each write a few letters for one would fill any memory. */
static ar_status check_length(const ar__text *out, size_t most) {
    if (out->bytes <= most) return AR_OK;
    return ar__fail(AR_ERR_UNSUPPORTED, "text: found more than %zu bytes after normalization", most);
}

/* most: bytes that it may become. */
static ar_status replace(ar__text *out, const ar__norm_step *step, const char *text, size_t bytes,
                         size_t most) {
    size_t from = strlen(step->from), to = strlen(step->to), kept = 0;
    for (size_t i = 0; i + from <= bytes;) {
        if (memcmp(text + i, step->from, from) != 0) {
            i++;
            continue;
        }
        AR_TRY(ar__text_append(out, text + kept, i - kept));
        AR_TRY(ar__text_append(out, step->to, to));
        AR_TRY(check_length(out, most));
        i += from;
        kept = i;
    }
    return ar__text_append(out, text + kept, bytes - kept);
}

/* Below U+0300 there is no combining mark, and every character is its own composed form. */
static bool is_plainly_nfc(const char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        if ((uint8_t)text[i] >= 0xcc) return false;
    return true;
}

/* Canonical decomposition, then composition (Unicode Standard Annex 15). */
static ar_status compose(ar__text *out, const char *text, size_t bytes) {
    if (is_plainly_nfc(text, bytes)) return ar__text_append(out, text, bytes);
    const utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    const utf8proc_uint8_t *source = (const utf8proc_uint8_t *)text;
    utf8proc_ssize_t count = utf8proc_decompose(source, (utf8proc_ssize_t)bytes, NULL, 0, options);
    utf8proc_int32_t *chars = count >= 0 ? ar__alloc((size_t)count, sizeof *chars) : NULL;
    if (count >= 0 && !chars) return AR_ERR_MEMORY;
    if (count >= 0) count = utf8proc_decompose(source, (utf8proc_ssize_t)bytes, chars, count, options);
    if (count >= 0) count = utf8proc_normalize_utf32(chars, count, options);
    ar_status status = AR_OK;
    if (count < 0)
        status = ar__fail(AR_ERR_UNSUPPORTED, "text: NFC normalization: %s", utf8proc_errmsg(count));
    for (utf8proc_ssize_t i = 0; status == AR_OK && i < count; i++) {
        utf8proc_uint8_t one[4];
        size_t one_bytes = (size_t)utf8proc_encode_char(chars[i], one);
        status = ar__text_append(out, (const char *)one, one_bytes);
    }
    free(chars);
    return status;
}

static ar_status run_step(ar__text *out, const ar__norm_step *step, const char *text, size_t bytes,
                          size_t most) {
    switch (step->kind) {
    case AR__NORM_PREPEND:
        if (bytes > 0) AR_TRY(ar__text_append(out, step->to, strlen(step->to)));
        return ar__text_append(out, text, bytes);
    case AR__NORM_REPLACE: return replace(out, step, text, bytes, most);
    case AR__NORM_NFC: return compose(out, text, bytes);
    }
    return AR_OK;
}

ar_status ar__norm_run(const ar_tokenizer *t, ar__text *out, ar__text *scratch, const char *text,
                       size_t bytes) {
    const size_t most = MOST_TIMES * bytes + MOST_MORE;
    out->bytes = 0;
    if (t->norm_count == 0) return ar__text_append(out, text, bytes);
    for (int32_t i = 0; i < t->norm_count; i++) {
        scratch->bytes = 0;
        AR_TRY(run_step(scratch, &t->norm[i], i == 0 ? text : out->data, i == 0 ? bytes : out->bytes, most));
        ar__text swap = *out;
        *out = *scratch;
        *scratch = swap;
    }
    return AR_OK;
}
