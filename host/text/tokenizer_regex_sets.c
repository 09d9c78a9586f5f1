/* Regular expressions, continued: characters, kinds of them and brackets, as Oniguruma reads them, for PCRE2.
 */
#include "tokenizer_regex.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPACES "\\t-\\r \\x{85}\\p{Z}" /* contents of a bracket: White_Space */

ar_status ar__regex_refuse(const ar__regex *r, const char *at, size_t bytes, const char *expected) {
    char whole[AR__QUOTE_BYTES], part[AR__QUOTE_BYTES];
    return ar__fail(AR_ERR_FORMAT, "%s: pattern %s: at %zu: found %s, expected %s", r->what,
                    ar__quote(whole, r->start, strlen(r->start)), (size_t)(at - r->start),
                    ar__quote(part, at, bytes), expected);
}

ar_status ar__regex_put(ar__regex *r, const char *text) {
    return ar__text_append(r->out, text, strlen(text));
}

ar_status ar__regex_put_at(ar__regex *r, size_t at, const char *text) {
    size_t bytes = strlen(text);
    AR_TRY(ar__regex_put(r, text));
    char *data = r->out->data + at;
    memmove(data + bytes, data, r->out->bytes - bytes - at);
    memcpy(data, text, bytes);
    return AR_OK;
}

ar_status ar__regex_put_char(ar__regex *r, uint32_t c) {
    char text[16];
    bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == ' ';
    if (plain)
        snprintf(text, sizeof text, "%c", (char)c);
    else
        snprintf(text, sizeof text, "\\x{%x}", (unsigned)c);
    return ar__regex_put(r, text);
}

/* ---- characters and kinds of them, in brackets and outside ---- */

static int32_t hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* \x41, \x{3b1}, \u03b1: r->p stands behind the letter. */
static ar_status read_hex(ar__regex *r, uint32_t *c, const char *at) {
    bool braced = at[1] == 'x' && *r->p == '{';
    int32_t digits = braced ? 8 : at[1] == 'x' ? 2 : 4, n = 0;
    *c = 0;
    if (braced) r->p++;
    for (; n < digits && hex_value(*r->p) >= 0; n++) *c = *c << 4 | (uint32_t)hex_value(*r->p++);
    bool whole = braced ? n > 0 && *r->p == '}' : n == digits;
    if (whole && braced) r->p++;
    bool is_byte = at[1] == 'x' && !braced && *c >= 0x80; /* of a sequence */
    if (whole && !is_byte && *c <= 0x10ffff && !(*c >= 0xd800 && *c <= 0xdfff)) return AR_OK;
    return ar__regex_refuse(r, at, (size_t)(r->p - at), "the number of a character");
}

/* A character, escaped or not; *is = false (and r->p unmoved) for an escape that is another thing. */
ar_status ar__regex_char(ar__regex *r, uint32_t *c, bool *is, bool in_class) {
    static const char letters[] = "tnrfvae", values[] = "\t\n\r\f\v\a\x1b";
    const char *at = r->p;
    size_t step;
    *is = true;
    if (*at != '\\') {
        *c = ar__utf8_char(at, &step);
        r->p += step;
        return AR_OK;
    }
    if (at[1] == 0) return ar__regex_refuse(r, at, 1, "a character behind it");
    const char *letter = strchr(letters, at[1]);
    r->p += 2;
    if (letter) {
        *c = (uint8_t)values[letter - letters];
    } else if (at[1] == 'b' && in_class) {
        *c = 8;
    } else if (at[1] == 'x' || at[1] == 'u') {
        return read_hex(r, c, at);
    } else if (hex_value(at[1]) >= 0 || strchr("DSWBHRXNOKGAZzYyPpswhgkCcMQEU", at[1])) {
        r->p = at;
        *is = false;
    } else if (((at[1] | 0x20) >= 'a' && (at[1] | 0x20) <= 'z') || (at[1] >= '0' && at[1] <= '9')) {
        return ar__regex_refuse(r, at, 2, "an escape that is known here");
    } else {
        *c = ar__utf8_char(at + 1, &step);
        r->p = at + 1 + step;
    }
    return AR_OK;
}

