/* Text as Python's str sees it: made of characters, with its methods' rules. */
#include "jinja_inside.h"
#include <string.h>
#include <utf8proc.h>

/* ---- making text ---- */

ar_status ar__jbuild_add(ar__jbuild *b, const char *text, size_t bytes) {
    if (bytes == 0) return AR_OK;
    AR_TRY(ar__jwork(b->r, bytes + 4)); /* much text is made byte by byte */
    if (b->capacity - b->bytes < bytes) {
        size_t capacity = 2 * (b->bytes + bytes) + 32;
        char *grown = ar__jtake(&b->r->arena, capacity, 1);
        if (!grown) return AR_ERR_MEMORY;
        if (b->bytes) memcpy(grown, b->data, b->bytes);
        b->data = grown;
        b->capacity = capacity;
    }
    memcpy(b->data + b->bytes, text, bytes);
    b->bytes += bytes;
    return AR_OK;
}

ar_status ar__jbuild_string(ar__jbuild *b, ar__jstring s) { return ar__jbuild_add(b, s.data, s.bytes); }

ar__jstring ar__jbuild_done(const ar__jbuild *b) { return (ar__jstring){b->data ? b->data : "", b->bytes}; }

/* ---- looking at it ---- */

bool ar__jis_space(uint32_t c) { return ar__utf8_is_space(c) || (c >= 0x1c && c <= 0x1f); }

