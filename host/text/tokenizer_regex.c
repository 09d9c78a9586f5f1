/* Regular expressions of tokenizer.json, which mean what Oniguruma makes of them, written for PCRE2. The two
 * share most of their syntax and not all of its meaning: "{1,3}+" is possessive in PCRE2 alone, "{,2}" a
 * number of times in Oniguruma alone; \h, \v, \w, \b, ^, $, (?m), (?i) within a group, \p{Han}, nested
 * classes and && differ. So a pattern is read by Oniguruma's rules and every part written out; what is not
 * known here is refused by name, never passed on. Left are the versions of Unicode that the two libraries
 * know. Oniguruma's rules: github.com/kkos/oniguruma, doc/RE and doc/UNICODE_PROPERTIES */
#include "tokenizer_regex.h"
#include <stdio.h>
#include <string.h>

/* ---- what repeats ---- */

/* {2}, {2,}, {,3}, {2,3}: *bytes = 0 for what is none of them. */
static ar_status read_interval(const ar__regex *r, size_t *bytes, int32_t *lo, int32_t *hi, bool *fixed) {
    const char *p = r->p + 1;
    int32_t numbers[2] = {-1, -1};
    *bytes = 0;
    *fixed = true;
    for (int32_t i = 0; i < 2; i++) {
        for (; *p >= '0' && *p <= '9'; p++) {
            numbers[i] = (numbers[i] < 0 ? 0 : numbers[i] * 10) + (*p - '0');
            if (numbers[i] > 65535)
                return ar__regex_refuse(r, r->p, (size_t)(p + 1 - r->p), "at most 65535 times");
        }
        if (i == 0 && *p == ',') {
            p++;
            *fixed = false;
        } else if (i == 0) {
            numbers[1] = numbers[0];
            break;
        }
    }
    if (*p != '}' || (numbers[0] < 0 && numbers[1] < 0)) return AR_OK;
    *bytes = (size_t)(p + 1 - r->p);
    *lo = numbers[0] < 0 ? 0 : numbers[0];
    *hi = numbers[1];
    if (*hi >= 0 && *hi < *lo) return ar__regex_refuse(r, r->p, *bytes, "the smaller number first");
    return AR_OK;
}

/* The repetitions behind what was written from `at` on; each further one is of the group so far. */
static ar_status read_repeats(ar__regex *r, size_t at, bool can_repeat) {
    for (int32_t count = 0;; count++) {
        char text[32];
        size_t bytes = 0;
        int32_t lo = 0, hi = 0;
        bool fixed = false, interval = *r->p == '{';
        if (interval) AR_TRY(read_interval(r, &bytes, &lo, &hi, &fixed));
        if (!bytes && (!*r->p || !strchr("*+?", *r->p))) return AR_OK;
        if (count == 8) return ar__regex_refuse(r, r->p, 1, "fewer repetitions of one thing");
        if (!can_repeat) return ar__regex_refuse(r, r->p, 1, "something to repeat before it");
        if (count > 0) {
            AR_TRY(ar__regex_put_at(r, at, "(?:"));
            AR_TRY(ar__regex_put(r, ")"));
        }
        if (!bytes)
            snprintf(text, sizeof text, "%c", *r->p);
        else if (hi < 0)
            snprintf(text, sizeof text, "{%d,}", (int)lo);
        else
            snprintf(text, sizeof text, "{%d,%d}", (int)lo, (int)hi);
        r->p += bytes ? bytes : 1;
        AR_TRY(ar__regex_put(r, text));
        /* lazy, but for {2}?, which is (?:…{2})?; possessive, but for intervals */
        bool lazy = *r->p == '?' && !fixed, possessive = *r->p == '+' && !interval;
        if (lazy || possessive) {
            AR_TRY(ar__regex_put(r, lazy ? "?" : "+"));
            r->p++;
        }
    }
}

/* ---- groups and atoms ---- */

static ar_status read_branches(ar__regex *r, bool caseless);