/* Categories as PCRE2 spells them, others of Oniguruma's names by its contents of a bracket. */
static const struct {
    const char *name, *contents;
} properties[] = {{"letter", "\\p{L}"},
                  {"uppercaseletter", "\\p{Lu}"},
                  {"lowercaseletter", "\\p{Ll}"},
                  {"titlecaseletter", "\\p{Lt}"},
                  {"casedletter", "\\p{Lu}\\p{Ll}\\p{Lt}"},
                  {"lc", "\\p{Lu}\\p{Ll}\\p{Lt}"},
                  {"modifierletter", "\\p{Lm}"},
                  {"otherletter", "\\p{Lo}"},
                  {"mark", "\\p{M}"},
                  {"nonspacingmark", "\\p{Mn}"},
                  {"spacingmark", "\\p{Mc}"},
                  {"enclosingmark", "\\p{Me}"},
                  {"number", "\\p{N}"},
                  {"decimalnumber", "\\p{Nd}"},
                  {"digit", "\\p{Nd}"},
                  {"letternumber", "\\p{Nl}"},
                  {"othernumber", "\\p{No}"},
                  {"punctuation", "\\p{P}"},
                  {"punct", "\\p{P}"},
                  {"connectorpunctuation", "\\p{Pc}"},
                  {"dashpunctuation", "\\p{Pd}"},
                  {"openpunctuation", "\\p{Ps}"},
                  {"closepunctuation", "\\p{Pe}"},
                  {"initialpunctuation", "\\p{Pi}"},
                  {"finalpunctuation", "\\p{Pf}"},
                  {"otherpunctuation", "\\p{Po}"},
                  {"symbol", "\\p{S}"},
                  {"mathsymbol", "\\p{Sm}"},
                  {"currencysymbol", "\\p{Sc}"},
                  {"modifiersymbol", "\\p{Sk}"},
                  {"othersymbol", "\\p{So}"},
                  {"separator", "\\p{Z}"},
                  {"spaceseparator", "\\p{Zs}"},
                  {"lineseparator", "\\p{Zl}"},
                  {"paragraphseparator", "\\p{Zp}"},
                  {"other", "\\p{C}"},
                  {"control", "\\p{Cc}"},
                  {"cntrl", "\\p{Cc}"},
                  {"format", "\\p{Cf}"},
                  {"privateuse", "\\p{Co}"},
                  {"unassigned", "\\p{Cn}"},
                  {"any", "\\x{0}-\\x{10ffff}"},
                  {"space", SPACES},
                  {"whitespace", SPACES},
                  {"word", AR__WORD_CHARS},
                  {"alphabetic", "\\p{Alphabetic}"},
                  {"alpha", "\\p{Alphabetic}"},
                  {"alnum", "\\p{Alphabetic}\\p{Nd}"},
                  {"uppercase", "\\p{Uppercase}"},
                  {"upper", "\\p{Uppercase}"},
                  {"lowercase", "\\p{Lowercase}"},
                  {"lower", "\\p{Lowercase}"},
                  {"blank", "\\t\\p{Zs}"},
                  {"xdigit", "0-9a-fA-F"}};

/* The contents of a bracket for a property's name, less case, spaces, hyphens and underscores. One or two
 * letters are a category, whose spelling PCRE2 checks; other names are a script: \p{Han} alone would be its
 * extensions in PCRE2 since 10.40. */
static void property_contents(char out[AR__REGEX_CONTENTS], const char *name) {
    for (size_t i = 0; i < sizeof properties / sizeof *properties; i++)
        if (strcmp(properties[i].name, name) == 0) {
            snprintf(out, AR__REGEX_CONTENTS, "%s", properties[i].contents);
            return;
        }
    bool category = strlen(name) <= 2;
    char first = category && name[0] >= 'a' && name[0] <= 'z' ? (char)(name[0] - 'a' + 'A') : name[0];
    if (category)
        snprintf(out, AR__REGEX_CONTENTS, "\\p{%c%s}", first, name + 1);
    else
        snprintf(out, AR__REGEX_CONTENTS, "\\p{sc:%.40s}", name);
}

/* \p{Name}, \P{Name}, \p{^Name}: r->p stands behind the p. */
static ar_status read_property(ar__regex *r, char contents[AR__REGEX_CONTENTS], bool *negated,
                               const char *at) {
    char name[48] = "";
    size_t n = 0;
    if (*r->p != '{') return ar__regex_refuse(r, at, 2, "a property in braces");
    r->p++;
    if (*r->p == '^') {
        r->p++;
        *negated = !*negated;
    }
    for (; *r->p && *r->p != '}' && n + 1 < sizeof name; r->p++) {
        char c = *r->p;
        bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
        if (!letter && !strchr(" -_", c))
            return ar__regex_refuse(r, at, (size_t)(r->p + 1 - at), "a property's name");
        if (letter) name[n++] = (char)(c | 0x20);
    }
    name[n] = 0;
    if (*r->p != '}' || n == 0) return ar__regex_refuse(r, at, (size_t)(r->p - at), "a property in braces");
    r->p++;
    property_contents(contents, name);
    return AR_OK;
}

