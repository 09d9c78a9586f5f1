/* Merging one word: the pair of lowest rank first, the leftmost of equal ones, until no pair can merge.
 * Symbols are a linked list in an array and candidates a binary heap, so a word of n symbols costs O(n log
 * n): a whole book may be one word. The order of events, including which stale candidates still count, is
 * that of Word::merge_all in Hugging Face's tokenizers. */
#include "tokenizer.h"
#include <stdlib.h>
#include <string.h>

ar_status ar__bpe_push_id(ar__bpe *w, int32_t id) {
    void *data = w->ids;
    AR_TRY(ar__buffer_grow(&data, &w->capacity, w->count, w->count + 1, sizeof *w->ids));
    w->ids = data;
    w->ids[w->count++] = id;
    return AR_OK;
}

void ar__bpe_deinit(ar__bpe *w) {
    free(w->symbols);
    free(w->heap);
    free(w->mapped.data);
}

/* ---- the word's first symbols ---- */

static ar_status push_symbol(ar__bpe *w, int32_t id) {
    void *data = w->symbols;
    AR_TRY(ar__buffer_grow(&data, &w->symbol_capacity, w->symbol_count, w->symbol_count + 1,
                           sizeof *w->symbols));
    w->symbols = data;
    int32_t at = (int32_t)w->symbol_count++;
    w->symbols[at] = (ar__symbol){id, at - 1, -1};
    if (at > 0) w->symbols[at - 1].next = at;
    return AR_OK;
}

/* A character without a token of its own, as bytes; false when one of the bytes has no token either. */
static ar_status push_bytes(const ar_tokenizer *t, ar__bpe *w, const char *text, size_t bytes, bool *pushed) {
    *pushed = t->byte_fallback;
    for (size_t i = 0; i < bytes; i++) *pushed = *pushed && t->byte_ids[(uint8_t)text[i]] >= 0;
    for (size_t i = 0; *pushed && i < bytes; i++) AR_TRY(push_symbol(w, t->byte_ids[(uint8_t)text[i]]));
    return AR_OK;
}

/* Characters without token and bytes become unk, adjacent ones a single unk with fuse_unk, and nothing
 * without unk. A pending unk is not written before a character that falls back to bytes but after it: Hugging
 * Face's order. */
static ar_status split_chars(const ar_tokenizer *t, ar__bpe *w, const char *text, size_t bytes) {
    bool pending = false;
    for (size_t i = 0, step; i < bytes; i += step) {
        step = ar__utf8_bytes((uint8_t)text[i]);
        int32_t id = ar__vocab_find(t, text + i, step);
        if (id < 0) {
            bool pushed;
            AR_TRY(push_bytes(t, w, text + i, step, &pushed));
            if (pushed) continue;
            if (pending && !t->fuse_unk) AR_TRY(push_symbol(w, t->unk));
            pending = t->unk >= 0;
            continue;
        }
        if (pending) AR_TRY(push_symbol(w, t->unk));
        pending = false;
        AR_TRY(push_symbol(w, id));
    }
    return pending ? push_symbol(w, t->unk) : AR_OK;
}

/* Bytes missing from a byte-level vocabulary are unk, or nothing without unk. */
static ar_status split_bytes(const ar_tokenizer *t, ar__bpe *w, const char *text, size_t bytes) {
    bool after_unk = false;
    for (size_t i = 0; i < bytes; i++) {
        int32_t id = t->byte_ids[(uint8_t)text[i]];
        bool is_unk = id < 0;
        if (is_unk) id = t->unk;
        if (id >= 0 && !(is_unk && after_unk && t->fuse_unk)) AR_TRY(push_symbol(w, id));
        after_unk = is_unk;
    }
    return AR_OK;
}

/* ---- the heap, smallest order first ---- */

static ar_status heap_push(ar__bpe *w, ar__candidate c) {
    void *data = w->heap;
    AR_TRY(ar__buffer_grow(&data, &w->heap_capacity, w->heap_count, w->heap_count + 1, sizeof *w->heap));
    w->heap = data;
    size_t i = w->heap_count++;
    for (; i > 0 && w->heap[(i - 1) / 2].order > c.order; i = (i - 1) / 2) w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = c;
    return AR_OK;
}

static ar__candidate heap_pop(ar__bpe *w) {
    ar__candidate top = w->heap[0], last = w->heap[--w->heap_count];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < w->heap_count; i = child) {
        if (child + 1 < w->heap_count && w->heap[child + 1].order < w->heap[child].order) child++;
        if (w->heap[child].order >= last.order) break;
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = last;
    return top;
}

/* The pair that starts at symbol `at`, if it merges. */
static ar_status push_pair(const ar_tokenizer *t, ar__bpe *w, int32_t at) {
    const ar__symbol *s = &w->symbols[at];
    const ar__pair *pair = ar__merges_find(t, s->id, w->symbols[s->next].id);
    return pair ? heap_push(w, (ar__candidate){(uint64_t)pair->rank << 32 | (uint32_t)at, pair->made})
                : AR_OK;
}

static ar_status merge(const ar_tokenizer *t, ar__bpe *w) {
    w->heap_count = 0;
    for (size_t i = 0; i + 1 < w->symbol_count; i++) AR_TRY(push_pair(t, w, (int32_t)i));
    while (w->heap_count > 0) {
        ar__candidate top = heap_pop(w);
        int32_t at = (int32_t)(uint32_t)top.order;
        ar__symbol *s = &w->symbols[at];
        if (s->id < 0 || s->next < 0) continue;
        ar__symbol *right = &w->symbols[s->next];
        const ar__pair *pair = ar__merges_find(t, s->id, right->id);
        if (!pair || pair->made != top.made) continue; /* one of the two has changed since */
        s->id = top.made;
        s->next = right->next;
        right->id = -1;
        if (s->next >= 0) w->symbols[s->next].prev = at;
        if (s->prev >= 0) AR_TRY(push_pair(t, w, s->prev));
        if (s->next >= 0) AR_TRY(push_pair(t, w, at));
    }
    return AR_OK;
}

/* The id of a word that is a token as a whole, -1 if it is none. */
static ar_status whole_word(const ar_tokenizer *t, ar__bpe *w, int32_t *id, const char *text, size_t bytes) {
    if (t->kind == AR_TOK_BYTE_BPE) {
        w->mapped.bytes = 0;
        for (size_t i = 0; i < bytes; i++) {
            char c[2];
            AR_TRY(ar__text_append(&w->mapped, c, ar__byte_to_char(c, (uint8_t)text[i])));
        }
        text = w->mapped.data;
        bytes = w->mapped.bytes;
    }
    *id = ar__vocab_find(t, text, bytes);
    return AR_OK;
}

ar_status ar__bpe_word(const ar_tokenizer *t, ar__bpe *w, const char *text, size_t bytes) {
    if (bytes == 0) return AR_OK;
    if (t->ignore_merges) {
        int32_t id;
        AR_TRY(whole_word(t, w, &id, text, bytes));
        if (id >= 0) return ar__bpe_push_id(w, id);
    }
    w->symbol_count = 0;
    AR_TRY(t->kind == AR_TOK_BYTE_BPE ? split_bytes(t, w, text, bytes) : split_chars(t, w, text, bytes));
    AR_TRY(merge(t, w));
    for (size_t i = 0; i < w->symbol_count; i++)
        if (w->symbols[i].id >= 0) AR_TRY(ar__bpe_push_id(w, w->symbols[i].id));
    return AR_OK;
}
