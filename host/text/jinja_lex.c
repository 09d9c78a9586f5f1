/* A template's text as tokens, cut where jinja2's lexer cuts under trim_blocks and lstrip_blocks: what
 * stands around a tag decides which white space goes. */
#include "jinja_inside.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct lexer {
    ar__jarena *arena;
    const char *text, *what;
    size_t bytes, at;
    int32_t line;
    bool line_starts; /* what was read last ended in a line break */
    ar__jtoken *tokens;
    size_t count, capacity;
    char open[AR__J_MAX_DEPTH]; /* brackets of the tag */
    int32_t depth;
} lexer;

static ar_status push(lexer *l, ar__jtoken_kind kind, const char *text, size_t bytes) {
    if (l->count == l->capacity) {
        size_t capacity = l->capacity ? 2 * l->capacity : 256;
        ar__jtoken *grown = ar__jtake(l->arena, capacity, sizeof *grown);
        if (!grown) return AR_ERR_MEMORY;
        if (l->count) memcpy(grown, l->tokens, l->count * sizeof *grown);
        l->tokens = grown;
        l->capacity = capacity;
    }
    l->tokens[l->count++] = (ar__jtoken){.kind = kind, .line = l->line, .text = {text, bytes}};
    return AR_OK;
}

/* found NULL: the end. */
static ar_status wrong(const lexer *l, const char *found, size_t bytes, const char *expected) {
    char quote[AR__QUOTE_BYTES];
    return ar__fail(AR_ERR_FORMAT, "%s: line %d: found %s, expected %s", l->what, (int)l->line,
                    found ? ar__quote(quote, found, bytes) : "the end", expected);
}

static bool ahead(const lexer *l, const char *text) {
    size_t n = strlen(text);
    return l->bytes - l->at >= n && memcmp(l->text + l->at, text, n) == 0;
}

/* Moves on, counting lines. */
static void pass(lexer *l, size_t to) {
    for (; l->at < to; l->at++) l->line += l->text[l->at] == '\n';
    if (to > 0) l->line_starts = l->text[to - 1] == '\n';
}

static void pass_space(lexer *l) {
    size_t to = l->at, step;
    while (to < l->bytes && ar__jis_space(ar__utf8_char(l->text + to, &step))) to += step;
    pass(l, to);
}

/* ---- text and the tags in it ---- */

/* How far the text [from, to) before a tag remains. sign: the tag's '-' or '+', else 0; strips: of a kind
 * that takes white space before it on its line along. */
static size_t text_end(const lexer *l, size_t from, size_t to, char sign, bool strips) {
    ar__jstring text = {l->text + from, to - from};
    if (sign == '-') return from + ar__jstring_trim(text, AR__J_RIGHT).bytes;
    if (sign == '+' || !strips) return to;
    size_t line = to;
    while (line > from && l->text[line - 1] != '\n') line--;
    if (line == from && !l->line_starts) return to;
    ar__jstring rest = {l->text + line, to - line};
    return ar__jstring_trim(rest, AR__J_RIGHT).bytes ? to : line;
}

/* Past the end of a tag: "%}" and its kin, with what they take along. false if it is not one. */
static bool pass_end(lexer *l, const char *end, bool takes_line) {
    bool minus = ahead(l, "-"), plus = takes_line && ahead(l, "+");
    size_t at = l->at + (minus || plus ? 1 : 0);
    if (l->bytes - at < 2 || memcmp(l->text + at, end, 2) != 0) return false;
    at += 2;
    if (!minus && !plus && takes_line && at < l->bytes && l->text[at] == '\n') at++;
    pass(l, at);
    if (minus) pass_space(l);
    return true;
}

static ar_status comment(lexer *l) {
    for (; l->at < l->bytes; pass(l, l->at + 1))
        if (pass_end(l, "#}", true)) return AR_OK;
    return wrong(l, NULL, 0, "#} after {#");
}

