/* Filters of one value. jinja_select.c has those over lists. */
#include "jinja_inside.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef ar_status filter(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args);
static const ar__jvalue none = {.kind = AR__J_NONE};

static ar__jvalue text_of(ar__jstring s) { return ar__jtext(s.data, s.bytes); }

static ar_status whole_argument(int64_t *n, const ar__jrun *r, const ar__jvalue *v, const char *what) {
    if (v->kind != AR__J_INT && v->kind != AR__J_BOOL)
        return ar__jfail(r, AR_ERR_FORMAT, "%s: found %s, expected an int", what, ar__jkind_name(v->kind));
    *n = ar__jinteger(v);
    return AR_OK;
}

/* ---- text ---- */

static ar_status trim(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    ar__jvalue chars = ar__jarg(args, 0, "chars", none);
    ar__jstring s, which;
    AR_TRY(ar__jstr(&s, r, of));
    if (chars.kind != AR__J_NONE) AR_TRY(ar__jstr(&which, r, &chars));
    AR_TRY(ar__jstring_strip(&s, r, s, chars.kind == AR__J_NONE ? NULL : &which, AR__J_LEFT | AR__J_RIGHT));
    *v = text_of(s);
    return AR_OK;
}

static ar_status in_case(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, ar__jcase to) {
    ar__jstring s;
    AR_TRY(ar__jstr(&s, r, of));
    AR_TRY(ar__jstring_case(&s, r, s, to));
    *v = text_of(s);
    return AR_OK;
}

static ar_status upper(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    (void)args;
    return in_case(v, r, of, AR__J_UPPER);
}

static ar_status lower(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    (void)args;
    return in_case(v, r, of, AR__J_LOWER);
}

static ar_status capitalize(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    (void)args;
    return in_case(v, r, of, AR__J_CAPITALIZE);
}

static ar_status title(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    (void)args;
    return in_case(v, r, of, AR__J_TITLE_WORDS);
}

static ar_status to_string(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    ar__jstring s;
    (void)args;
    AR_TRY(ar__jstr(&s, r, of));
    *v = text_of(s);
    v->safe = of->safe;
    return AR_OK;
}

static ar_status safe(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    AR_TRY(to_string(v, r, of, args));
    v->safe = true;
    return AR_OK;
}

static ar_status escape(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    ar__jstring s;
    if (of->safe) return *v = *of, AR_OK;
    (void)args;
    AR_TRY(ar__jstr(&s, r, of));
    AR_TRY(ar__jstring_escape(&s, r, s));
    *v = text_of(s);
    v->safe = true;
    return AR_OK;
}

static ar_status replace(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    ar__jvalue from = ar__jarg(args, 0, "old", none), to = ar__jarg(args, 1, "new", none),
               count = ar__jarg(args, 2, "count", none);
    ar__jstring s, old, new;
    int64_t times = -1;
    AR_TRY(ar__jstr(&s, r, of));
    AR_TRY(ar__jstr(&old, r, &from));
    AR_TRY(ar__jstr(&new, r, &to));
    if (count.kind != AR__J_NONE) AR_TRY(whole_argument(&times, r, &count, "replace"));
    AR_TRY(ar__jstring_replace(&s, r, s, old, new, times));
    *v = text_of(s);
    return AR_OK;
}

/* Spaces before every line but the first; with `first` there too, with `blank` also before empty ones. */
static ar_status indent(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    ar__jvalue width = ar__jarg(args, 0, "width", ar__jint(4)), first = ar__jarg(args, 1, "first", none),
               blank = ar__jarg(args, 2, "blank", none), lines;
    ar__jstring s, by;
    ar__jbuild made = {.r = r}, spaces = {.r = r};
    bool at_first, at_blank;
    int64_t n = 0;
    AR_TRY(ar__jstr(&s, r, of));
    AR_TRY(ar__jtruth(&at_first, r, &first));
    AR_TRY(ar__jtruth(&at_blank, r, &blank));
    if (width.kind != AR__J_STRING) AR_TRY(whole_argument(&n, r, &width, "indent"));
    for (int64_t i = 0; i < n; i++) AR_TRY(ar__jbuild_add(&spaces, " ", 1));
    by = width.kind == AR__J_STRING ? width.as.string : ar__jbuild_done(&spaces);
    AR_TRY(ar__jbuild_string(&made, s));
    AR_TRY(ar__jbuild_add(&made, "\n", 1)); /* so that a last line break leaves an empty line */
    AR_TRY(ar__jstring_lines(&lines, r, ar__jbuild_done(&made), false));
    made = (ar__jbuild){.r = r};
    for (size_t i = 0; i < lines.as.list->count; i++) {
        ar__jstring line = lines.as.list->items[i].as.string;
        if (i) AR_TRY(ar__jbuild_add(&made, "\n", 1));
        if (i ? at_blank || line.bytes : at_first) AR_TRY(ar__jbuild_string(&made, by));
        AR_TRY(ar__jbuild_string(&made, line));
    }
    *v = text_of(ar__jbuild_done(&made));
    return AR_OK;
}