bool ar__jis_line_end(uint32_t c) {
    return (c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

size_t ar__jstring_length(ar__jstring s) {
    size_t n = 0;
    for (size_t i = 0; i < s.bytes; i++) n += ((uint8_t)s.data[i] & 0xc0) != 0x80;
    return n;
}

ar__jstring ar__jstring_part(ar__jstring s, size_t from, size_t to) {
    size_t at = 0, n = 0, begin = s.bytes;
    for (; at < s.bytes; at++) {
        if (((uint8_t)s.data[at] & 0xc0) == 0x80) continue;
        if (n == from) begin = at;
        if (n++ == to) break;
    }
    return begin > at ? (ar__jstring){"", 0} : (ar__jstring){s.data + begin, at - begin};
}

/* How many of what's bytes stand at p. */
static size_t same_bytes(const char *p, ar__jstring what) {
    size_t n = 0;
    while (n < what.bytes && p[n] == what.data[n]) n++;
    return n;
}

/* From `from` on, or from the end backwards. Comparing is counted as it goes: it may take the product of
 * both lengths. */
static ar_status find(size_t *at, ar__jrun *r, ar__jstring s, ar__jstring what, size_t from, bool last) {
    size_t places = s.bytes < what.bytes + from ? 0 : s.bytes - what.bytes - from + 1, work = 0;
    *at = SIZE_MAX;
    for (size_t i = 0; i < places; i++) {
        size_t place = last ? places - 1 - i : from + i, same = same_bytes(s.data + place, what);
        work += same + 1;
        if (same == what.bytes) {
            *at = place;
            break;
        }
        if (work > 1 << 16) {
            AR_TRY(ar__jwork(r, work));
            work = 0;
        }
    }
    return ar__jwork(r, work);
}

ar_status ar__jstring_find(size_t *at, ar__jrun *r, ar__jstring s, ar__jstring what, size_t from) {
    return find(at, r, s, what, from, false);
}

ar_status ar__jstring_find_last(size_t *at, ar__jrun *r, ar__jstring s, ar__jstring what) {
    return find(at, r, s, what, 0, true);
}

/* Is the character at s.data[at] among chars? *touched grows by what was looked at. */
static bool goes(ar__jstring s, size_t at, size_t step, const ar__jstring *chars, uint64_t *touched) {
    *touched += 8 * step; /* characters are decoded: dearer than comparing bytes */
    if (!chars) return ar__jis_space(ar__utf8_char(s.data + at, &step));
    ar__jstring one = {s.data + at, step};
    for (size_t i = 0, n; i < chars->bytes; i += n) {
        ar__utf8_char(chars->data + i, &n);
        *touched += 8 * n;
        if (ar__jstring_equal(one, (ar__jstring){chars->data + i, n})) return true;
    }
    return false;
}

static ar_status counted(ar__jrun *r, uint64_t *touched) {
    size_t bytes = (size_t)*touched;
    *touched = 0;
    return ar__jwork(r, bytes);
}

/* Counted by the character: with many chars it may take the product of both lengths. */
ar_status ar__jstring_strip(ar__jstring *out, ar__jrun *r, ar__jstring s, const ar__jstring *chars,
                            int sides) {
    size_t from = 0, to = s.bytes, step;
    uint64_t touched = 0;
    while (sides & AR__J_LEFT && from < to) {
        ar__utf8_char(s.data + from, &step);
        if (!goes(s, from, step, chars, &touched)) break;
        from += step;
        AR_TRY(counted(r, &touched));
    }
    while (sides & AR__J_RIGHT && to > from) {
        size_t last = to - 1;
        while (last > from && ((uint8_t)s.data[last] & 0xc0) == 0x80) last--;
        if (!goes(s, last, to - last, chars, &touched)) break;
        to = last;
        AR_TRY(counted(r, &touched));
    }
    *out = (ar__jstring){s.data + from, to - from};
    return counted(r, &touched);
}

ar__jstring ar__jstring_trim(ar__jstring s, int sides) {
    size_t from = 0, to = s.bytes, step;
    uint64_t touched = 0;
    for (; sides & AR__J_LEFT && from < to && goes(s, from, 1, NULL, &touched); from += step)
        ar__utf8_char(s.data + from, &step);
    while (sides & AR__J_RIGHT && to > from) {
        size_t last = to - 1;
        while (last > from && ((uint8_t)s.data[last] & 0xc0) == 0x80) last--;
        if (!goes(s, last, to - last, NULL, &touched)) break;
        to = last;
    }
    return (ar__jstring){s.data + from, to - from};
}

/* ---- case ---- */

typedef enum letter_case { UPPER, LOWER, TITLE } letter_case;

/* A character in another case. Unicode's simple mapping: a character whose other case is several characters
 * (but for the sharp s) or depends on its place (the final sigma) does not get that. */
static ar_status add_letter(ar__jbuild *b, uint32_t c, letter_case to) {
    utf8proc_uint8_t text[4];
    if (c == 0xdf && to != LOWER) return ar__jbuild_add(b, to == UPPER ? "SS" : "Ss", 2);
    int32_t code = (int32_t)c;
    code = to == UPPER   ? utf8proc_toupper(code)
           : to == LOWER ? utf8proc_tolower(code)
                         : utf8proc_totitle(code);
    return ar__jbuild_add(b, (const char *)text, (size_t)utf8proc_encode_char(code, text));
}

static ar_status add_case(ar__jbuild *b, ar__jstring s, letter_case to) {
    AR_TRY(ar__jwork(b->r, 16 * s.bytes));
    for (size_t at = 0, step; at < s.bytes; at += step)
        AR_TRY(add_letter(b, ar__utf8_char(s.data + at, &step), to));
    return AR_OK;
}

static bool is_cased(uint32_t c) {
    utf8proc_category_t category = utf8proc_category((int32_t)c);
    return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL ||
           category == UTF8PROC_CATEGORY_LT;
}

static bool begins_word(char c) { return strchr("-({[<", c) != NULL; }

/* Every word's first character upper, the rest lower. */
static ar_status title(ar__jbuild *b, ar__jstring s, bool words) {
    bool inside = false;
    AR_TRY(ar__jwork(b->r, 16 * s.bytes));
    for (size_t at = 0, step; at < s.bytes; at += step) {
        uint32_t c = ar__utf8_char(s.data + at, &step);
        AR_TRY(add_letter(b, c, inside ? LOWER : words ? UPPER : TITLE));
        inside = words ? !(ar__jis_space(c) || (c && c < 0x80 && begins_word((char)c))) : is_cased(c);
    }
    return AR_OK;
}

ar_status ar__jstring_case(ar__jstring *out, ar__jrun *r, ar__jstring s, ar__jcase to) {
    ar__jbuild b = {.r = r};
    ar__jstring first = ar__jstring_part(s, 0, 1);
    switch (to) {
    case AR__J_UPPER: AR_TRY(add_case(&b, s, UPPER)); break;
    case AR__J_LOWER: AR_TRY(add_case(&b, s, LOWER)); break;
    case AR__J_CAPITALIZE:
        AR_TRY(add_case(&b, first, TITLE));
        AR_TRY(add_case(&b, (ar__jstring){s.data + first.bytes, s.bytes - first.bytes}, LOWER));
        break;
    case AR__J_TITLE: AR_TRY(title(&b, s, false)); break;
    case AR__J_TITLE_WORDS: AR_TRY(title(&b, s, true)); break;
    }
    *out = ar__jbuild_done(&b);
    return AR_OK;
}

/* ---- replacing and cutting ---- */

ar_status ar__jstring_replace(ar__jstring *out, ar__jrun *r, ar__jstring s, ar__jstring from, ar__jstring to,
                              int64_t count) {
    ar__jbuild b = {.r = r};
    size_t at = 0;
    for (; count != 0; count -= count > 0) {
        size_t found, step = 0;
        AR_TRY(find(&found, r, s, from, at, false));
        if (found == SIZE_MAX) break;
        AR_TRY(ar__jbuild_add(&b, s.data + at, found - at));
        AR_TRY(ar__jbuild_string(&b, to));
        AR_TRY(ar__jstep(r, 1));
        at = found + from.bytes;
        if (from.bytes > 0) continue;
        if (at == s.bytes) break; /* between all characters, and at both ends */
        ar__utf8_char(s.data + at, &step);
        AR_TRY(ar__jbuild_add(&b, s.data + at, step));
        at += step;
    }
    AR_TRY(ar__jbuild_add(&b, s.data + at, s.bytes - at));
    *out = ar__jbuild_done(&b);
    return AR_OK;
}

/* Words between white space: the next one behind *at; empty at the end. */
static ar_status next_word(ar__jstring *word, ar__jrun *r, ar__jstring s, size_t *at) {
    ar__jstring rest;
    size_t n = 0, step;
    AR_TRY(ar__jstring_strip(&rest, r, (ar__jstring){s.data + *at, s.bytes - *at}, NULL, AR__J_LEFT));
    while (n < rest.bytes && !ar__jis_space(ar__utf8_char(rest.data + n, &step))) n += step;
    *word = (ar__jstring){rest.data, n};
    *at = s.bytes - rest.bytes + n;
    return AR_OK;
}

static ar_status split_words(ar__jvalue *list, ar__jrun *r, ar__jstring s, int64_t count) {
    ar__jstring word;
    for (size_t at = 0;; count -= count > 0) {
        size_t was = at;
        AR_TRY(next_word(&word, r, s, &at));
        if (word.bytes == 0) return AR_OK;
        if (count == 0)
            AR_TRY(ar__jstring_strip(&word, r, (ar__jstring){s.data + was, s.bytes - was}, NULL, AR__J_LEFT));
        AR_TRY(ar__jlist_push(list, &r->arena, ar__jtext(word.data, word.bytes)));
        AR_TRY(ar__jstep(r, 1));
        if (count == 0) return AR_OK;
    }
}

static void reverse(ar__jlist *list) {
    for (size_t i = 0; i < list->count / 2; i++) {
        ar__jvalue kept = list->items[i];
        list->items[i] = list->items[list->count - 1 - i];
        list->items[list->count - 1 - i] = kept;
    }
}

ar_status ar__jstring_split(ar__jvalue *list, ar__jrun *r, ar__jstring s, const ar__jstring *separator,
                            int64_t count, bool last) {
    AR_TRY(ar__jlist_make(list, &r->arena, AR__J_LIST, 0));
    AR_TRY(ar__jwork(r, s.bytes));
    if (separator && separator->bytes == 0)
        return ar__jfail(r, AR_ERR_FORMAT, "split: found an empty separator");
    if (!separator && last && count >= 0)
        return ar__jfail(r, AR_ERR_UNSUPPORTED, "found rsplit at white space");
    if (!separator) return split_words(list, r, s, count);
    for (; count != 0; count -= count > 0) {
        size_t found;
        AR_TRY(find(&found, r, s, *separator, 0, last));
        if (found == SIZE_MAX) break;
        size_t behind = found + separator->bytes;
        ar__jvalue piece = last ? ar__jtext(s.data + behind, s.bytes - behind) : ar__jtext(s.data, found);
        AR_TRY(ar__jlist_push(list, &r->arena, piece));
        AR_TRY(ar__jstep(r, 1));
        s = last ? (ar__jstring){s.data, found} : (ar__jstring){s.data + behind, s.bytes - behind};
    }
    AR_TRY(ar__jlist_push(list, &r->arena, ar__jtext(s.data, s.bytes)));
    if (last) reverse(list->as.list);
    return AR_OK;
}

ar_status ar__jstring_lines(ar__jvalue *list, ar__jrun *r, ar__jstring s, bool keep_ends) {
    AR_TRY(ar__jlist_make(list, &r->arena, AR__J_LIST, 0));
    AR_TRY(ar__jwork(r, 4 * s.bytes));
    size_t from = 0;
    for (size_t at = 0, step; at < s.bytes;) {
        uint32_t c = ar__utf8_char(s.data + at, &step);
        size_t end = at;
        at += step;
        if (!ar__jis_line_end(c)) continue;
        if (c == '\r' && at < s.bytes && s.data[at] == '\n') at++;
        AR_TRY(ar__jlist_push(list, &r->arena, ar__jtext(s.data + from, (keep_ends ? at : end) - from)));
        from = at;
    }
    return from < s.bytes ? ar__jlist_push(list, &r->arena, ar__jtext(s.data + from, s.bytes - from)) : AR_OK;
}

ar_status ar__jstring_escape(ar__jstring *out, ar__jrun *r, ar__jstring s) {
    static const char special[] = "&<>'\"";
    static const char *const written[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    ar__jbuild b = {.r = r};
    for (size_t i = 0; i < s.bytes; i++) {
        const char *p = s.data[i] ? strchr(special, s.data[i]) : NULL;
        AR_TRY(p ? ar__jbuild_add(&b, written[p - special], strlen(written[p - special]))
                 : ar__jbuild_add(&b, s.data + i, 1));
    }
    *out = ar__jbuild_done(&b);
    return AR_OK;
}
