/* Methods of strings, dicts and loops. What would change a value, transformers' sandbox refuses. */
#include "jinja_inside.h"
#include <string.h>

typedef ar_status method(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args);
static const ar__jvalue none = {.kind = AR__J_NONE};

static ar__jvalue text_of(ar__jstring s) { return ar__jtext(s.data, s.bytes); }

/* Argument i as a string. */
static ar_status text_argument(ar__jstring *s, const ar__jrun *r, const ar__jargs *args, size_t i,
                               const char *name) {
    ar__jvalue v = ar__jarg(args, i, name, none);
    if (v.kind != AR__J_STRING)
        return ar__jfail(r, AR_ERR_FORMAT, "found %s as an argument, expected a string",
                         ar__jkind_name(v.kind));
    *s = v.as.string;
    return AR_OK;
}

/* ---- strings ---- */

static ar_status stripped(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args,
                          int sides) {
    ar__jvalue chars = ar__jarg(args, 0, "", none);
    ar__jstring which;
    if (chars.kind != AR__J_NONE) AR_TRY(text_argument(&which, r, args, 0, ""));
    ar__jstring s;
    AR_TRY(ar__jstring_strip(&s, r, of->as.string, chars.kind == AR__J_NONE ? NULL : &which, sides));
    *v = text_of(s);
    return AR_OK;
}

static ar_status strip(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    return stripped(v, r, of, args, AR__J_LEFT | AR__J_RIGHT);
}

static ar_status lstrip(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    return stripped(v, r, of, args, AR__J_LEFT);
}

static ar_status rstrip(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    return stripped(v, r, of, args, AR__J_RIGHT);
}

static ar_status cut(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args, bool last) {
    ar__jvalue by = ar__jarg(args, 0, "sep", none), most = ar__jarg(args, 1, "maxsplit", ar__jint(-1));
    if (by.kind != AR__J_STRING && by.kind != AR__J_NONE)
        return ar__jfail(r, AR_ERR_FORMAT, "split: found %s, expected a string", ar__jkind_name(by.kind));
    if (most.kind != AR__J_INT)
        return ar__jfail(r, AR_ERR_FORMAT, "split: found %s, expected an int", ar__jkind_name(most.kind));
    return ar__jstring_split(v, r, of->as.string, by.kind == AR__J_NONE ? NULL : &by.as.string,
                             most.as.integer, last);
}

static ar_status split(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    return cut(v, r, of, args, false);
}

static ar_status rsplit(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    return cut(v, r, of, args, true);
}

static ar_status splitlines(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    ar__jvalue keep = ar__jarg(args, 0, "keepends", none);
    bool keeps;
    AR_TRY(ar__jtruth(&keeps, r, &keep));
    return ar__jstring_lines(v, r, of->as.string, keeps);
}

static bool has_end(ar__jstring s, ar__jstring part, bool start) {
    return s.bytes >= part.bytes && (part.bytes == 0 || memcmp(start ? s.data : s.data + s.bytes - part.bytes,
                                                               part.data, part.bytes) == 0);
}

/* The argument is a string or a tuple of them. */
static ar_status ends(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args, bool start) {
    ar__jvalue one = ar__jarg(args, 0, "", none);
    bool several = one.kind == AR__J_TUPLE, has = false;
    size_t count = several ? one.as.list->count : 1;
    for (size_t i = 0; i < count; i++) {
        const ar__jvalue *part = several ? &one.as.list->items[i] : &one;
        if (part->kind != AR__J_STRING)
            return ar__jfail(r, AR_ERR_FORMAT, "startswith, endswith: found %s, expected a string",
                             ar__jkind_name(part->kind));
        AR_TRY(ar__jwork(r, part->as.string.bytes + 8));
        has = has || has_end(of->as.string, part->as.string, start);
    }
    *v = ar__jbool(has);
    return AR_OK;
}

static ar_status startswith(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    return ends(v, r, of, args, true);
}

static ar_status endswith(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    return ends(v, r, of, args, false);
}

static ar_status without(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args,
                         bool start) {
    ar__jstring s = of->as.string, part = {"", 0};
    AR_TRY(text_argument(&part, r, args, 0, ""));
    if (has_end(s, part, start))
        s = (ar__jstring){start ? s.data + part.bytes : s.data, s.bytes - part.bytes};
    *v = text_of(s);
    return AR_OK;
}

static ar_status removeprefix(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    return without(v, r, of, args, true);
}

static ar_status removesuffix(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    return without(v, r, of, args, false);
}