static ar_status format(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    ar__jstring s;
    if (args->named.as.dict->count) return ar__jfail(r, AR_ERR_UNSUPPORTED, "found a format with names");
    AR_TRY(ar__jstr(&s, r, of));
    AR_TRY(ar__jstring_format(&s, r, s, args->given.as.list->items, args->given.as.list->count));
    *v = text_of(s);
    return AR_OK;
}

static ar_status separators(ar__jjson *how, ar__jrun *r, const ar__jvalue *v) {
    if (v->kind == AR__J_NONE) return AR_OK;
    bool listed = v->kind == AR__J_LIST || v->kind == AR__J_TUPLE;
    const ar__jlist *list = listed ? v->as.list : NULL;
    if (!list || list->count != 2 || list->items[0].kind != AR__J_STRING ||
        list->items[1].kind != AR__J_STRING)
        return ar__jfail(r, AR_ERR_FORMAT, "tojson: found separators that are no two strings");
    how->comma = list->items[0].as.string;
    how->colon = list->items[1].as.string;
    return AR_OK;
}

static ar_status to_json(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    ar__jvalue ascii = ar__jarg(args, 0, "ensure_ascii", none), width = ar__jarg(args, 1, "indent", none),
               between = ar__jarg(args, 2, "separators", none), sorted = ar__jarg(args, 3, "sort_keys", none);
    ar__jjson how = {.comma = {", ", 2}, .colon = {": ", 2}};
    ar__jbuild spaces = {.r = r};
    ar__jstring s;
    int64_t n = 0;
    AR_TRY(ar__jtruth(&how.ascii, r, &ascii));
    AR_TRY(ar__jtruth(&how.sorted, r, &sorted));
    how.indents = width.kind != AR__J_NONE;
    if (how.indents) how.comma = (ar__jstring){",", 1};
    if (how.indents && width.kind != AR__J_STRING) AR_TRY(whole_argument(&n, r, &width, "tojson"));
    for (int64_t i = 0; i < n; i++) AR_TRY(ar__jbuild_add(&spaces, " ", 1));
    how.indent = width.kind == AR__J_STRING ? width.as.string : ar__jbuild_done(&spaces);
    AR_TRY(separators(&how, r, &between));
    AR_TRY(ar__jjson_of(&s, r, of, &how));
    *v = text_of(s);
    return AR_OK;
}

/* ---- numbers ---- */

/* A text as Python's float reads it; *is = false if it is none. */
static ar_status read_real(double *x, bool *is, ar__jrun *r, ar__jstring s) {
    char text[64], *end;
    *is = false;
    AR_TRY(ar__jstring_strip(&s, r, s, NULL, AR__J_LEFT | AR__J_RIGHT));
    if (s.bytes == 0 || s.bytes >= sizeof text) return AR_OK;
    memcpy(text, s.data, s.bytes);
    text[s.bytes] = '\0';
    if (strspn(text, "0123456789+-.eE") != s.bytes) return AR_OK;
    *x = strtod(text, &end);
    *is = *end == '\0';
    return AR_OK;
}

static ar_status to_int(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    double x = 0;
    bool is = of->kind == AR__J_FLOAT;
    ar__jvalue base = ar__jarg(args, 1, "base", ar__jint(10));
    if (base.kind != AR__J_INT || base.as.integer != 10)
        return ar__jfail(r, AR_ERR_UNSUPPORTED, "found int with another base than 10");
    if (of->kind == AR__J_UNDEFINED) return ar__jis_undefined(r, of);
    *v = ar__jarg(args, 0, "default", ar__jint(0));
    if (of->kind == AR__J_BOOL || of->kind == AR__J_INT) return *v = ar__jint(ar__jinteger(of)), AR_OK;
    if (is) x = of->as.real;
    if (of->kind == AR__J_STRING) AR_TRY(read_real(&x, &is, r, of->as.string));
    if (!is) return AR_OK;
    if (fabs(x) < 9e15)
        *v = ar__jint((int64_t)x);
    else if (isfinite(x))
        return ar__jfail(r, AR_ERR_UNSUPPORTED, "found int of a number beyond 9e15");
    return AR_OK;
}

