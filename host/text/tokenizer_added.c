/* Added tokens in text: the leftmost, then the longest, that lies at a place; never overlapping. */
#include "tokenizer.h"
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static int by_first_byte_then_longest(const void *a, const void *b) {
    const ar__added *x = a, *y = b;
    uint8_t first_x = (uint8_t)x->pattern[0], first_y = (uint8_t)y->pattern[0];
    if (first_x != first_y) return first_x < first_y ? -1 : 1;
    if (x->bytes != y->bytes) return x->bytes > y->bytes ? -1 : 1;
    return memcmp(x->pattern, y->pattern, x->bytes);
}

ar_status ar__added_init(ar__added_set *set, ar__added *items, int32_t count, const char *what) {
    char quoted[AR__QUOTE_BYTES];
    set->items = items;
    set->count = count;
    if (count > 0) qsort(items, (size_t)count, sizeof *items, by_first_byte_then_longest);
    for (int32_t i = 0; i < count; i++) {
        set->of_byte[(uint8_t)items[i].pattern[0] + 1]++;
        if (i > 0 && by_first_byte_then_longest(&items[i - 1], &items[i]) == 0)
            return ar__fail(AR_ERR_FORMAT, "%s: added tokens %d and %d are both %s", what, items[i - 1].id,
                            items[i].id, ar__quote(quoted, items[i].pattern, items[i].bytes));
    }
    for (int32_t b = 0; b < 256; b++) set->of_byte[b + 1] += set->of_byte[b];
    return AR_OK;
}

void ar__added_deinit(ar__added_set *set) {
    for (int32_t i = 0; i < set->count; i++) free(set->items[i].pattern);
    free(set->items);
}

static const ar__added *longest_at(const ar__added_set *set, const char *text, size_t left) {
    uint8_t first = (uint8_t)text[0];
    for (int32_t i = set->of_byte[first]; i < set->of_byte[first + 1]; i++)
        if (set->items[i].bytes <= left && memcmp(set->items[i].pattern, text, set->items[i].bytes) == 0)
            return &set->items[i];
    return NULL;
}

/* \w of Unicode Technical Standard 18. Circled and squared letters are symbols by category, but alphabetic.
 */
static bool is_word(uint32_t c) {
    if ((c >= 0x24b6 && c <= 0x24e9) || c == 0x200c || c == 0x200d) return true;
    if ((c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) || (c >= 0x1f170 && c <= 0x1f189))
        return true;
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC: return true;
    default: return false;
    }
}

/* Where the character before `at` starts; at > 0. */
static size_t step_back(const char *text, size_t at) {
    do at--;
    while (at > 0 && ((uint8_t)text[at] & 0xc0) == 0x80);
    return at;
}

static bool is_single_word(const char *text, size_t bytes, size_t start, size_t end) {
    size_t step;
    if (start > 0 && is_word(ar__utf8_char(text + step_back(text, start), &step))) return false;
    return end >= bytes || !is_word(ar__utf8_char(text + end, &step));
}

static size_t skip_spaces(const char *text, size_t bytes, size_t at) {
    size_t step;
    while (at < bytes && ar__utf8_is_space(ar__utf8_char(text + at, &step))) at += step;
    return at;
}

static size_t skip_spaces_back(const char *text, size_t at) {
    size_t step;
    while (at > 0) {
        size_t before = step_back(text, at);
        if (!ar__utf8_is_space(ar__utf8_char(text + before, &step))) break;
        at = before;
    }
    return at;
}

bool ar__added_next(const ar__added_set *set, ar__added_walk *w, const char *text, size_t bytes,
                    bool parse_special) {
    w->gap = w->end;
    while (set->count > 0 && w->at < bytes) {
        const ar__added *token = longest_at(set, text + w->at, bytes - w->at);
        if (!token) {
            w->at++;
            continue;
        }
        size_t start = w->at, end = start + token->bytes;
        w->at = end; /* passed over or not, nothing inside it is looked at again */
        if (token->special && !parse_special) continue;
        if (token->single_word && !is_single_word(text, bytes, start, end)) continue;
        if (token->lstrip) start = skip_spaces_back(text, start);
        if (start < w->gap) start = w->gap; /* white space an earlier token has taken */
        w->start = start;
        w->end = token->rstrip ? skip_spaces(text, bytes, end) : end;
        w->id = token->id;
        return true;
    }
    w->start = bytes;
    return false;
}
