/* A tokenizer from the arrays that GGUF keeps. SentencePiece vocabularies come with scores instead of merges
 * there: any two adjacent symbols whose texts together are a token may merge, the highest score first. That
 * is the same as merges ranked by the score of what they make, equal scores sharing a rank. */
#include "tokenizer.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_MADE 1024 /* bytes of a token that merges make: cutting one takes the square of them */

static ar_status check_data(const ar_tokenizer_data *d) {
    if (d->count <= 0 || d->count > AR__MAX_TOKENS)
        return ar__fail(AR_ERR_FORMAT, "%s: found %d tokens, expected 1 to %d", d->what, d->count,
                        AR__MAX_TOKENS);
    if (d->merge_count < 0 || d->merge_count > INT32_MAX)
        return ar__fail(AR_ERR_FORMAT, "%s: found %lld merges, expected at most %d", d->what,
                        (long long)d->merge_count, INT32_MAX);
    if (d->kind == AR_TOK_SPM && !d->scores && d->merge_count == 0)
        return ar__fail(AR_ERR_FORMAT, "%s: found neither scores nor merges, expected one of them", d->what);
    for (int32_t id = 0; d->scores && id < d->count; id++)
        if (!isfinite(d->scores[id]))
            return ar__fail(AR_ERR_FORMAT, "%s: score of token %d: found %g", d->what, id, d->scores[id]);
    for (int32_t id = 0; d->types && id < d->count; id++)
        if (d->types[id] < AR_TOKEN_NORMAL || d->types[id] > AR_TOKEN_BYTE)
            return ar__fail(AR_ERR_FORMAT, "%s: type of token %d: found %d, expected 1 to 6", d->what, id,
                            d->types[id]);
    return AR_OK;
}

static ar_status add_tokens(ar_tokenizer *t, const ar_tokenizer_data *d) {
    size_t bytes = 0;
    for (int32_t id = 0; id < d->count; id++) bytes += d->token_bytes[id];
    char what[512];
    snprintf(what, sizeof what, "%s: token", d->what);
    AR_TRY(ar__vocab_init(t, d->count, d->count, bytes));
    for (int32_t id = 0; id < d->count; id++) {
        AR_TRY(ar__utf8_check(d->tokens[id], d->token_bytes[id], what));
        AR_TRY(ar__vocab_add(t, id, d->tokens[id], d->token_bytes[id], d->what));
        ar__token *token = &t->tokens[id];
        int32_t type = d->types ? d->types[id] : AR_TOKEN_NORMAL;
        if (!d->types && (id == d->bos || id == d->eos)) type = AR_TOKEN_CONTROL;
        if (!d->types && id == d->unk) type = AR_TOKEN_UNKNOWN;
        token->type = (uint8_t)type;
        token->special = type == AR_TOKEN_CONTROL || type == AR_TOKEN_UNKNOWN;
        token->added = token->special || type == AR_TOKEN_USER;
        if (d->scores) token->score = d->scores[id];
    }
    return AR_OK;
}

/* Merges are "left right"; byte-level tokens hold no space, and SentencePiece's hold U+2581 for it. */
static ar_status add_merges(ar_tokenizer *t, const ar_tokenizer_data *d) {
    AR_TRY(ar__merges_init(t, d->merge_count));
    for (int64_t i = 0; i < d->merge_count; i++) {
        const char *left = d->merges[i], *space = strchr(left, ' ');
        int32_t l = space ? ar__vocab_find(t, left, (size_t)(space - left)) : -1;
        int32_t r = space ? ar__vocab_find(t, space + 1, strlen(space + 1)) : -1;
        if (l < 0 || r < 0) {
            char quoted[AR__QUOTE_BYTES];
            return ar__fail(AR_ERR_FORMAT,
                            "%s: merge %lld: found %s, expected two tokens with a space between", d->what,
                            (long long)i, ar__quote(quoted, left, strlen(left)));
        }
        AR_TRY(ar__merges_add(t, l, r, (int32_t)i, d->what));
    }
    return AR_OK;
}

/* ---- merges from scores ---- */

typedef struct scored {
    float score;
    int32_t id;
} scored;

