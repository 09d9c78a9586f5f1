/* Tokens on their way from older files into a tokenizer. */
#include "tokenizer_files.h"
#include <stdlib.h>
#include <string.h>

static ar_status grow(ar__token_list *l, int32_t count) {
    int32_t capacity = count > 2 * l->capacity ? count + 64 : 2 * l->capacity;
    ar__token_list made = {.tokens = ar__alloc((size_t)capacity, sizeof *made.tokens),
                           .token_bytes = ar__alloc((size_t)capacity, sizeof *made.token_bytes),
                           .scores = ar__alloc((size_t)capacity, sizeof *made.scores),
                           .types = ar__alloc((size_t)capacity, sizeof *made.types),
                           .count = l->count,
                           .capacity = capacity};
    if (!made.tokens || !made.token_bytes || !made.scores || !made.types) {
        ar__token_list_deinit(&made);
        return AR_ERR_MEMORY;
    }
    size_t used = (size_t)l->count;
    if (used) {
        memcpy(made.tokens, l->tokens, used * sizeof *made.tokens);
        memcpy(made.token_bytes, l->token_bytes, used * sizeof *made.token_bytes);
        memcpy(made.scores, l->scores, used * sizeof *made.scores);
        memcpy(made.types, l->types, used * sizeof *made.types);
    }
    ar__token_list_deinit(l);
    *l = made;
    return AR_OK;
}

ar_status ar__token_list_put(ar__token_list *l, int64_t id, const char *text, size_t bytes, float score,
                             int32_t type, const char *what) {
    char a[AR__QUOTE_BYTES], b[AR__QUOTE_BYTES];
    if (id < 0 || id >= AR__MAX_TOKENS)
        return ar__fail(AR_ERR_FORMAT, "%s: token %s: found id %lld, expected one in [0, %d)", what,
                        ar__quote(a, text, bytes), (long long)id, AR__MAX_TOKENS);
    if (id >= l->capacity) AR_TRY(grow(l, (int32_t)id + 1));
    if (id >= l->count) l->count = (int32_t)id + 1;
    if (l->tokens[id] && (l->token_bytes[id] != bytes || memcmp(l->tokens[id], text, bytes) != 0))
        return ar__fail(AR_ERR_FORMAT, "%s: id %lld: found %s and %s, expected one token", what,
                        (long long)id, ar__quote(a, l->tokens[id], l->token_bytes[id]),
                        ar__quote(b, text, bytes));
    if (!l->tokens[id]) l->scores[id] = score;
    l->tokens[id] = text;
    l->token_bytes[id] = bytes;
    l->types[id] = type;
    return AR_OK;
}

void ar__token_list_deinit(ar__token_list *l) {
    free(l->tokens);
    free(l->token_bytes);
    free(l->scores);
    free(l->types);
    *l = (ar__token_list){0};
}