/* "{% raw %}" at `at`: where its text begins, else 0. */
static bool is_word_tag(const lexer *l, size_t at, const char *word, size_t *after) {
    ar__jstring rest = {l->text + at, l->bytes - at};
    size_t n = strlen(word);
    rest = ar__jstring_trim(rest, AR__J_LEFT);
    if (rest.bytes < n || memcmp(rest.data, word, n) != 0) return false;
    rest = ar__jstring_trim((ar__jstring){rest.data + n, rest.bytes - n}, AR__J_LEFT);
    *after = l->bytes - rest.bytes;
    if (rest.bytes && (rest.data[0] == '-' || rest.data[0] == '+')) rest.data++, rest.bytes--;
    return rest.bytes >= 2 && memcmp(rest.data, "%}", 2) == 0;
}

/* Up to {% endraw %}, from behind the opening tag. */
static ar_status raw(lexer *l) {
    size_t from = l->at, after;
    for (size_t at = from; at + 2 <= l->bytes; at++) {
        if (memcmp(l->text + at, "{%", 2) != 0) continue;
        char sign = at + 2 < l->bytes ? l->text[at + 2] : 0;
        if (sign != '-' && sign != '+') sign = 0;
        if (!is_word_tag(l, at + 2 + (sign != 0), "endraw", &after)) continue;
        size_t to = text_end(l, from, at, sign, true);
        if (to > from) AR_TRY(push(l, AR__JT_TEXT, l->text + from, to - from));
        pass(l, after);
        pass_end(l, "%}", true);
        return AR_OK;
    }
    return wrong(l, NULL, 0, "{% endraw %}");
}

/* Text up to the next tag, and the tag's opening; comments and raw blocks whole. *opened: '%', '{' or 0. */
static ar_status outside(lexer *l, char *opened) {
    size_t from = l->at, to = from, after;
    while (to < l->bytes && !(l->text[to] == '{' && to + 1 < l->bytes && strchr("%{#", l->text[to + 1])))
        to++;
    *opened = to < l->bytes ? l->text[to + 1] : 0;
    char sign = *opened && to + 2 < l->bytes ? l->text[to + 2] : 0;
    if (sign != '-' && sign != '+') sign = 0;
    size_t end = *opened ? text_end(l, from, to, sign, *opened != '{') : to;
    if (end > from) AR_TRY(push(l, AR__JT_TEXT, l->text + from, end - from));
    if (!*opened) {
        l->at = l->bytes;
        return AR_OK;
    }
    pass(l, to + 2 + (sign != 0));
    if (*opened == '#') {
        *opened = 0;
        return comment(l);
    }
    if (*opened == '%' && is_word_tag(l, l->at, "raw", &after)) {
        *opened = 0;
        pass(l, after);
        bool minus = ahead(l, "-");
        pass(l, l->at + 2 + (minus || ahead(l, "+") ? 1 : 0));
        if (minus) pass_space(l);
        return raw(l);
    }
    return push(l, *opened == '%' ? AR__JT_BLOCK : AR__JT_PRINT, l->text + to, 2);
}

/* ---- inside a tag ---- */

static bool starts_name(char c) {
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (uint8_t)c >= 0x80;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static size_t put_utf8(char out[4], uint32_t c) {
    if (c < 0x80) return out[0] = (char)c, 1;
    if (c < 0x800) return out[0] = (char)(0xc0 | c >> 6), out[1] = (char)(0x80 | (c & 0x3f)), 2;
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12), out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        return out[2] = (char)(0x80 | (c & 0x3f)), 3;
    }
    out[0] = (char)(0xf0 | c >> 18), out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    return out[2] = (char)(0x80 | (c >> 6 & 0x3f)), out[3] = (char)(0x80 | (c & 0x3f)), 4;
}