static ar_status in_case(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, ar__jcase to) {
    ar__jstring s;
    AR_TRY(ar__jstring_case(&s, r, of->as.string, to));
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
    return in_case(v, r, of, AR__J_TITLE);
}

static ar_status replace(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    ar__jvalue count = ar__jarg(args, 2, "count", ar__jint(-1));
    ar__jstring from, to, made;
    AR_TRY(text_argument(&from, r, args, 0, ""));
    AR_TRY(text_argument(&to, r, args, 1, ""));
    if (count.kind != AR__J_INT) return ar__jfail(r, AR_ERR_FORMAT, "replace: found no count");
    AR_TRY(ar__jstring_replace(&made, r, of->as.string, from, to, count.as.integer));
    *v = text_of(made);
    return AR_OK;
}

static ar_status found_at(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args,
                          bool last) {
    ar__jstring part;
    size_t at;
    AR_TRY(text_argument(&part, r, args, 0, ""));
    AR_TRY(last ? ar__jstring_find_last(&at, r, of->as.string, part)
                : ar__jstring_find(&at, r, of->as.string, part, 0));
    ar__jstring before = {of->as.string.data, at};
    *v = ar__jint(at == SIZE_MAX ? -1 : (int64_t)ar__jstring_length(before));
    return AR_OK;
}

static ar_status find(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    return found_at(v, r, of, args, false);
}

static ar_status rfind(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    return found_at(v, r, of, args, true);
}

static ar_status count(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    ar__jstring part;
    int64_t n = 0;
    AR_TRY(text_argument(&part, r, args, 0, ""));
    if (part.bytes == 0) return *v = ar__jint((int64_t)ar__jstring_length(of->as.string) + 1), AR_OK;
    for (size_t at = 0;; n++) {
        AR_TRY(ar__jstring_find(&at, r, of->as.string, part, at));
        if (at == SIZE_MAX) break;
        at += part.bytes;
    }
    *v = ar__jint(n);
    return AR_OK;
}

static ar_status join(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    ar__jvalue given = ar__jarg(args, 0, "", none);
    const ar__jlist *list;
    ar__jbuild made = {.r = r};
    AR_TRY(ar__jiterate(&list, r, &given));
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].kind != AR__J_STRING)
            return ar__jfail(r, AR_ERR_FORMAT, "join: found %s, expected a string",
                             ar__jkind_name(list->items[i].kind));
        if (i) AR_TRY(ar__jbuild_string(&made, of->as.string));
        AR_TRY(ar__jbuild_string(&made, list->items[i].as.string));
    }
    *v = text_of(ar__jbuild_done(&made));
    return AR_OK;
}

static ar_status isdigit_(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    ar__jstring s = of->as.string;
    bool all = s.bytes > 0;
    (void)args;
    for (size_t i = 0; i < s.bytes; i++) {
        if ((uint8_t)s.data[i] >= 0x80)
            return ar__jfail(r, AR_ERR_UNSUPPORTED, "found isdigit of letters beyond ASCII");
        all = all && s.data[i] >= '0' && s.data[i] <= '9';
    }
    *v = ar__jbool(all);
    return AR_OK;
}

static ar_status isspace_(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    ar__jstring rest;
    (void)args;
    AR_TRY(ar__jstring_strip(&rest, r, of->as.string, NULL, AR__J_LEFT));
    *v = ar__jbool(of->as.string.bytes && rest.bytes == 0);
    return AR_OK;
}

/* ---- dicts and lists ---- */

static ar_status get(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    ar__jvalue key = ar__jarg(args, 0, "", none), *found;
    AR_TRY(ar__jdict_find(&found, r, of, &key));
    *v = found ? *found : ar__jarg(args, 1, "", none);
    return AR_OK;
}

static ar_status listed(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, bool values) {
    const ar__jdict *dict = of->as.dict;
    AR_TRY(ar__jstep(r, dict->count));
    AR_TRY(ar__jlist_make(v, &r->arena, AR__J_LIST, dict->count));
    for (size_t i = 0; i < dict->count; i++)
        AR_TRY(ar__jlist_push(v, &r->arena, values ? dict->pairs[i].value : dict->pairs[i].key));
    return AR_OK;
}

static ar_status keys(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    (void)args;
    return listed(v, r, of, false);
}

static ar_status values(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    (void)args;
    return listed(v, r, of, true);
}

static ar_status items(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    (void)args;
    return ar__jdict_items(v, r, of, AR__J_LIST);
}