static ar_status read_closed(ar__regex *r, const char *at, const char *open, bool caseless) {
    AR_TRY(ar__regex_put(r, open));
    AR_TRY(read_branches(r, caseless));
    if (*r->p != ')') return ar__regex_refuse(r, at, 1, "a ) for it");
    r->p++;
    return ar__regex_put(r, ")");
}

/* (?im-x: and (?im-x): *isolated = the latter; out: what opens such a group in PCRE2. */
static ar_status read_options(ar__regex *r, const char *at, char open[16], bool *caseless, bool *isolated) {
    bool off = false;
    size_t n = 0;
    open[n++] = '(';
    open[n++] = '?';
    for (; *r->p && *r->p != ':' && *r->p != ')'; r->p++) {
        bool known = *r->p == 'i' || *r->p == 'm' || (*r->p == '-' && !off);
        if (!known || n > 10) return ar__regex_refuse(r, at, (size_t)(r->p + 1 - at), "the options i and m");
        if (*r->p == '-') off = true;
        if (*r->p == 'i') *caseless = !off;
        open[n++] = *r->p == 'm' ? 's' : *r->p; /* a dot that takes newlines */
    }
    open[n++] = ':';
    open[n] = 0;
    *isolated = *r->p == ')';
    if (!*r->p) return ar__regex_refuse(r, at, 2, "a ) for it");
    r->p++;
    return AR_OK;
}

/* A group; *opened = an option for the rest of the group around it: "(?i)a|b" is "(?i:a|b)" there, even in
 * the middle of a branch. */
static ar_status read_group(ar__regex *r, bool *caseless, bool *opened, bool *can_repeat) {
    static const struct {
        const char *text, *open;
        bool can_repeat;
    } kinds[] = {{"(?:", "(?:", true},    {"(?=", "(?=", false},   {"(?!", "(?!", false},
                 {"(?<=", "(?<=", false}, {"(?<!", "(?<!", false}, {"(?>", "(?>", true}};
    const char *at = r->p;
    char open[16];
    bool own = *caseless, isolated = false;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strncmp(at, kinds[i].text, strlen(kinds[i].text)) == 0) {
            *can_repeat = kinds[i].can_repeat;
            r->p += strlen(kinds[i].text);
            return read_closed(r, at, kinds[i].open, own);
        }
    r->p++;
    if (*r->p != '?') return read_closed(r, at, "(?:", own); /* nobody asks what it held */
    if (at[2] == '#') {
        const char *end = strchr(at, ')');
        if (!end) return ar__regex_refuse(r, at, 3, "a ) for it");
        *can_repeat = false;
        r->p = end + 1;
        return AR_OK;
    }
    if (!at[2] || !strchr("im-", at[2]))
        return ar__regex_refuse(r, at, at[2] ? 3 : 2, "a group that is known here");
    r->p++;
    AR_TRY(read_options(r, at, open, &own, &isolated));
    if (!isolated) return read_closed(r, at, open, own);
    *caseless = own;
    *opened = true;
    *can_repeat = false;
    return ar__regex_put(r, open);
}

/* Without case, some pairs of letters are one character as well. */
static ar_status read_ligature(ar__regex *r, bool *is) {
    static const char *const pairs[][2] = {{"ffi", "ffi|\\x{fb03}|\\x{fb00}i|f\\x{fb01}"},
                                           {"ffl", "ffl|\\x{fb04}|\\x{fb00}l|f\\x{fb02}"},
                                           {"ss", "ss|\\x{df}|\\x{1e9e}"},
                                           {"ff", "ff|\\x{fb00}"},
                                           {"fi", "fi|\\x{fb01}"},
                                           {"fl", "fl|\\x{fb02}"},
                                           {"st", "st|\\x{fb05}|\\x{fb06}"}};
    *is = false;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        size_t n = strlen(pairs[i][0]), k = 0;
        while (k < n && (r->p[k] | 0x20) == pairs[i][0][k]) k++;
        if (k < n || (r->p[n] && strchr("*+?{", r->p[n]))) continue;
        *is = true;
        r->p += n;
        AR_TRY(ar__regex_put(r, "(?:"));
        AR_TRY(ar__regex_put(r, pairs[i][1]));
        return ar__regex_put(r, ")");
    }
    return AR_OK;
}

