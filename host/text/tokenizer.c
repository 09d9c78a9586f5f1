/* The tokenizer's public functions: encoding (the stages in order), decoding, what writers ask for. */
#include "tokenizer.h"
#include <stdlib.h>
#include <string.h>

/* ---- encoding ---- */

typedef struct encoder {
    const ar_tokenizer *t;
    bool parse_special;
    ar__bpe bpe;
    ar__matcher matcher;
    ar__text normal, scratch, piece;
} encoder;

static bool starts_with(const char *text, size_t bytes, const char *prefix, size_t prefix_bytes) {
    return bytes >= prefix_bytes && memcmp(text, prefix, prefix_bytes) == 0;
}

/* The part of pre-tokenizing that changes the text: Metaspace's marks, the byte level's leading space. */
static ar_status mark_piece(encoder *e, const char *text, size_t bytes, bool at_start) {
    const ar__pre *pre = &e->t->pre;
    e->piece.bytes = 0;
    if (pre->byte_prefix && text[0] != ' ') AR_TRY(ar__text_append(&e->piece, " ", 1));
    if (!pre->metaspace) return ar__text_append(&e->piece, text, bytes);
    bool marked = text[0] == ' ' || starts_with(text, bytes, AR__SPACE, AR__SPACE_BYTES);
    bool prepend = pre->metaspace_prepend == AR__PREPEND_ALWAYS ||
                   (pre->metaspace_prepend == AR__PREPEND_FIRST && at_start);
    if (prepend && !marked) AR_TRY(ar__text_append(&e->piece, AR__SPACE, AR__SPACE_BYTES));
    for (size_t i = 0, end; i < bytes; i = end) {
        if (text[i] == ' ') AR_TRY(ar__text_append(&e->piece, AR__SPACE, AR__SPACE_BYTES));
        if (text[i] == ' ') i++;
        for (end = i; end < bytes && text[end] != ' ';) end++;
        AR_TRY(ar__text_append(&e->piece, text + i, end - i));
    }
    return AR_OK;
}

static ar_status encode_piece(encoder *e, const char *text, size_t bytes, bool at_start) {
    if (bytes == 0) return AR_OK;
    if (e->t->pre.metaspace || e->t->pre.byte_prefix) {
        AR_TRY(mark_piece(e, text, bytes, at_start));
        text = e->piece.data;
        bytes = e->piece.bytes;
    }
    AR_TRY(ar__pre_run(e->t, &e->matcher, text, bytes));
    for (size_t i = 0; i < e->matcher.from.count; i++) {
        ar__span word = e->matcher.from.data[i];
        AR_TRY(ar__bpe_word(e->t, &e->bpe, text + word.start, (size_t)(word.end - word.start)));
    }
    return AR_OK;
}

/* A stretch without added tokens that match the raw text: normalized, then cut by those that match after
 * that. */
static ar_status encode_gap(encoder *e, const char *text, size_t bytes, bool at_start) {
    if (bytes == 0) return AR_OK;
    AR_TRY(ar__norm_run(e->t, &e->normal, &e->scratch, text, bytes));
    const char *normal = e->normal.data;
    ar__added_walk walk = {0};
    for (bool more = true; more;) {
        more = ar__added_next(&e->t->normalized_added, &walk, normal, e->normal.bytes, e->parse_special);
        if (walk.gap < walk.start)
            AR_TRY(encode_piece(e, normal + walk.gap, walk.start - walk.gap, at_start && walk.gap == 0));
        if (more) AR_TRY(ar__bpe_push_id(&e->bpe, walk.id));
    }
    return AR_OK;
}

static ar_status encode_text(encoder *e, const char *text, size_t bytes) {
    ar__added_walk walk = {0};
    for (bool more = true; more;) {
        more = ar__added_next(&e->t->raw_added, &walk, text, bytes, e->parse_special);
        if (walk.gap < walk.start)
            AR_TRY(encode_gap(e, text + walk.gap, walk.start - walk.gap, walk.gap == 0));
        if (more) AR_TRY(ar__bpe_push_id(&e->bpe, walk.id));
    }
    return AR_OK;
}