static ar_status itself(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    (void)r;
    (void)args;
    *v = *of; /* no value changes, so a copy is as good as the original */
    return AR_OK;
}

static ar_status list_count(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    ar__jvalue wanted = ar__jarg(args, 0, "", none);
    int64_t n = 0;
    for (size_t i = 0; i < of->as.list->count; i++) {
        bool equal;
        AR_TRY(ar__jequal(&equal, r, &of->as.list->items[i], &wanted));
        n += equal;
    }
    *v = ar__jint(n);
    return AR_OK;
}

/* ---- loops ---- */

static ar_status cycle(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    const ar__jlist *list = args->given.as.list;
    if (list->count == 0) return ar__jfail(r, AR_ERR_FORMAT, "cycle: found nothing to go through");
    *v = list->items[of->as.loop->at % list->count];
    return AR_OK;
}

static ar_status changed(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    ar__jloop *loop = of->as.loop;
    bool equal = false;
    if (loop->changed.kind == AR__J_LIST) AR_TRY(ar__jequal(&equal, r, &loop->changed, &args->given));
    loop->changed = args->given;
    *v = ar__jbool(!equal);
    return AR_OK;
}

#define ANY SIZE_MAX
static const struct {
    ar__jkind of;
    const char *name;
    method *run;
    size_t least, most;
    const char *names;
} methods[] = {
    {AR__J_STRING, "strip", strip, 0, 1, ""},
    {AR__J_STRING, "lstrip", lstrip, 0, 1, ""},
    {AR__J_STRING, "rstrip", rstrip, 0, 1, ""},
    {AR__J_STRING, "split", split, 0, 2, "sep maxsplit"},
    {AR__J_STRING, "rsplit", rsplit, 0, 2, "sep maxsplit"},
    {AR__J_STRING, "splitlines", splitlines, 0, 1, "keepends"},
    {AR__J_STRING, "startswith", startswith, 1, 1, ""},
    {AR__J_STRING, "endswith", endswith, 1, 1, ""},
    {AR__J_STRING, "removeprefix", removeprefix, 1, 1, ""},
    {AR__J_STRING, "removesuffix", removesuffix, 1, 1, ""},
    {AR__J_STRING, "upper", upper, 0, 0, ""},
    {AR__J_STRING, "lower", lower, 0, 0, ""},
    {AR__J_STRING, "capitalize", capitalize, 0, 0, ""},
    {AR__J_STRING, "title", title, 0, 0, ""},
    {AR__J_STRING, "replace", replace, 2, 3, "count"},
    {AR__J_STRING, "find", find, 1, 1, ""},
    {AR__J_STRING, "rfind", rfind, 1, 1, ""},
    {AR__J_STRING, "count", count, 1, 1, ""},
    {AR__J_STRING, "join", join, 1, 1, ""},
    {AR__J_STRING, "isdigit", isdigit_, 0, 0, ""},
    {AR__J_STRING, "isspace", isspace_, 0, 0, ""},
    {AR__J_DICT, "get", get, 1, 2, ""},
    {AR__J_DICT, "keys", keys, 0, 0, ""},
    {AR__J_DICT, "values", values, 0, 0, ""},
    {AR__J_DICT, "items", items, 0, 0, ""},
    {AR__J_DICT, "copy", itself, 0, 0, ""},
    {AR__J_LIST, "copy", itself, 0, 0, ""},
    {AR__J_LIST, "count", list_count, 1, 1, ""},
    {AR__J_TUPLE, "count", list_count, 1, 1, ""},
    {AR__J_LOOP, "cycle", cycle, 0, ANY, ""},
    {AR__J_LOOP, "changed", changed, 0, ANY, ""},
};

bool ar__jhas_method(const ar__jvalue *of, ar__jstring name) {
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (methods[i].of == of->kind && ar__jis(name, methods[i].name)) return true;
    return false;
}

ar_status ar__jcall_method(ar__jvalue *v, ar__jrun *r, const ar__jmethod *m, const ar__jargs *args) {
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        if (methods[i].of != m->of.kind || !ar__jis(m->name, methods[i].name)) continue;
        AR_TRY(ar__jargs_check(r, args, m->name, methods[i].least, methods[i].most, methods[i].names));
        if (m->of.kind == AR__J_STRING) AR_TRY(ar__jwork(r, m->of.as.string.bytes)); /* once through it */
        return methods[i].run(v, r, &m->of, args);
    }
    return ar__jfail(r, AR_ERR_UNSUPPORTED, "found an unknown method");
}