/* The character of an escape of digits: \x, \u, \U or octal. p is behind the letter; false if it is none. */
static bool numbered(uint32_t *c, const char **p, const char *end, size_t least, size_t most, int base) {
    size_t n = 0;
    *c = 0;
    for (; n < most && *p + n < end; n++) {
        char digit = (*p)[n], lower = digit | 0x20;
        uint32_t v = is_digit(digit)                ? (uint32_t)(digit - '0')
                     : lower >= 'a' && lower <= 'f' ? (uint32_t)(lower - 'a') + 10
                                                    : 99;
        if (v >= (uint32_t)base) break;
        *c = *c * (uint32_t)base + v;
    }
    *p += n;
    return n >= least && *c > 0 && *c < 0x110000 && !(*c >= 0xd800 && *c < 0xe000);
}

/* One escape behind its backslash, as Python reads it. */
static ar_status escape(lexer *l, char **out, const char **from, const char *end) {
    static const char letters[] = "nrtabfv\\'\"", meant[] = "\n\r\t\a\b\f\v\\'\"";
    const char *p = *from, *letter = strchr(letters, *p);
    uint32_t c = 0;
    bool good = true;
    if (*p == '\n') {
        *from = p + 1;
        return AR_OK;
    }
    if (letter) {
        *(*out)++ = meant[letter - letters];
        *from = p + 1;
        return AR_OK;
    }
    if (*p >= '0' && *p <= '7')
        good = numbered(&c, &p, end, 1, 3, 8);
    else if (*p == 'x' || *p == 'u' || *p == 'U') {
        size_t digits = *p == 'x' ? 2 : *p == 'u' ? 4 : 8;
        p++;
        good = numbered(&c, &p, end, digits, digits, 16);
    } else {
        *(*out)++ = '\\';
        *from = p;
        return AR_OK;
    }
    if (!good) return wrong(l, *from - 1, (size_t)(p - *from) + 1, "the number of a character");
    *out += put_utf8(*out, c);
    *from = p;
    return AR_OK;
}

static ar_status string(lexer *l) {
    char quote = l->text[l->at];
    const char *from = l->text + l->at + 1, *limit = l->text + l->bytes, *end = from;
    while (end < limit && *end != quote) end += *end == '\\' && end + 1 < limit ? 2 : 1;
    if (end >= limit) return wrong(l, l->text + l->at, l->bytes - l->at, "the string's end");
    char *made = ar__jtake(l->arena, (size_t)(end - from) + 1, 1), *out = made;
    if (!made) return AR_ERR_MEMORY;
    while (from < end) {
        if (*from != '\\') {
            *out++ = *from++;
            continue;
        }
        from++;
        AR_TRY(escape(l, &out, &from, end));
    }
    AR_TRY(push(l, AR__JT_STRING, made, (size_t)(out - made)));
    pass(l, (size_t)(end + 1 - l->text));
    return AR_OK;
}

/* Digits without the '_' between them; false if they do not fit. */
static bool copy_digits(char out[64], const char *from, size_t bytes) {
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (from[i] == '_') continue;
        if (n == 63) return false;
        out[n++] = from[i];
    }
    out[n] = '\0';
    return true;
}

static size_t pass_digits(const lexer *l, size_t at) {
    while (at < l->bytes &&
           (is_digit(l->text[at]) || (l->text[at] == '_' && at + 1 < l->bytes && is_digit(l->text[at + 1]))))
        at++;
    return at;
}

static ar_status number(lexer *l) {
    size_t from = l->at, to = pass_digits(l, from);
    bool real = false, hex = false;
    char digits[64], *end;
    if (to == from + 1 && l->text[from] == '0' && to + 1 < l->bytes && (l->text[to] | 0x20) == 'x') {
        hex = true;
        for (to++; to < l->bytes && strchr("0123456789abcdefABCDEF", l->text[to]);) to++;
    }
    if (!hex && to + 1 < l->bytes && l->text[to] == '.' && is_digit(l->text[to + 1])) {
        real = true;
        to = pass_digits(l, to + 1);
    }
    if (!hex && to < l->bytes && (l->text[to] | 0x20) == 'e') {
        size_t at = to + 1;
        if (at < l->bytes && (l->text[at] == '+' || l->text[at] == '-')) at++;
        if (at < l->bytes && is_digit(l->text[at])) {
            real = true;
            to = pass_digits(l, at);
        }
    }
    AR_TRY(push(l, real ? AR__JT_FLOAT : AR__JT_INT, l->text + from, to - from));
    ar__jtoken *t = &l->tokens[l->count - 1];
    errno = 0;
    bool fits = copy_digits(digits, l->text + from, to - from);
    if (fits && real) t->real = strtod(digits, &end);
    if (fits && !real) t->integer = strtoll(digits, &end, hex ? 16 : 10);
    if (!fits || (!real && errno)) return wrong(l, l->text + from, to - from, "a smaller number");
    pass(l, to);
    return AR_OK;
}