static int highest_first(const void *a, const void *b) {
    const scored *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static bool can_be_made(const ar__token *token) {
    return token->type == AR_TOKEN_NORMAL || token->type == AR_TOKEN_USER || token->type == AR_TOKEN_UNUSED;
}

/* Every way to cut a token in two tokens; without `add` only counts them. */
static ar_status cut_token(ar_tokenizer *t, int64_t *count, int32_t id, int32_t rank, bool add,
                           const char *what) {
    const ar__token *token = &t->tokens[id];
    if (token->bytes > MOST_MADE)
        return ar__fail(AR_ERR_FORMAT, "%s: token %d: found %u bytes, expected at most %d", what, (int)id,
                        (unsigned)token->bytes, MOST_MADE);
    for (size_t at = 0; at < token->bytes;) {
        at += ar__utf8_bytes((uint8_t)token->text[at]);
        if (at >= token->bytes) break;
        int32_t left = ar__vocab_find(t, token->text, at);
        int32_t right = left < 0 ? -1 : ar__vocab_find(t, token->text + at, token->bytes - at);
        if (right < 0 || !can_be_made(&t->tokens[left]) || !can_be_made(&t->tokens[right])) continue;
        ++*count;
        if (add) AR_TRY(ar__merges_add(t, left, right, rank, what));
    }
    return AR_OK;
}

static ar_status derive_merges(ar_tokenizer *t, const char *what) {
    scored *order = ar__alloc((size_t)t->vocab, sizeof *order);
    if (!order) return AR_ERR_MEMORY;
    int32_t made = 0, rank = 0;
    int64_t count = 0, added = 0;
    ar_status status = AR_OK;
    for (int32_t id = 0; id < t->vocab; id++)
        if (can_be_made(&t->tokens[id])) order[made++] = (scored){t->tokens[id].score, id};
    qsort(order, (size_t)made, sizeof *order, highest_first);
    for (int32_t i = 0; i < made && status == AR_OK; i++)
        status = cut_token(t, &count, order[i].id, 0, false, what);
    if (status == AR_OK) status = ar__merges_init(t, count);
    for (int32_t i = 0; i < made && status == AR_OK; i++) {
        if (i > 0 && order[i].score != order[i - 1].score) rank++;
        status = cut_token(t, &added, order[i].id, rank, true, what);
    }
    t->merges_derived = true;
    free(order);
    return status;
}

/* ---- stages and added tokens ---- */

static ar_status add_stages(ar_tokenizer *t, const ar_tokenizer_data *d) {
    bool spm = d->kind == AR_TOK_SPM;
    t->prefix_space = d->add_prefix_space;
    t->decoder = (ar__decoder){
        .byte_level = !spm, .space = spm, .byte_fallback = spm, .strip = spm && d->add_prefix_space};
    if (!spm) {
        t->pre.byte_level = true;
        t->pre.byte_prefix = d->add_prefix_space;
        t->ignore_merges = d->pre && strcmp(d->pre, "llama-bpe") == 0;
        if (d->pre && strcmp(d->pre, "qwen2") == 0)
            AR_TRY(ar__norm_add(t, AR__NORM_NFC, NULL, NULL, d->what));
        return ar__pre_add_named(t, d->pre ? d->pre : "missing", d->what);
    }
    t->byte_fallback = t->fuse_unk = true;
    if (d->add_prefix_space) AR_TRY(ar__norm_add(t, AR__NORM_PREPEND, NULL, AR__SPACE, d->what));
    return ar__norm_add(t, AR__NORM_REPLACE, " ", AR__SPACE, d->what);
}

static ar_status add_added(ar_tokenizer *t, const char *what) {
    int32_t count = 0;
    for (int32_t id = 0; id < t->vocab; id++) count += t->tokens[id].added && t->tokens[id].bytes > 0;
    if (count == 0) return AR_OK;
    ar__added *items = ar__alloc((size_t)count, sizeof *items);
    if (!items) return AR_ERR_MEMORY;
    ar_status status = AR_OK;
    count = 0;
    for (int32_t id = 0; id < t->vocab && status == AR_OK; id++) {
        const ar__token *token = &t->tokens[id];
        if (!token->added || token->bytes == 0) continue;
        ar__text copy = {0};
        status = ar__text_append(&copy, token->text, token->bytes);
        if (status == AR_OK)
            items[count++] =
                (ar__added){.pattern = copy.data, .bytes = copy.bytes, .id = id, .special = token->special};
    }
    ar_status of_set = ar__added_init(&t->raw_added, items, count, what);
    return status != AR_OK ? status : of_set;
}

static ar_status fill(ar_tokenizer *t, const ar_tokenizer_data *d) {
    AR_TRY(check_data(d));
    t->kind = d->kind;
    t->scores_given = d->scores != NULL;
    AR_TRY(add_tokens(t, d));
    AR_TRY(d->kind == AR_TOK_SPM && d->merge_count == 0 ? derive_merges(t, d->what) : add_merges(t, d));
    AR_TRY(add_stages(t, d));
    AR_TRY(add_added(t, d->what));
    ar_tokenizer_set_special(t, d->bos, d->eos, d->unk);
    if (d->add_bos && t->bos >= 0) t->prefix[t->prefix_count++] = t->bos;
    t->appends = d->add_eos;
    for (int32_t id = t->vocab - 1; d->unk < 0 && id >= 0; id--)
        if (t->tokens[id].type == AR_TOKEN_UNKNOWN) t->unk = id;
    ar__vocab_finish(t);
    return AR_OK;
}

ar_status ar_tokenizer_build(ar_tokenizer **t, const ar_tokenizer_data *data) {
    *t = NULL;
    ar_tokenizer *made = ar__alloc(1, sizeof *made);
    if (!made) return AR_ERR_MEMORY;
    made->unk = made->bos = made->eos = -1;
    made->pre.name = "default";
    ar_tokenizer_data named = *data;
    if (!named.what) named.what = "tokenizer";
    ar_status status = fill(made, &named);
    if (status == AR_OK)
        *t = made;
    else
        ar_tokenizer_close(made);
    return status;
}