/* Anchors and such, by their letter. */
static ar_status read_escape(ar__regex *r, bool *can_repeat) {
#define WORD "[" AR__WORD_OUTSIDE "]"
    static const struct {
        char letter;
        bool can_repeat;
        const char *text;
    } escapes[] = {{'A', false, "\\A"},
                   {'z', false, "\\z"},
                   {'Z', false, "\\Z"},
                   {'b', false, "(?:(?<=" WORD ")(?!" WORD ")|(?<!" WORD ")(?=" WORD "))"},
                   {'B', false, "(?:(?<=" WORD ")(?=" WORD ")|(?<!" WORD ")(?!" WORD "))"},
                   {'K', false, "\\K"},
                   {'N', true, "[^\\n]"},
                   {'O', true, "(?s:.)"},
                   {'R', true, "(?>\\r\\n|[\\n-\\r\\x{85}\\x{2028}\\x{2029}])"}};
#undef WORD
    for (size_t i = 0; i < sizeof escapes / sizeof *escapes; i++) {
        if (escapes[i].letter != r->p[1]) continue;
        *can_repeat = escapes[i].can_repeat;
        r->p += 2;
        return ar__regex_put(r, escapes[i].text);
    }
    return ar__regex_refuse(r, r->p, 2, "an escape that is known here");
}

static ar_status read_plain(ar__regex *r, bool caseless, bool *can_repeat) {
    char contents[AR__REGEX_CONTENTS] = "";
    bool is = false, negated = false;
    uint32_t c = 0;
    if (caseless) AR_TRY(read_ligature(r, &is));
    if (is) return AR_OK;
    AR_TRY(ar__regex_kind(r, contents, &negated, &is, false));
    if (is) {
        AR_TRY(ar__regex_put(r, negated ? "[^" : "["));
        AR_TRY(ar__regex_put(r, contents));
        return ar__regex_put(r, "]");
    }
    AR_TRY(ar__regex_char(r, &c, &is, false));
    return is ? ar__regex_put_char(r, c) : read_escape(r, can_repeat);
}

static ar_status read_atom(ar__regex *r, bool *caseless, bool *opened, bool *can_repeat) {
    *can_repeat = true;
    switch (*r->p) {
    case '(': return read_group(r, caseless, opened, can_repeat);
    case '[': return ar__regex_bracket(r);
    case '.': r->p++; return ar__regex_put(r, ".");
    case '^':
    case '$': *can_repeat = false; return ar__regex_put(r, *r->p++ == '^' ? "(?m:^)" : "(?m:$)");
    case '*':
    case '+':
    case '?': return ar__regex_refuse(r, r->p, 1, "something to repeat before it");
    default: return read_plain(r, *caseless, can_repeat);
    }
}

/* Up to the ) that closes the group, or the end. */
static ar_status read_branches(ar__regex *r, bool caseless) {
    int32_t opened_count = 0;
    if (++r->depth > AR__REGEX_DEPTH) return ar__regex_refuse(r, r->p, 1, "less nesting");
    while (*r->p && *r->p != ')') {
        size_t at = r->out->bytes;
        bool opened = false, can_repeat = true;
        if (*r->p == '|') {
            AR_TRY(ar__regex_put(r, "|"));
            r->p++;
            continue;
        }
        AR_TRY(read_atom(r, &caseless, &opened, &can_repeat));
        opened_count += opened;
        AR_TRY(read_repeats(r, at, can_repeat));
    }
    for (; opened_count > 0; opened_count--) AR_TRY(ar__regex_put(r, ")"));
    r->depth--;
    return AR_OK;
}

ar_status ar__regex_spell(ar__text *out, const char *pattern, const char *what) {
    ar__regex r = {pattern, pattern, out, what, 0};
    AR_TRY(read_branches(&r, false));
    return *r.p ? ar__regex_refuse(&r, r.p, 1, "a ( before it") : AR_OK;
}