static ar_status operator(lexer *l) {
    static const char *const ops[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
                                      "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        if (!ahead(l, ops[i])) continue;
        char c = ops[i][0];
        if (c == '(' || c == '[' || c == '{') {
            if (l->depth == AR__J_MAX_DEPTH) return wrong(l, ops[i], 1, "fewer brackets in each other");
            l->open[l->depth++] = c == '(' ? ')' : c == '[' ? ']' : '}';
        } else if (c == ')' || c == ']' || c == '}') {
            if (l->depth == 0 || l->open[--l->depth] != c) return wrong(l, ops[i], 1, "its opening bracket");
        }
        AR_TRY(push(l, AR__JT_OP, ops[i], strlen(ops[i])));
        pass(l, l->at + strlen(ops[i]));
        return AR_OK;
    }
    size_t step;
    ar__utf8_char(l->text + l->at, &step);
    return wrong(l, l->text + l->at, step, "an expression");
}

/* The tokens of a tag up to its end. */
static ar_status inside(lexer *l, char opened) {
    const char *end = opened == '%' ? "%}" : "}}";
    l->depth = 0;
    for (;;) {
        pass_space(l);
        if (l->at == l->bytes) return wrong(l, NULL, 0, end);
        size_t at = l->at;
        int32_t line = l->line;
        if (l->depth == 0 && pass_end(l, end, opened == '%')) {
            AR_TRY(push(l, opened == '%' ? AR__JT_BLOCK_END : AR__JT_PRINT_END, l->text + at, 2));
            l->tokens[l->count - 1].line = line;
            return AR_OK;
        }
        char c = l->text[at];
        if (starts_name(c)) {
            while (at < l->bytes && (starts_name(l->text[at]) || is_digit(l->text[at]))) at++;
            AR_TRY(push(l, AR__JT_NAME, l->text + l->at, at - l->at));
            pass(l, at);
        } else if (is_digit(c)) {
            AR_TRY(number(l));
        } else if (c == '"' || c == '\'') {
            AR_TRY(string(l));
        } else {
            AR_TRY(operator(l));
        }
    }
}

/* A copy with "\n" for every line break, without the last one. */
static ar_status normalize(lexer *l, const char *text, size_t bytes) {
    char *copy = ar__jtake(l->arena, bytes + 1, 1);
    if (!copy) return AR_ERR_MEMORY;
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++) {
        copy[n++] = text[i] == '\r' ? '\n' : text[i];
        if (text[i] == '\r' && i + 1 < bytes && text[i + 1] == '\n') i++;
    }
    if (n > 0 && copy[n - 1] == '\n') n--;
    l->text = copy;
    l->bytes = n;
    return AR_OK;
}

ar_status ar__jlex(ar__jtoken **tokens, ar__jarena *a, const char *text, size_t bytes, const char *what) {
    lexer l = {.arena = a, .what = what, .line = 1, .line_starts = true};
    char opened;
    *tokens = NULL;
    AR_TRY(ar__utf8_check(text, bytes, what));
    if (memchr(text, 0, bytes)) return ar__fail(AR_ERR_FORMAT, "%s: found a NUL, expected text", what);
    AR_TRY(normalize(&l, text, bytes));
    while (l.at < l.bytes) {
        AR_TRY(outside(&l, &opened));
        if (opened) AR_TRY(inside(&l, opened));
    }
    AR_TRY(push(&l, AR__JT_END, "", 0));
    *tokens = l.tokens;
    return AR_OK;
}
