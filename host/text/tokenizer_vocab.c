/* Tokens and merges with their hash tables: open addressing, at most half full, filled once. */
#include "tokenizer.h"
#include <stdlib.h>
#include <string.h>

#define MOST_MERGES ((int64_t)1 << 30) /* twice as many slots are counted in 32 bits */

static uint32_t hash_text(const char *text, size_t bytes) {
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < bytes; i++) h = (h ^ (uint8_t)text[i]) * 0x100000001b3u;
    return (uint32_t)(h ^ h >> 32);
}

static uint32_t hash_pair(uint64_t key) {
    uint64_t h = key * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 32);
}

/* A power of two of at least twice count. */
static uint32_t table_slots(uint64_t count) {
    uint32_t slots = 16;
    while (slots < 2 * count) slots *= 2;
    return slots;
}

ar_status ar__vocab_init(ar_tokenizer *t, int32_t vocab, int32_t token_count, size_t text_bytes) {
    uint32_t slots = table_slots((uint64_t)token_count);
    t->vocab = vocab;
    t->tokens = ar__alloc((size_t)vocab, sizeof *t->tokens);
    t->index = ar__alloc(slots, sizeof *t->index);
    t->arena_capacity = text_bytes + (size_t)token_count;
    t->arena = ar__alloc(t->arena_capacity, 1);
    t->index_mask = slots - 1;
    return t->tokens && t->index && t->arena ? AR_OK : AR_ERR_MEMORY;
}

/* The slot that holds this text, or the empty one where it belongs. */
static uint32_t find_slot(const ar_tokenizer *t, const char *text, size_t bytes) {
    uint32_t slot = hash_text(text, bytes) & t->index_mask;
    for (; t->index[slot] != 0; slot = (slot + 1) & t->index_mask) {
        const ar__token *token = &t->tokens[t->index[slot] - 1];
        if (token->bytes == bytes && memcmp(token->text, text, bytes) == 0) break;
    }
    return slot;
}

int32_t ar__vocab_find(const ar_tokenizer *t, const char *text, size_t bytes) {
    return t->index[find_slot(t, text, bytes)] - 1;
}

ar_status ar__vocab_add(ar_tokenizer *t, int32_t id, const char *text, size_t bytes, const char *what) {
    char a[AR__QUOTE_BYTES], b[AR__QUOTE_BYTES];
    ar__token *token = &t->tokens[id];
    if (token->text)
        return ar__fail(AR_ERR_FORMAT, "%s: token %s has id %d, which is already that of %s", what,
                        ar__quote(a, text, bytes), id, ar__quote(b, token->text, token->bytes));
    uint32_t slot = find_slot(t, text, bytes);
    if (t->index[slot] != 0)
        return ar__fail(AR_ERR_FORMAT, "%s: token %s: found ids %d and %d, expected one", what,
                        ar__quote(a, text, bytes), t->index[slot] - 1, id);
    char *copy = t->arena + t->arena_bytes;
    if (bytes > 0) memcpy(copy, text, bytes);
    copy[bytes] = 0;
    t->arena_bytes += bytes + 1;
    *token = (ar__token){.text = copy, .bytes = (uint32_t)bytes, .type = AR_TOKEN_NORMAL};
    t->index[slot] = id + 1;
    return AR_OK;
}

ar_status ar__merges_init(ar_tokenizer *t, int64_t count) {
    if (count > MOST_MERGES)
        return ar__fail(AR_ERR_FORMAT, "tokenizer: found %lld merges, expected at most %lld",
                        (long long)count, (long long)MOST_MERGES);
    uint32_t slots = table_slots((uint64_t)count);
    t->merges = ar__alloc((size_t)count, sizeof *t->merges);
    t->pairs = ar__alloc(slots, sizeof *t->pairs);
    t->pair_mask = slots - 1;
    return t->merges && t->pairs ? AR_OK : AR_ERR_MEMORY;
}

static uint64_t pair_key(int32_t left, int32_t right) { return ((uint64_t)left + 1) << 32 | (uint32_t)right; }

static ar__pair *find_pair(const ar_tokenizer *t, uint64_t key) {
    uint32_t slot = hash_pair(key) & t->pair_mask;
    while (t->pairs[slot].key != 0 && t->pairs[slot].key != key) slot = (slot + 1) & t->pair_mask;
    return &t->pairs[slot];
}

const ar__pair *ar__merges_find(const ar_tokenizer *t, int32_t left, int32_t right) {
    const ar__pair *pair = find_pair(t, pair_key(left, right));
    return pair->key != 0 ? pair : NULL;
}

ar_status ar__merges_add(ar_tokenizer *t, int32_t left, int32_t right, int32_t rank, const char *what) {
    char local[256], quoted[AR__QUOTE_BYTES];
    const ar__token *l = &t->tokens[left], *r = &t->tokens[right];
    size_t bytes = (size_t)l->bytes + r->bytes;
    char *joined = bytes <= sizeof local ? local : ar__alloc(bytes, 1);
    if (!joined) return AR_ERR_MEMORY;
    memcpy(joined, l->text, l->bytes);
    memcpy(joined + l->bytes, r->text, r->bytes);
    int32_t made = ar__vocab_find(t, joined, bytes);
    ar_status status = AR_OK;
    if (made < 0)
        status = ar__fail(AR_ERR_FORMAT, "%s: merge %lld makes %s, which is no token", what,
                          (long long)t->merge_count, ar__quote(quoted, joined, bytes));
    if (joined != local) free(joined);
    if (status != AR_OK) return status;
    t->merges[t->merge_count++] = (ar__merge){left, right, made, rank};
    uint64_t key = pair_key(left, right);
    *find_pair(t, key) = (ar__pair){key, rank, made};
    return AR_OK;
}

/* Scores for formats that keep them instead of merges: minus the rank of the first merge that makes a token,
 * and below all of those for tokens no merge makes. Control, unknown and byte tokens have 0, as in
 * SentencePiece. */
static void make_scores(ar_tokenizer *t) {
    for (int32_t id = 0; id < t->vocab; id++) {
        ar__token *token = &t->tokens[id];
        bool plain = token->text && (token->type == AR_TOKEN_NORMAL || token->type == AR_TOKEN_USER);
        token->score = plain ? -(float)t->merge_count - (float)id - 1.0f : 0.0f;
    }
    for (int64_t i = t->merge_count - 1; i >= 0; i--) {
        ar__token *made = &t->tokens[t->merges[i].made];
        if (made->type == AR_TOKEN_NORMAL || made->type == AR_TOKEN_USER)
            made->score = -(float)t->merges[i].rank;
    }
}

void ar__vocab_finish(ar_tokenizer *t) {
    for (int32_t b = 0; b < 256; b++) {
        static const char digits[] = "0123456789ABCDEF";
        char text[6] = {'<', '0', 'x', digits[b >> 4], digits[b & 15], '>'};
        size_t bytes = t->kind == AR_TOK_SPM ? sizeof text : ar__byte_to_char(text, (uint8_t)b);
        t->byte_ids[b] = ar__vocab_find(t, text, bytes);
        if (t->kind == AR_TOK_SPM && t->byte_fallback && t->byte_ids[b] >= 0)
            t->tokens[t->byte_ids[b]].type = AR_TOKEN_BYTE;
    }
    if (t->kind == AR_TOK_SPM && t->unk >= 0) t->tokens[t->unk].type = AR_TOKEN_UNKNOWN;
    if (!t->scores_given) make_scores(t);
}