static ar_status to_float(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    double x = 0;
    bool is = false;
    if (of->kind == AR__J_UNDEFINED) return ar__jis_undefined(r, of);
    *v = ar__jarg(args, 0, "default", ar__jreal(0));
    if (ar__jis_number(of)) *v = ar__jreal(ar__jnumber(of));
    if (of->kind == AR__J_STRING) AR_TRY(read_real(&x, &is, r, of->as.string));
    if (is) *v = ar__jreal(x);
    return AR_OK;
}

static ar_status absolute(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    (void)args;
    if (!ar__jis_number(of)) return ar__jfail(r, AR_ERR_FORMAT, "abs: found %s", ar__jkind_name(of->kind));
    bool exact = of->kind != AR__J_FLOAT;
    *v = exact ? ar__jint(ar__jinteger(of) < 0 ? -ar__jinteger(of) : ar__jinteger(of))
               : ar__jreal(fabs(of->as.real));
    return AR_OK;
}

static ar_status round_off(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    ar__jvalue places = ar__jarg(args, 0, "precision", ar__jint(0)), way = ar__jarg(args, 1, "method", none);
    bool up = way.kind == AR__J_STRING && ar__jis(way.as.string, "ceil"),
         down = way.kind == AR__J_STRING && ar__jis(way.as.string, "floor");
    int64_t n = 0;
    if (!ar__jis_number(of)) return ar__jfail(r, AR_ERR_FORMAT, "round: found %s", ar__jkind_name(of->kind));
    AR_TRY(whole_argument(&n, r, &places, "round"));
    if (n < 0 || n > 15) return ar__jfail(r, AR_ERR_UNSUPPORTED, "found round to %lld places", (long long)n);
    double scale = pow(10.0, (double)n), x = ar__jnumber(of) * scale;
    x = up ? ceil(x) : down ? floor(x) : nearbyint(x);
    *v = of->kind == AR__J_FLOAT || up || down ? ar__jreal(x / scale) : *of;
    return AR_OK;
}

/* ---- any value ---- */

static ar_status instead(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    ar__jvalue also = ar__jarg(args, 1, "boolean", none);
    bool falsy, holds;
    AR_TRY(ar__jtruth(&falsy, r, &also));
    AR_TRY(ar__jtruth(&holds, r, of));
    bool missing = of->kind == AR__J_UNDEFINED || (falsy && !holds);
    *v = missing ? ar__jarg(args, 0, "default_value", ar__jtext("", 0)) : *of;
    return AR_OK;
}

static ar_status length(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    int64_t n;
    (void)args;
    AR_TRY(ar__jlength(&n, r, of));
    *v = ar__jint(n);
    return AR_OK;
}

static ar_status attribute(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    ar__jvalue name = ar__jarg(args, 0, "name", none);
    if (name.kind != AR__J_STRING) return ar__jfail(r, AR_ERR_FORMAT, "attr: found no name");
    *v = ar__jundefined(name.as.string);
    if (of->kind == AR__J_DICT && !ar__jhas_method(of, name.as.string)) return AR_OK; /* no items here */
    return ar__jattribute(v, r, of, name.as.string);
}

static const struct {
    const char *name;
    filter *run;
    size_t least, most;
    const char *names;
} filters[] = {
    {"trim", trim, 0, 1, "chars"},
    {"upper", upper, 0, 0, ""},
    {"lower", lower, 0, 0, ""},
    {"capitalize", capitalize, 0, 0, ""},
    {"title", title, 0, 0, ""},
    {"string", to_string, 0, 0, ""},
    {"safe", safe, 0, 0, ""},
    {"escape", escape, 0, 0, ""},
    {"e", escape, 0, 0, ""},
    {"replace", replace, 2, 3, "old new count"},
    {"indent", indent, 0, 3, "width first blank"},
    {"format", format, 0, SIZE_MAX, ""},
    {"tojson", to_json, 0, 4, "ensure_ascii indent separators sort_keys"},
    {"int", to_int, 0, 2, "default base"},
    {"float", to_float, 0, 1, "default"},
    {"abs", absolute, 0, 0, ""},
    {"round", round_off, 0, 2, "precision method"},
    {"default", instead, 0, 2, "default_value boolean"},
    {"d", instead, 0, 2, "default_value boolean"},
    {"length", length, 0, 0, ""},
    {"count", length, 0, 0, ""},
    {"attr", attribute, 1, 1, "name"},
};

ar_status ar__jfilter_value(ar__jvalue *v, bool *known, ar__jrun *r, ar__jstring name, const ar__jvalue *of,
                            const ar__jargs *args) {
    *known = false;
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        if (!ar__jis(name, filters[i].name)) continue;
        *known = true;
        AR_TRY(ar__jargs_check(r, args, name, filters[i].least, filters[i].most, filters[i].names));
        return filters[i].run(v, r, of, args);
    }
    return AR_OK;
}
