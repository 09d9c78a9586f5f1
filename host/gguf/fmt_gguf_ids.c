/* Whether a GGUF file's tokenizer gives the ids that the model's own gives: what GGUF cannot say about a
 * tokenizer changes ids without a word (Metaspace's prefix of the first word alone, NFC, ignore_merges,
 * tokens that take white space). The key-values are made in memory and read as a file's are, and both
 * tokenizers encode fixed texts, every token's own text, texts around added tokens, and random mixtures. */
#include "fmt_gguf.h"
#include "notes.h"
#include "tokenizer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MADE_COUNT  200
#define ADDED_COUNT 32
#define TOGETHER    512 /* tokens whose texts are one text */

/* ---- the tokenizer that the file would have ---- */

static ar_status make_fields(ar__text *file, const ar_open_model *m, const ar_output_plan *plan) {
    ar_write_source src = {.model = m, .plan = plan};
    ar__gguf_out o = {.memory = file};
    ar__gguf_put(&o, "GGUF", 4);
    ar__gguf_put_int(&o, AR__GGUF_VERSION, 4);
    ar__gguf_put_int(&o, 0, 8);
    ar__gguf_put_int(&o, 0, 8); /* the number of fields, once known */
    AR_TRY(ar__gguf_put_fields(&o, &src, 0));
    ar__gguf_store((uint8_t *)file->data + 16, o.field_count, 8);
    return AR_OK;
}

ar_status ar__gguf_tokenizer_as_written(ar_tokenizer **t, const ar_open_model *m,
                                        const ar_output_plan *plan) {
    ar__text file = {0};
    ar__gguf g = {0};
    ar_status status;
    *t = NULL;
    AR_GO(make_fields(&file, m, plan));
    AR_GO(ar__gguf_parse(&g, (const uint8_t *)file.data, file.bytes, m->path));
    AR_GO(ar__gguf_tokenizer(t, &g));
done:
    ar__gguf_deinit(&g);
    free(file.data);
    return status;
}

/* ---- texts ---- */