/* An escape that stands for many characters, as contents of a bracket; *is = false for others. */
ar_status ar__regex_kind(ar__regex *r, char contents[AR__REGEX_CONTENTS], bool *negated, bool *is,
                         bool in_class) {
    const char *at = r->p, *text = NULL;
    *is = *at == '\\' && at[1] && strchr("dDsSwWhHpP", at[1]);
    if (!*is) return AR_OK;
    r->p += 2;
    *negated = at[1] >= 'A' && at[1] <= 'Z';
    switch (at[1] | 0x20) {
    case 'd': text = "\\p{Nd}"; break;
    case 's': text = SPACES; break;
    case 'w': text = AR__WORD_CHARS; break;
    case 'h': text = "0-9a-fA-F"; break;
    default: AR_TRY(read_property(r, contents, negated, at));
    }
    if (text) snprintf(contents, AR__REGEX_CONTENTS, "%s", text);
    if (!in_class && strcmp(contents, AR__WORD_CHARS) == 0)
        snprintf(contents, AR__REGEX_CONTENTS, "%s", AR__WORD_OUTSIDE);
    return AR_OK;
}

/* ---- brackets ---- */

/* What a bracket holds: plain contents, and parts that are a bracket or a group of their own. */
typedef struct set {
    ar__text contents, parts; /* parts: with | between */
} set;

static void set_deinit(set *s) {
    free(s->contents.data);
    free(s->parts.data);
}

static ar_status add_part(set *s, const char *open, const char *part, size_t bytes, const char *close) {
    if (s->parts.bytes) AR_TRY(ar__text_append(&s->parts, "|", 1));
    AR_TRY(ar__text_append(&s->parts, open, strlen(open)));
    AR_TRY(ar__text_append(&s->parts, part, bytes));
    return ar__text_append(&s->parts, close, strlen(close));
}

/* Writes one character of the set, or one that is not in it. */
static ar_status put_set(ar__regex *r, const set *s, bool negated) {
    bool both = s->contents.bytes && s->parts.bytes;
    if (!s->parts.bytes) {
        AR_TRY(ar__regex_put(r, s->contents.bytes ? negated ? "[^" : "[" : negated ? "(?s:." : "(?!"));
        AR_TRY(ar__text_append(r->out, s->contents.data, s->contents.bytes));
        return ar__regex_put(r, s->contents.bytes ? "]" : ")");
    }
    AR_TRY(ar__regex_put(r, negated ? "(?:(?!" : "(?:"));
    if (s->contents.bytes) {
        AR_TRY(ar__regex_put(r, "["));
        AR_TRY(ar__text_append(r->out, s->contents.data, s->contents.bytes));
        AR_TRY(ar__regex_put(r, both ? "]|" : "]"));
    }
    AR_TRY(ar__text_append(r->out, s->parts.data, s->parts.bytes));
    return ar__regex_put(r, negated ? ")(?s:.))" : ")");
}

/* A nested bracket, as a part of its own. */
static ar_status add_nested(ar__regex *r, set *s) {
    ar__text own = {0}, *out = r->out;
    r->out = &own;
    ar_status status = ar__regex_bracket(r);
    r->out = out;
    if (status == AR_OK) status = add_part(s, "", own.data, own.bytes, "");
    free(own.data);
    return status;
}

/* [:space:], [:^space:] */
static ar_status add_posix(ar__regex *r, set *s) {
    const char *at = r->p, *end = strstr(at, ":]");
    char name[16] = "", contents[AR__REGEX_CONTENTS] = "";
    bool negated = at[2] == '^';
    size_t first = negated ? 3 : 2, n = end ? (size_t)(end - at) - first : 0;
    if (n < 1 || n >= sizeof name) return ar__regex_refuse(r, at, 2, "[:space:] or such");
    memcpy(name, at + first, n);
    static const char *const known[] = {"alnum", "alpha", "blank", "cntrl", "digit",
                                        "lower", "space", "upper", "xdigit"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i], name) == 0) property_contents(contents, name);
    if (strcmp(name, "punct") == 0) snprintf(contents, sizeof contents, "\\p{P}\\p{S}");
    if (!contents[0]) return ar__regex_refuse(r, at, (size_t)(end + 2 - at), "[:space:] or such");
    r->p = end + 2;
    if (negated) return add_part(s, "[^", contents, strlen(contents), "]");
    return ar__text_append(&s->contents, contents, strlen(contents));
}

