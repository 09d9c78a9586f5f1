/* Values as text: Python's str and repr, and json.dumps. */
#include "jinja_inside.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ar_status add(ar__jbuild *b, const char *text) { return ar__jbuild_add(b, text, strlen(text)); }

/* The shortest digits that read back as x, as Python's repr writes them. */
static ar_status add_real(ar__jbuild *b, double x) {
    char text[96], digits[64];
    if (isnan(x)) return add(b, "nan");
    if (isinf(x)) return add(b, x > 0 ? "inf" : "-inf");
    int places = 1;
    do snprintf(digits, sizeof digits, "%.*e", places - 1, x);
    while (strtod(digits, NULL) != x && ++places <= 17);
    int exponent = atoi(strchr(digits, 'e') + 1);
    if (exponent < -4 || exponent >= 16) {
        char *e = strchr(digits, 'e');
        *e = '\0';
        snprintf(text, sizeof text, "%se%c%02d", digits, exponent < 0 ? '-' : '+', abs(exponent));
    } else {
        int behind = places - 1 - exponent;
        snprintf(text, sizeof text, "%.*f", behind > 1 ? behind : 1, x);
    }
    return add(b, text);
}

static bool is_printable(uint32_t c) {
    return !(c < 0x20 || (c >= 0x7f && c <= 0xa0) || c == 0xad || (c > 0x20 && ar__jis_space(c)) ||
             (c >= 0x200b && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) ||
             c == 0xfeff || (c >= 0xe000 && c <= 0xf8ff) || (c & 0xfffe) == 0xfffe);
}