static const char *const lines[] = {
    "Hello, world!",
    " a",
    "a ",
    "  two  spaces ",
    "\n\n\n x\n",
    "\r\n\t",
    "I'll've 12345 'S can't HE'LL",
    "x1y2 3.14159 1,000,000",
    "cafe\xcc\x81 caf\xc3\xa9 \xe2\x84\xab \xef\xac\x81 \xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab",
    "Gr\xc3\xb6\xc3\237e, na\xc3\xafve", /* octal ends before the e */
    "\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82, \xd0\xbc\xd0\xb8\xd1\x80!",
    "\xe6\x9d\xb1\xe4\xba\xac\xe3\x81\xaf\xe6\x97\xa5\xe6\x9c\xac",
    "\xf0\x9f\x99\x82\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7 \xef\xbf\xbd",
    "\xe2\x96\x81 \xe2\x96\x81\xe2\x96\x81",
    "<0x41> <s> </s> <unk>",
    "for (int i = 0; i < 10; i++) {\n\tsum += w[i];\n}\n",
    "...!!!?-?---___***",
    "\xc2\xa0\xe3\x80\x80\xe2\x80\xa8\xc2\x85\x01\x7f",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
#define LINES (int32_t)(sizeof lines / sizeof *lines)

/* A walk over both tokenizers' answers. */
typedef struct comparison {
    const ar_tokenizer *own, *file;
    int32_t texts, different;
    char first[AR__QUOTE_BYTES];
} comparison;

static ar_status is_same(bool *same, const comparison *c, const char *text, size_t bytes, bool special) {
    int32_t *a = NULL, *b = NULL;
    int64_t a_count = 0, b_count = 0;
    ar_status status = ar_tokenizer_encode(c->own, &a, &a_count, text, bytes, special);
    if (status == AR_OK) status = ar_tokenizer_encode(c->file, &b, &b_count, text, bytes, special);
    *same = status == AR_OK && a_count == b_count &&
            (a_count == 0 || memcmp(a, b, (size_t)a_count * sizeof *a) == 0);
    free(a);
    free(b);
    return status;
}

static ar_status compare(comparison *c, const char *text, size_t bytes, bool special) {
    bool same;
    AR_TRY(is_same(&same, c, text, bytes, special));
    c->texts++;
    if (!same && c->different++ == 0) ar__quote(c->first, text, bytes);
    return AR_OK;
}

/* A token's text as it stands in one that is encoded; free(). */
static ar_status token_text(char **text, const ar_tokenizer *t, int32_t id) {
    char *raw = NULL;
    size_t bytes = 0;
    AR_TRY(ar_tokenizer_decode(t, &raw, &bytes, &id, 1, false, false));
    ar_status status = ar__utf8_repair(text, raw, bytes);
    free(raw);
    return status;
}

static bool is_plain(const ar_tokenizer *t, int32_t id) {
    ar_token_type type = ar_tokenizer_token_type(t, id);
    return ar_tokenizer_token(t, id, NULL) && (type == AR_TOKEN_NORMAL || type == AR_TOKEN_USER);
}

/* Tokens [first, first + TOGETHER), a line each; where they differ, again one by one. */
static ar_status compare_tokens(comparison *c, int32_t first) {
    ar__text text = {0};
    bool same = true;
    ar_status status = AR_OK;
    for (int32_t pass = 0; pass < 2 && status == AR_OK; pass++) {
        for (int32_t id = first; id < first + TOGETHER && status == AR_OK; id++) {
            char *one = NULL;
            if (!is_plain(c->own, id)) continue;
            status = token_text(&one, c->own, id);
            if (status == AR_OK && pass == 1) status = compare(c, one, strlen(one), false);
            if (status == AR_OK && pass == 0) status = ar__text_append(&text, one, strlen(one));
            if (status == AR_OK && pass == 0) status = ar__text_append(&text, "\n", 1);
            free(one);
        }
        if (status == AR_OK && pass == 0) status = is_same(&same, c, text.data, text.bytes, false);
        if (same) c->texts++;
        if (same) break;
    }
    free(text.data);
    return status;
}

/* Added tokens among words, spaces and each other. */
static ar_status compare_added(comparison *c, int32_t id, int32_t other) {
    static const char *const around[][3] = {
        {"", "", ""}, {"a", "b", "c"}, {"a ", " b ", " c"}, {" ", "\n", ""}, {"Hello", "", "  x"}};
    const char *text = ar_tokenizer_token(c->own, id, NULL), *next = ar_tokenizer_token(c->own, other, NULL);
    ar_status status = AR_OK;
    for (size_t i = 0; i < sizeof around / sizeof *around && status == AR_OK; i++) {
        ar__text joined = {0};
        const char *const parts[] = {around[i][0], text, around[i][1], next, around[i][2]};
        for (int32_t p = 0; p < 5 && status == AR_OK; p++)
            status = ar__text_append(&joined, parts[p], strlen(parts[p]));
        if (status == AR_OK) status = compare(c, joined.data, joined.bytes, true);
        free(joined.data);
    }
    return status;
}

static ar_status compare_made(comparison *c, uint32_t *state) {
    ar__text text = {0};
    ar_status status = AR_OK;
    *state = *state * 1664525u + 1013904223u;
    for (uint32_t n = *state >> 29; n < 9 && status == AR_OK; n++) {
        char *piece = NULL;
        *state = *state * 1664525u + 1013904223u;
        uint32_t pick = *state >> 8;
        if (pick % 3 == 0) {
            status = ar__text_append(&text, lines[pick / 3 % (uint32_t)LINES],
                                     strlen(lines[pick / 3 % (uint32_t)LINES]));
        } else if (is_plain(c->own, (int32_t)(pick % (uint32_t)ar_tokenizer_vocab(c->own)))) {
            status = token_text(&piece, c->own, (int32_t)(pick % (uint32_t)ar_tokenizer_vocab(c->own)));
            if (status == AR_OK) status = ar__text_append(&text, piece, strlen(piece));
        } else
            status = ar__text_append(&text, " ", 1);
        free(piece);
    }
    if (status == AR_OK) status = compare(c, text.data, text.bytes, false);
    free(text.data);
    return status;
}

static ar_status compare_all(comparison *c) {
    int32_t last = -1, added = 0, vocab = ar_tokenizer_vocab(c->own);
    uint32_t state = 1;
    for (int32_t i = 0; i < LINES; i++) AR_TRY(compare(c, lines[i], strlen(lines[i]), false));
    for (int32_t id = 0; id < vocab; id += TOGETHER) AR_TRY(compare_tokens(c, id));
    for (int32_t id = 0; id < vocab && added < ADDED_COUNT; id++) {
        if (!c->own->tokens[id].added || !ar_tokenizer_token(c->own, id, NULL)) continue;
        AR_TRY(compare_added(c, id, last < 0 ? id : last));
        last = id;
        added++;
    }
    for (int32_t i = 0; i < MADE_COUNT; i++) AR_TRY(compare_made(c, &state));
    return AR_OK;
}

/* ---- why ---- */

static bool normalizes(const ar_tokenizer *t, ar__norm_kind kind) {
    for (int32_t i = 0; i < t->norm_count; i++)
        if (t->norm[i].kind == kind) return true;
    return false;
}

static bool any_added(const ar__added_set *set, bool (*is)(const ar__added *)) {
    for (int32_t i = 0; i < set->count; i++)
        if (is(&set->items[i])) return true;
    return false;
}

static bool takes_space(const ar__added *a) { return a->lstrip || a->rstrip; }
static bool is_single(const ar__added *a) { return a->single_word; }
static bool is_any(const ar__added *a) { return a->bytes > 0; }

static void add_cause(char *out, size_t bytes, bool is, const char *cause) {
    size_t used = strlen(out);
    if (is && used < bytes) snprintf(out + used, bytes - used, "%s%s", used ? ", " : "", cause);
}

/* What the two differ in, of which GGUF has no word. */
static void list_causes(char *out, size_t bytes, const ar_tokenizer *own, const ar_tokenizer *file) {
    static const char *const schemes[] = {"none at all", "of the first word alone",
                                          "of every stretch of text"};
    char prefix[64];
    out[0] = 0;
    snprintf(prefix, sizeof prefix, "Metaspace's prefix, %s", schemes[own->pre.metaspace_prepend]);
    add_cause(out, bytes, own->pre.metaspace, prefix);
    add_cause(out, bytes, normalizes(own, AR__NORM_NFC) && !normalizes(file, AR__NORM_NFC),
              "NFC normalization");
    add_cause(out, bytes, !normalizes(own, AR__NORM_NFC) && normalizes(file, AR__NORM_NFC),
              "no NFC normalization, which this pre-split implies");
    add_cause(out, bytes, own->ignore_merges && !file->ignore_merges,
              "whole words as tokens (ignore_merges)");
    add_cause(out, bytes, !own->ignore_merges && file->ignore_merges,
              "no whole words as tokens (ignore_merges false), which this pre-split implies");
    add_cause(out, bytes, !own->byte_fallback && file->byte_fallback, "no byte fallback");
    add_cause(out, bytes, own->kind == AR_TOK_SPM && !own->fuse_unk, "unknown characters not fused");
    add_cause(out, bytes,
              any_added(&own->raw_added, takes_space) || any_added(&own->normalized_added, takes_space),
              "added tokens that take white space (lstrip, rstrip)");
    add_cause(out, bytes,
              any_added(&own->raw_added, is_single) || any_added(&own->normalized_added, is_single),
              "added tokens that are single words");
    add_cause(out, bytes, any_added(&own->normalized_added, is_any),
              "added tokens that are looked for normalized");
    add_cause(out, bytes, !out[0], "other normalizing or splitting");
}

ar_status ar__gguf_remarks(ar_notes *notes, const ar_open_model *m, const ar_output_plan *plan) {
    comparison c = {.own = m->tokenizer};
    ar_tokenizer *file = NULL;
    char causes[400];
    ar_status status = AR_OK;
    if (!m->tokenizer)
        return ar__note(notes, "%s: has no tokenizer: the GGUF file will have none either", m->path);
    AR_TRY(ar__gguf_tokenizer_as_written(&file, m, plan));
    c.file = file;
    if (file) AR_GO(compare_all(&c));
    if (c.different > 0) {
        list_causes(causes, sizeof causes, m->tokenizer, file);
        AR_GO(ar__note(
            notes,
            "%s: as a GGUF file it gives other ids for %d of %d texts, first for %s; GGUF cannot say: %s",
            m->path, (int)c.different, (int)c.texts, c.first, causes));
    }
done:
    ar_tokenizer_close(file);
    return status;
}

ar_status ar__gguf_verify_tokenizer(const char *path, const ar_tokenizer *read, const ar_write_source *src) {
    comparison c = {.file = read};
    ar_tokenizer *expected = NULL;
    ar_status status = AR_OK;
    if (!src->model->tokenizer) return AR_OK;
    AR_TRY(ar__gguf_tokenizer_as_written(&expected, src->model, src->plan));
    c.own = expected;
    if (!read || ar_tokenizer_vocab(read) != ar_tokenizer_vocab(expected))
        AR_GO(ar__fail(AR_ERR_CHECK, "%s: the tokenizer read back has other tokens than that written", path));
    AR_GO(compare_all(&c));
    if (c.different > 0)
        AR_GO(ar__fail(AR_ERR_CHECK, "%s: the tokenizer read back gives other ids for %s", path, c.first));
done:
    ar_tokenizer_close(expected);
    return status;
}