/* A character, or a range of them. */
static ar_status add_range(ar__regex *r, set *s) {
    const char *at = r->p;
    uint32_t from, to;
    bool is;
    AR_TRY(ar__regex_char(r, &from, &is, true));
    if (!is) return ar__regex_refuse(r, at, 2, "a character or a kind of them");
    to = from;
    if (r->p[0] == '-' && r->p[1] != ']' && r->p[1] != 0) {
        r->p++;
        AR_TRY(ar__regex_char(r, &to, &is, true));
        if (!is || to < from || (r->p[-1] == '[' && r->p[-2] != '\\'))
            return ar__regex_refuse(r, at, (size_t)(r->p - at), "a range of characters");
    }
    ar__text *out = r->out;
    r->out = &s->contents;
    ar_status status = ar__regex_put_char(r, from);
    if (status == AR_OK && to != from) status = ar__regex_put(r, "-");
    if (status == AR_OK && to != from) status = ar__regex_put_char(r, to);
    r->out = out;
    return status;
}

static ar_status add_item(ar__regex *r, set *s) {
    char contents[AR__REGEX_CONTENTS] = "";
    bool negated = false, is = false;
    if (r->p[0] == '[' && r->p[1] == ':' && strstr(r->p, ":]")) return add_posix(r, s);
    if (r->p[0] == '[') return add_nested(r, s);
    AR_TRY(ar__regex_kind(r, contents, &negated, &is, true));
    if (!is) return add_range(r, s);
    if (r->p[0] == '-' && r->p[1] != ']')
        return ar__regex_refuse(r, r->p, 1, "no range that begins with a kind");
    if (negated) return add_part(s, "[^", contents, strlen(contents), "]");
    return ar__text_append(&s->contents, contents, strlen(contents));
}

/* The union up to ] or &&. */
static ar_status read_union(ar__regex *r, set *s) {
    bool first = true; /* a ] there is a character, where another one closes */
    for (; *r->p && (*r->p != ']' || (first && strchr(r->p + 1, ']'))); first = false) {
        if (r->p[0] == '&' && r->p[1] == '&') return AR_OK;
        AR_TRY(add_item(r, s));
    }
    return AR_OK;
}

/* [abc], [^a-z&&[^aeiou]]; an intersection is a look ahead at all its sets but the last. */
ar_status ar__regex_bracket(ar__regex *r) {
    const char *at = r->p;
    bool negated = r->p[1] == '^', many = false;
    ar__text own = {0}, *out = r->out;
    ar_status status = AR_OK;
    if (++r->depth > AR__REGEX_DEPTH) return ar__regex_refuse(r, at, 1, "less nesting");
    r->p += negated ? 2 : 1;
    r->out = &own;
    for (bool more = true; more && status == AR_OK;) {
        set s = {0};
        size_t begin = own.bytes;
        status = read_union(r, &s);
        bool none = !s.contents.bytes && !s.parts.bytes;
        if (status == AR_OK && (*r->p == 0 || none))
            status = ar__regex_refuse(r, at, (size_t)(r->p - at), "a class and ]");
        more = *r->p == '&';
        many = many || more;
        if (status == AR_OK) status = put_set(r, &s, !many && negated);
        if (status == AR_OK && more) status = ar__regex_put_at(r, begin, "(?=");
        if (status == AR_OK && more) status = ar__regex_put(r, ")");
        if (status == AR_OK) r->p += more ? 2 : 1;
        set_deinit(&s);
    }
    r->out = out;
    r->depth--;
    if (status == AR_OK && many) status = ar__regex_put(r, negated ? "(?:(?!" : "(?:");
    if (status == AR_OK) status = ar__text_append(r->out, own.data, own.bytes);
    if (status == AR_OK && many) status = ar__regex_put(r, negated ? ")(?s:.))" : ")");
    free(own.data);
    return status;
}