ar_status ar_tokenizer_encode(const ar_tokenizer *t, int32_t **ids, int64_t *count, const char *text,
                              size_t bytes, bool parse_special) {
    *ids = NULL;
    *count = 0;
    if (bytes > INT32_MAX)
        return ar__fail(AR_ERR_UNSUPPORTED, "text: found %zu bytes, expected at most %d at once", bytes,
                        INT32_MAX);
    AR_TRY(ar__utf8_check(text, bytes, "text"));
    encoder e = {.t = t, .parse_special = parse_special};
    ar_status status = encode_text(&e, text, bytes);
    if (status == AR_OK && !e.bpe.ids) e.bpe.ids = ar__alloc(1, sizeof *e.bpe.ids);
    if (status == AR_OK && !e.bpe.ids) status = AR_ERR_MEMORY;
    ar__bpe_deinit(&e.bpe);
    ar__matcher_deinit(&e.matcher);
    free(e.normal.data);
    free(e.scratch.data);
    free(e.piece.data);
    if (status != AR_OK) {
        free(e.bpe.ids);
        return status;
    }
    *ids = e.bpe.ids;
    *count = (int64_t)e.bpe.count;
    return AR_OK;
}

/* ---- decoding ---- */

static int32_t hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

/* The byte of "<0x0A>", -1 for other texts. */
static int32_t fallback_byte(const ar__token *token) {
    const char *s = token->text;
    if (token->bytes != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>') return -1;
    int32_t high = hex_digit(s[3]), low = hex_digit(s[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* Byte-level letters back to bytes; a token with any other character stands for its own text. */
static ar_status decode_letters(ar__text *out, const ar__token *token) {
    size_t mark = out->bytes, step;
    for (size_t i = 0; i < token->bytes; i += step) {
        int32_t byte = ar__char_to_byte(ar__utf8_char(token->text + i, &step));
        if (byte < 0) {
            out->bytes = mark;
            return ar__text_append(out, token->text, token->bytes);
        }
        char one = (char)byte;
        AR_TRY(ar__text_append(out, &one, 1));
    }
    return AR_OK;
}

static ar_status decode_spaces(ar__text *out, const ar__token *token, bool drop) {
    for (size_t i = 0, step; i < token->bytes; i += step) {
        bool space = starts_with(token->text + i, token->bytes - i, AR__SPACE, AR__SPACE_BYTES);
        step = space ? AR__SPACE_BYTES : 1;
        if (space && !drop) AR_TRY(ar__text_append(out, " ", 1));
        if (!space) AR_TRY(ar__text_append(out, token->text + i, 1));
    }
    return AR_OK;
}

static ar_status decode_token(const ar_tokenizer *t, ar__text *out, const ar__token *token, bool first) {
    const ar__decoder *d = &t->decoder;
    int32_t byte = d->byte_fallback ? fallback_byte(token) : -1;
    if (byte >= 0) {
        char one = (char)byte;
        return ar__text_append(out, &one, 1);
    }
    if (d->byte_level && !token->added) return decode_letters(out, token);
    if (d->space) return decode_spaces(out, token, first && d->drop_first_space);
    return ar__text_append(out, token->text, token->bytes);
}

/* Where Hugging Face's would write U+FFFD for bytes that are no UTF-8, the bytes themselves are given: the
 * rest of a character may come with the next call. Added tokens give their own text, not its normalized form.
 */
ar_status ar_tokenizer_decode(const ar_tokenizer *t, char **text, size_t *bytes, const int32_t *ids,
                              int64_t count, bool first, bool skip_special) {
    *text = NULL;
    *bytes = 0;
    ar__text out = {0};
    ar_status status = AR_OK;
    bool at_first = first;
    for (int64_t i = 0; i < count && status == AR_OK; i++) {
        if (ids[i] < 0)
            status = ar__fail(AR_ERR_ARG, "id %lld: found %d, expected at least 0", (long long)i, ids[i]);
        if (ids[i] < 0 || ids[i] >= t->vocab || !t->tokens[ids[i]].text) continue;
        const ar__token *token = &t->tokens[ids[i]];
        if (skip_special && token->special) continue;
        status = decode_token(t, &out, token, at_first);
        at_first = false;
    }
    size_t cut = 0;
    while (first && cut < (size_t)t->decoder.strip && cut < out.bytes && out.data[cut] == ' ') cut++;
    if (cut > 0) memmove(out.data, out.data + cut, out.bytes -= cut);
    size_t length = out.bytes;
    if (status == AR_OK) status = ar__text_append(&out, "", 1);
    if (status != AR_OK) {
        free(out.data);
        return status;
    }
    *text = out.data;
    *bytes = length;
    return AR_OK;
}

/* ---- the object ---- */

void ar_tokenizer_close(ar_tokenizer *t) {
    if (!t) return;
    for (int32_t i = 0; i < t->norm_count; i++) {
        free(t->norm[i].from);
        free(t->norm[i].to);
    }
    ar__pre_deinit(&t->pre);
    ar__added_deinit(&t->raw_added);
    ar__added_deinit(&t->normalized_added);
    free(t->tokens);
    free(t->arena);
    free(t->index);
    free(t->merges);
    free(t->pairs);
    free(t);
}

ar_status ar_tokenizer_encode_text(const ar_tokenizer *t, int32_t **ids, int64_t *count, const char *text,
                                   size_t bytes, bool parse_special) {
    int32_t before, *body = NULL;
    const int32_t *prefix = ar_tokenizer_prefix(&before, t);
    int64_t n = 0;
    *ids = NULL;
    *count = 0;
    if (bytes > 0) AR_TRY(ar_tokenizer_encode(t, &body, &n, text, bytes, parse_special));
    *ids = ar__alloc((size_t)(before + n) + 1, sizeof **ids);
    if (*ids) {
        memcpy(*ids, prefix, (size_t)before * sizeof *prefix);
        if (n) memcpy(*ids + before, body, (size_t)n * sizeof *body);
        *count = before + n;
    }
    free(body);
    return *ids ? AR_OK : AR_ERR_MEMORY;
}

int32_t ar_tokenizer_vocab(const ar_tokenizer *t) { return t->vocab; }
int32_t ar_tokenizer_bos(const ar_tokenizer *t) { return t->bos; }
int32_t ar_tokenizer_eos(const ar_tokenizer *t) { return t->eos; }
int32_t ar_tokenizer_unk(const ar_tokenizer *t) { return t->unk; }

static int32_t known_id(const ar_tokenizer *t, int32_t id) {
    return id >= 0 && id < t->vocab && t->tokens[id].text ? id : -1;
}

void ar_tokenizer_set_special(ar_tokenizer *t, int32_t bos, int32_t eos, int32_t unk) {
    t->bos = known_id(t, bos);
    t->eos = known_id(t, eos);
    if (t->unk < 0) t->unk = known_id(t, unk);
}

ar_tokenizer_kind ar_tokenizer_get_kind(const ar_tokenizer *t) { return t->kind; }

const char *ar_tokenizer_token(const ar_tokenizer *t, int32_t id, size_t *bytes) {
    bool known = known_id(t, id) >= 0;
    if (bytes) *bytes = known ? t->tokens[id].bytes : 0;
    return known ? t->tokens[id].text : NULL;
}

ar_token_type ar_tokenizer_token_type(const ar_tokenizer *t, int32_t id) {
    return known_id(t, id) >= 0 ? (ar_token_type)t->tokens[id].type : AR_TOKEN_UNUSED;
}

float ar_tokenizer_score(const ar_tokenizer *t, int32_t id) {
    return known_id(t, id) >= 0 ? t->tokens[id].score : 0.0f;
}

int64_t ar_tokenizer_merge_count(const ar_tokenizer *t) { return t->merges_derived ? 0 : t->merge_count; }

ar_status ar_tokenizer_merge(const ar_tokenizer *t, const char **left, const char **right, int64_t i) {
    int64_t count = ar_tokenizer_merge_count(t);
    if (i < 0 || i >= count)
        return ar__fail(AR_ERR_ARG, "merge: found index %lld, expected one in [0, %lld)", (long long)i,
                        (long long)count);
    *left = t->tokens[t->merges[i].left].text;
    *right = t->tokens[t->merges[i].right].text;
    return AR_OK;
}

const char *ar_tokenizer_pre(const ar_tokenizer *t) { return t->pre.name; }
bool ar_tokenizer_adds_prefix_space(const ar_tokenizer *t) { return t->prefix_space; }