static ar_status add_escape(ar__jbuild *b, uint32_t c) {
    static const char letters[] = "\n\r\t", names[] = "nrt";
    char text[16];
    const char *letter = c ? memchr(letters, (int)c, c < 0x80 ? 3 : 0) : NULL;
    if (letter)
        snprintf(text, sizeof text, "\\%c", names[letter - letters]);
    else
        snprintf(text, sizeof text, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
    return add(b, text);
}

static ar_status add_quoted(ar__jbuild *b, ar__jstring s) {
    bool single = memchr(s.data, '\'', s.bytes) != NULL, both = memchr(s.data, '"', s.bytes) != NULL;
    const char quote = single && !both ? '"' : '\'';
    AR_TRY(ar__jbuild_add(b, &quote, 1));
    for (size_t at = 0, step; at < s.bytes; at += step) {
        uint32_t c = ar__utf8_char(s.data + at, &step);
        if (c == (uint8_t)quote || c == '\\') AR_TRY(add(b, "\\"));
        AR_TRY(is_printable(c) ? ar__jbuild_add(b, s.data + at, step) : add_escape(b, c));
    }
    return ar__jbuild_add(b, &quote, 1);
}

/* `inside` another value: repr. */
static ar_status show(ar__jbuild *b, const ar__jvalue *v, bool inside, int32_t depth);

static ar_status show_list(ar__jbuild *b, const ar__jvalue *v, int32_t depth) {
    const ar__jlist *list = v->as.list;
    bool tuple = v->kind == AR__J_TUPLE;
    AR_TRY(add(b, tuple ? "(" : "["));
    for (size_t i = 0; i < list->count; i++) {
        if (i) AR_TRY(add(b, ", "));
        AR_TRY(show(b, &list->items[i], true, depth + 1));
    }
    return add(b, tuple ? list->count == 1 ? ",)" : ")" : "]");
}

static ar_status show_dict(ar__jbuild *b, const ar__jvalue *v, int32_t depth) {
    const ar__jdict *dict = v->as.dict;
    AR_TRY(add(b, "{"));
    for (size_t i = 0; i < dict->count; i++) {
        if (i) AR_TRY(add(b, ", "));
        AR_TRY(show(b, &dict->pairs[i].key, true, depth + 1));
        AR_TRY(add(b, ": "));
        AR_TRY(show(b, &dict->pairs[i].value, true, depth + 1));
    }
    return add(b, "}");
}

static ar_status too_deep(const ar__jrun *r) {
    return ar__jfail(r, AR_ERR_FORMAT, "found values more than %d levels deep", AR__J_MAX_DEPTH);
}

static ar_status show(ar__jbuild *b, const ar__jvalue *v, bool inside, int32_t depth) {
    char text[32];
    AR_TRY(ar__jstep(b->r, 1));
    if (depth > AR__J_MAX_DEPTH) return too_deep(b->r);
    switch (v->kind) {
    case AR__J_UNDEFINED: return add(b, inside ? "Undefined" : "");
    case AR__J_NONE: return add(b, "None");
    case AR__J_BOOL: return add(b, v->as.truth ? "True" : "False");
    case AR__J_INT: snprintf(text, sizeof text, "%lld", (long long)v->as.integer); return add(b, text);
    case AR__J_FLOAT: return add_real(b, v->as.real);
    case AR__J_STRING: return inside ? add_quoted(b, v->as.string) : ar__jbuild_string(b, v->as.string);
    case AR__J_LIST:
    case AR__J_TUPLE: return show_list(b, v, depth);
    case AR__J_DICT: return show_dict(b, v, depth);
    default: return ar__jfail(b->r, AR_ERR_UNSUPPORTED, "found %s written as text", ar__jkind_name(v->kind));
    }
}

ar_status ar__jstr(ar__jstring *s, ar__jrun *r, const ar__jvalue *v) {
    ar__jbuild b = {.r = r};
    if (v->kind == AR__J_STRING) {
        *s = v->as.string;
        return AR_OK;
    }
    AR_TRY(show(&b, v, false, 0));
    *s = ar__jbuild_done(&b);
    return AR_OK;
}

/* ---- JSON ---- */

typedef struct json {
    ar__jbuild b;
    const ar__jjson *how;
} json;

static ar_status json_string(json *j, ar__jstring s) {
    static const char plain[] = "\"\\\n\r\t\b\f", names[] = "\"\\nrtbf";
    AR_TRY(add(&j->b, "\""));
    for (size_t at = 0, step; at < s.bytes; at += step) {
        uint32_t c = ar__utf8_char(s.data + at, &step);
        const char *p = c && c < 0x80 ? strchr(plain, (int)c) : NULL;
        char text[16] = "";
        if (p)
            snprintf(text, sizeof text, "\\%c", names[p - plain]);
        else if (c < 0x20 || (j->how->ascii && c >= 0x7f && c < 0x10000))
            snprintf(text, sizeof text, "\\u%04x", (unsigned)c);
        else if (j->how->ascii && c >= 0x10000)
            snprintf(text, sizeof text, "\\u%04x\\u%04x", (unsigned)(0xd7c0 + (c >> 10)),
                     (unsigned)(0xdc00 + (c & 0x3ff)));
        AR_TRY(text[0] ? add(&j->b, text) : ar__jbuild_add(&j->b, s.data + at, step));
    }
    return add(&j->b, "\"");
}

static ar_status json_break(json *j, int32_t depth) {
    if (!j->how->indents) return AR_OK;
    AR_TRY(add(&j->b, "\n"));
    for (int32_t i = 0; i < depth; i++) AR_TRY(ar__jbuild_string(&j->b, j->how->indent));
    return AR_OK;
}

static ar_status json_value(json *j, const ar__jvalue *v, int32_t depth);

static ar_status json_list(json *j, const ar__jlist *list, int32_t depth) {
    AR_TRY(add(&j->b, "["));
    for (size_t i = 0; i < list->count; i++) {
        if (i) AR_TRY(ar__jbuild_string(&j->b, j->how->comma));
        AR_TRY(json_break(j, depth + 1));
        AR_TRY(json_value(j, &list->items[i], depth + 1));
    }
    if (list->count) AR_TRY(json_break(j, depth));
    return add(&j->b, "]");
}

static ar_status json_key(json *j, const ar__jvalue *key) {
    if (key->kind == AR__J_STRING) return json_string(j, key->as.string);
    AR_TRY(add(&j->b, "\""));
    AR_TRY(json_value(j, key, 0));
    return add(&j->b, "\"");
}

/* The pair that stands at place i, in the order of keys where sorted is asked for. */
static ar_status sorted_pairs(const ar__jpair **pairs, json *j, const ar__jdict *dict) {
    ar__jpair *made = ar__jtake(&j->b.r->arena, dict->count + 1, sizeof *made);
    if (!made) return AR_ERR_MEMORY;
    for (size_t i = 0; i < dict->count; i++) {
        size_t at = i;
        for (int order; at > 0; at--) {
            AR_TRY(ar__jorder(&order, j->b.r, &made[at - 1].key, &dict->pairs[i].key));
            if (order <= 0) break;
            made[at] = made[at - 1];
        }
        made[at] = dict->pairs[i];
    }
    *pairs = made;
    return AR_OK;
}

static ar_status json_dict(json *j, const ar__jdict *dict, int32_t depth) {
    const ar__jpair *pairs = dict->pairs;
    if (j->how->sorted) AR_TRY(sorted_pairs(&pairs, j, dict));
    AR_TRY(add(&j->b, "{"));
    for (size_t i = 0; i < dict->count; i++) {
        if (i) AR_TRY(ar__jbuild_string(&j->b, j->how->comma));
        AR_TRY(json_break(j, depth + 1));
        AR_TRY(json_key(j, &pairs[i].key));
        AR_TRY(ar__jbuild_string(&j->b, j->how->colon));
        AR_TRY(json_value(j, &pairs[i].value, depth + 1));
    }
    if (dict->count) AR_TRY(json_break(j, depth));
    return add(&j->b, "}");
}

static ar_status json_value(json *j, const ar__jvalue *v, int32_t depth) {
    AR_TRY(ar__jstep(j->b.r, 1));
    if (depth > AR__J_MAX_DEPTH) return too_deep(j->b.r);
    switch (v->kind) {
    case AR__J_NONE: return add(&j->b, "null");
    case AR__J_BOOL: return add(&j->b, v->as.truth ? "true" : "false");
    case AR__J_INT: return show(&j->b, v, true, depth);
    case AR__J_FLOAT:
        if (isnan(v->as.real)) return add(&j->b, "NaN");
        if (isinf(v->as.real)) return add(&j->b, v->as.real > 0 ? "Infinity" : "-Infinity");
        return add_real(&j->b, v->as.real);
    case AR__J_STRING: return json_string(j, v->as.string);
    case AR__J_LIST:
    case AR__J_TUPLE: return json_list(j, v->as.list, depth);
    case AR__J_DICT: return json_dict(j, v->as.dict, depth);
    default:
        return ar__jfail(j->b.r, AR_ERR_FORMAT, "tojson: found %s, expected what JSON can hold",
                         ar__jkind_name(v->kind));
    }
}

ar_status ar__jjson_of(ar__jstring *s, ar__jrun *r, const ar__jvalue *v, const ar__jjson *how) {
    json j = {.b = {.r = r}, .how = how};
    AR_TRY(json_value(&j, v, 0));
    *s = ar__jbuild_done(&j.b);
    return AR_OK;
}

/* ---- s % values ---- */

/* %d, %f and their kin; digits: of %.Nf. */
static ar_status format_number(ar__jbuild *b, char letter, int digits, const ar__jvalue *v) {
    char text[400];
    if (!ar__jis_number(v))
        return ar__jfail(b->r, AR_ERR_FORMAT, "%%%c: found %s, expected a number", letter,
                         ar__jkind_name(v->kind));
    double x = ar__jnumber(v);
    int n = letter == 'f'            ? snprintf(text, sizeof text, "%.*f", digits, x)
            : v->kind == AR__J_FLOAT ? snprintf(text, sizeof text, "%.0f", trunc(x))
                                     : snprintf(text, sizeof text, "%lld", (long long)ar__jinteger(v));
    return ar__jbuild_add(b, text, n > 0 && (size_t)n < sizeof text ? (size_t)n : 0);
}

ar_status ar__jstring_format(ar__jstring *out, ar__jrun *r, ar__jstring s, const ar__jvalue *values,
                             size_t count) {
    ar__jbuild b = {.r = r};
    size_t used = 0;
    for (size_t i = 0; i < s.bytes; i++) {
        if (s.data[i] != '%') {
            AR_TRY(ar__jbuild_add(&b, s.data + i, 1));
            continue;
        }
        char letter = ++i < s.bytes ? s.data[i] : 0;
        int digits = 6;
        if (letter == '.' && i + 2 < s.bytes && s.data[i + 1] >= '0' && s.data[i + 1] <= '9') {
            digits = s.data[i + 1] - '0';
            i += 2;
            letter = s.data[i] == 'f' ? 'f' : 0;
        }
        if (letter == '%') {
            AR_TRY(ar__jbuild_add(&b, "%", 1));
            continue;
        }
        if (letter != 's' && letter != 'd' && letter != 'i' && letter != 'f')
            return ar__jfail(r, AR_ERR_UNSUPPORTED, "found a format other than %%s, %%d, %%i, %%f and %%.Nf");
        if (used == count) return ar__jfail(r, AR_ERR_FORMAT, "found too few values for a format");
        ar__jstring text;
        if (letter == 's') {
            AR_TRY(ar__jstr(&text, r, &values[used++]));
            AR_TRY(ar__jbuild_string(&b, text));
        } else {
            AR_TRY(format_number(&b, letter, digits, &values[used++]));
        }
    }
    if (used < count) return ar__jfail(r, AR_ERR_FORMAT, "found more values than a format takes");
    *out = ar__jbuild_done(&b);
    return AR_OK;
}
