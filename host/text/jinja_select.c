/* Filters over lists. */
#include "jinja_inside.h"
#include <string.h>

typedef ar_status list_filter(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args);
static const ar__jvalue none = {.kind = AR__J_NONE};

/* The value that a path of attributes and places separated by dots leads to; path NONE: the item itself. */
static ar_status follow(ar__jvalue *v, ar__jrun *r, const ar__jvalue *item, const ar__jvalue *path) {
    *v = *item;
    if (path->kind == AR__J_NONE) return AR_OK;
    if (path->kind == AR__J_INT) return ar__jitem(v, r, item, path);
    if (path->kind != AR__J_STRING)
        return ar__jfail(r, AR_ERR_FORMAT, "attribute: found %s, expected a name",
                         ar__jkind_name(path->kind));
    ar__jstring rest = path->as.string;
    for (bool more = true; more;) {
        const char *dot = memchr(rest.data, '.', rest.bytes);
        size_t n = dot ? (size_t)(dot - rest.data) : rest.bytes;
        ar__jvalue key = ar__jtext(rest.data, n), of = *v;
        int64_t place = 0;
        size_t digits = 0;
        AR_TRY(ar__jwork(r, 64 + n));
        for (; digits < n && rest.data[digits] >= '0' && rest.data[digits] <= '9' && digits < 10; digits++)
            place = 10 * place + (rest.data[digits] - '0');
        if (n > 0 && digits == n) key = ar__jint(place);
        AR_TRY(ar__jitem(v, r, &of, &key));
        more = dot != NULL;
        rest = (ar__jstring){rest.data + n + more, rest.bytes - n - more};
    }
    return AR_OK;
}

/* Arguments [from, ..) and all by name. */
static ar_status rest_of(ar__jargs *rest, ar__jrun *r, const ar__jargs *args, size_t from) {
    AR_TRY(ar__jargs_make(rest, r));
    rest->named = args->named;
    for (size_t i = from; i < args->given.as.list->count; i++)
        AR_TRY(ar__jlist_push(&rest->given, &r->arena, args->given.as.list->items[i]));
    return AR_OK;
}

/* The items, or with attributes those whose attribute, pass a test or are true; wanted: that do, or do not.
 */
static ar_status choose(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args,
                        bool attributes, bool wanted) {
    ar__jvalue path = attributes ? ar__jarg(args, 0, "attribute", none) : none,
               test = ar__jarg(args, attributes, "test", none);
    const ar__jlist *list;
    ar__jargs rest;
    if (attributes && path.kind == AR__J_NONE)
        return ar__jfail(r, AR_ERR_FORMAT, "found no attribute to select by");
    if (test.kind != AR__J_NONE && test.kind != AR__J_STRING)
        return ar__jfail(r, AR_ERR_FORMAT, "select: found %s, expected a test", ar__jkind_name(test.kind));
    AR_TRY(rest_of(&rest, r, args, (size_t)attributes + 1));
    AR_TRY(ar__jiterate(&list, r, of));
    AR_TRY(ar__jlist_make(v, &r->arena, AR__J_ITERATOR, 0));
    for (size_t i = 0; i < list->count; i++) {
        ar__jvalue looked;
        bool holds;
        AR_TRY(follow(&looked, r, &list->items[i], &path));
        AR_TRY(test.kind == AR__J_NONE ? ar__jtruth(&holds, r, &looked)
                                       : ar__jtest(&holds, r, test.as.string, &looked, &rest));
        if (holds == wanted) AR_TRY(ar__jlist_push(v, &r->arena, list->items[i]));
    }
    return AR_OK;
}

static ar_status select_items(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    return choose(v, r, of, args, false, true);
}

static ar_status reject_items(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    return choose(v, r, of, args, false, false);
}

static ar_status select_by(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    return choose(v, r, of, args, true, true);
}

static ar_status reject_by(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    return choose(v, r, of, args, true, false);
}

static ar_status map(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    bool by_filter = args->given.as.list->count > 0;
    ar__jvalue path = by_filter ? none : ar__jarg(args, 0, "attribute", none),
               name = ar__jarg(args, 0, "", none),
               fallback = ar__jarg(args, SIZE_MAX, "default", (ar__jvalue){.kind = AR__J_UNDEFINED});
    const ar__jlist *list;
    ar__jargs rest;
    if (by_filter ? name.kind != AR__J_STRING : path.kind == AR__J_NONE)
        return ar__jfail(r, AR_ERR_FORMAT, "map: found neither a filter nor an attribute");
    AR_TRY(rest_of(&rest, r, args, 1));
    AR_TRY(ar__jiterate(&list, r, of));
    AR_TRY(ar__jlist_make(v, &r->arena, AR__J_ITERATOR, list->count));
    for (size_t i = 0; i < list->count; i++) {
        ar__jvalue made;
        AR_TRY(by_filter ? ar__jfilter(&made, r, name.as.string, &list->items[i], &rest)
                         : follow(&made, r, &list->items[i], &path));
        if (!by_filter && made.kind == AR__J_UNDEFINED && fallback.kind != AR__J_UNDEFINED) made = fallback;
        AR_TRY(ar__jlist_push(v, &r->arena, made));
    }
    return AR_OK;
}

static ar_status join(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    ar__jvalue between = ar__jarg(args, 0, "d", ar__jtext("", 0)),
               path = ar__jarg(args, 1, "attribute", none);
    const ar__jlist *list;
    ar__jbuild made = {.r = r};
    ar__jstring s, d;
    AR_TRY(ar__jstr(&d, r, &between));
    AR_TRY(ar__jiterate(&list, r, of));
    for (size_t i = 0; i < list->count; i++) {
        ar__jvalue item;
        AR_TRY(follow(&item, r, &list->items[i], &path));
        AR_TRY(ar__jstr(&s, r, &item));
        if (i) AR_TRY(ar__jbuild_string(&made, d));
        AR_TRY(ar__jbuild_string(&made, s));
    }
    s = ar__jbuild_done(&made);
    *v = ar__jtext(s.data, s.bytes);
    return AR_OK;
}

/* ---- order ---- */

/* What is compared of a value: letters in lower case, unless case counts. */
static ar_status sort_key(ar__jvalue *key, ar__jrun *r, bool cased) {
    if (key->kind != AR__J_STRING || cased) return AR_OK;
    ar__jstring s;
    AR_TRY(ar__jstring_case(&s, r, key->as.string, AR__J_LOWER));
    *key = ar__jtext(s.data, s.bytes);
    return AR_OK;
}

/* Sorts items by keys, both of `count`, stably; ties keep their order also in reverse, as Python's. */
static ar_status sort_by(ar__jrun *r, ar__jvalue *items, ar__jvalue *keys, size_t count, bool down) {
    ar__jvalue *made = ar__jtake(&r->arena, 2 * count + 1, sizeof *made);
    if (!made) return AR_ERR_MEMORY;
    for (size_t run = 1; run < count; run *= 2) {
        for (size_t from = 0; from < count; from += 2 * run) {
            size_t middle = from + run < count ? from + run : count,
                   end = from + 2 * run < count ? from + 2 * run : count, a = from, b = middle;
            for (size_t at = from; at < end; at++) {
                int order = 0;
                if (a < middle && b < end) AR_TRY(ar__jorder(&order, r, &keys[a], &keys[b]));
                bool second = b < end && (a == middle || (down ? order < 0 : order > 0));
                size_t take = second ? b++ : a++;
                made[2 * at] = items[take];
                made[2 * at + 1] = keys[take];
            }
        }
        for (size_t i = 0; i < count; i++) {
            items[i] = made[2 * i];
            keys[i] = made[2 * i + 1];
        }
    }
    return AR_OK;
}

static ar_status sort(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    ar__jvalue reverse = ar__jarg(args, 0, "reverse", none),
               cased = ar__jarg(args, 1, "case_sensitive", none), path = ar__jarg(args, 2, "attribute", none),
               keys;
    const ar__jlist *list;
    bool down, exact;
    AR_TRY(ar__jtruth(&down, r, &reverse));
    AR_TRY(ar__jtruth(&exact, r, &cased));
    AR_TRY(ar__jiterate(&list, r, of));
    AR_TRY(ar__jlist_make(v, &r->arena, AR__J_LIST, list->count));
    AR_TRY(ar__jlist_make(&keys, &r->arena, AR__J_LIST, list->count));
    for (size_t i = 0; i < list->count; i++) {
        ar__jvalue key;
        AR_TRY(follow(&key, r, &list->items[i], &path));
        AR_TRY(sort_key(&key, r, exact));
        AR_TRY(ar__jlist_push(v, &r->arena, list->items[i]));
        AR_TRY(ar__jlist_push(&keys, &r->arena, key));
    }
    return sort_by(r, v->as.list->items, keys.as.list->items, list->count, down);
}

static ar_status dictsort(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    ar__jvalue cased = ar__jarg(args, 0, "case_sensitive", none), by = ar__jarg(args, 1, "by", none),
               reverse = ar__jarg(args, 2, "reverse", none), keys;
    bool down, exact, value = by.kind == AR__J_STRING && ar__jis(by.as.string, "value");
    AR_TRY(ar__jtruth(&down, r, &reverse));
    AR_TRY(ar__jtruth(&exact, r, &cased));
    AR_TRY(ar__jdict_items(v, r, of, AR__J_LIST));
    AR_TRY(ar__jlist_make(&keys, &r->arena, AR__J_LIST, v->as.list->count));
    for (size_t i = 0; i < v->as.list->count; i++) {
        ar__jvalue key = v->as.list->items[i].as.list->items[value];
        AR_TRY(sort_key(&key, r, exact));
        AR_TRY(ar__jlist_push(&keys, &r->arena, key));
    }
    return sort_by(r, v->as.list->items, keys.as.list->items, v->as.list->count, down);
}

static ar_status extreme(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args,
                         int wanted) {
    ar__jvalue cased = ar__jarg(args, 0, "case_sensitive", none), path = ar__jarg(args, 1, "attribute", none),
               best;
    const ar__jlist *list;
    bool exact;
    AR_TRY(ar__jtruth(&exact, r, &cased));
    AR_TRY(ar__jiterate(&list, r, of));
    *v = ar__jundefined((ar__jstring){"an item of an empty list", 24});
    for (size_t i = 0; i < list->count; i++) {
        ar__jvalue key;
        int order = wanted;
        AR_TRY(follow(&key, r, &list->items[i], &path));
        AR_TRY(sort_key(&key, r, exact));
        if (i) AR_TRY(ar__jorder(&order, r, &key, &best));
        if (order != wanted) continue;
        best = key;
        *v = list->items[i];
    }
    return AR_OK;
}

static ar_status least(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    return extreme(v, r, of, args, -1);
}

static ar_status greatest(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    return extreme(v, r, of, args, 1);
}

static ar_status unique(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    ar__jvalue cased = ar__jarg(args, 0, "case_sensitive", none), path = ar__jarg(args, 1, "attribute", none),
               seen;
    const ar__jlist *list;
    bool exact;
    AR_TRY(ar__jtruth(&exact, r, &cased));
    AR_TRY(ar__jiterate(&list, r, of));
    AR_TRY(ar__jlist_make(v, &r->arena, AR__J_ITERATOR, 0));
    AR_TRY(ar__jlist_make(&seen, &r->arena, AR__J_LIST, 0));
    for (size_t i = 0; i < list->count; i++) {
        ar__jvalue key;
        bool known;
        AR_TRY(follow(&key, r, &list->items[i], &path));
        AR_TRY(sort_key(&key, r, exact));
        AR_TRY(ar__jcontains(&known, r, &seen, &key));
        if (known) continue;
        AR_TRY(ar__jlist_push(&seen, &r->arena, key));
        AR_TRY(ar__jlist_push(v, &r->arena, list->items[i]));
    }
    return AR_OK;
}

/* ---- the rest ---- */

static ar_status reverse(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    const ar__jlist *list;
    ar__jbuild made = {.r = r};
    (void)args;
    AR_TRY(ar__jiterate(&list, r, of));
    AR_TRY(ar__jlist_make(v, &r->arena, AR__J_ITERATOR, list->count));
    for (size_t i = list->count; i-- > 0;) {
        if (of->kind == AR__J_STRING) AR_TRY(ar__jbuild_string(&made, list->items[i].as.string));
        AR_TRY(ar__jlist_push(v, &r->arena, list->items[i]));
    }
    ar__jstring s = ar__jbuild_done(&made);
    if (of->kind == AR__J_STRING) *v = ar__jtext(s.data, s.bytes);
    return AR_OK;
}

static ar_status to_list(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    const ar__jlist *list;
    (void)args;
    AR_TRY(ar__jiterate(&list, r, of));
    AR_TRY(ar__jlist_make(v, &r->arena, AR__J_LIST, list->count));
    for (size_t i = 0; i < list->count; i++) AR_TRY(ar__jlist_push(v, &r->arena, list->items[i]));
    return AR_OK;
}

static ar_status first(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    const ar__jlist *list;
    (void)args;
    AR_TRY(ar__jiterate(&list, r, of));
    *v = list->count ? list->items[0] : ar__jundefined((ar__jstring){"the first item of an empty list", 31});
    return AR_OK;
}

static ar_status last(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    const ar__jlist *list;
    (void)args;
    AR_TRY(ar__jiterate(&list, r, of));
    *v = list->count ? list->items[list->count - 1]
                     : ar__jundefined((ar__jstring){"the last item of an empty list", 30});
    return AR_OK;
}

static ar_status items(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    (void)args;
    if (of->kind == AR__J_UNDEFINED) return ar__jlist_make(v, &r->arena, AR__J_ITERATOR, 0);
    return ar__jdict_items(v, r, of, AR__J_ITERATOR);
}

static ar_status sum(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jargs *args) {
    ar__jvalue path = ar__jarg(args, 0, "attribute", none);
    const ar__jlist *list;
    *v = ar__jarg(args, 1, "start", ar__jint(0));
    AR_TRY(ar__jiterate(&list, r, of));
    for (size_t i = 0; i < list->count; i++) {
        ar__jvalue item, so_far = *v;
        AR_TRY(follow(&item, r, &list->items[i], &path));
        AR_TRY(ar__jbinary(v, r, '+', &so_far, &item));
    }
    return AR_OK;
}

static const struct {
    const char *name;
    list_filter *run;
    size_t least, most;
    const char *names; /* NULL: what a test or filter takes */
} filters[] = {
    {"select", select_items, 0, 0, NULL},
    {"reject", reject_items, 0, 0, NULL},
    {"selectattr", select_by, 1, 0, NULL},
    {"rejectattr", reject_by, 1, 0, NULL},
    {"map", map, 1, 0, NULL},
    {"join", join, 0, 2, "d attribute"},
    {"sort", sort, 0, 3, "reverse case_sensitive attribute"},
    {"dictsort", dictsort, 0, 3, "case_sensitive by reverse"},
    {"min", least, 0, 2, "case_sensitive attribute"},
    {"max", greatest, 0, 2, "case_sensitive attribute"},
    {"unique", unique, 0, 2, "case_sensitive attribute"},
    {"reverse", reverse, 0, 0, ""},
    {"list", to_list, 0, 0, ""},
    {"first", first, 0, 0, ""},
    {"last", last, 0, 0, ""},
    {"items", items, 0, 0, ""},
    {"sum", sum, 0, 2, "attribute start"},
};

ar_status ar__jfilter(ar__jvalue *v, ar__jrun *r, ar__jstring name, const ar__jvalue *of,
                      const ar__jargs *args) {
    char quote[AR__QUOTE_BYTES];
    bool known;
    AR_TRY(ar__jstep(r, 1));
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        if (!ar__jis(name, filters[i].name)) continue;
        if (filters[i].names)
            AR_TRY(ar__jargs_check(r, args, name, filters[i].least, filters[i].most, filters[i].names));
        return filters[i].run(v, r, of, args);
    }
    AR_TRY(ar__jfilter_value(v, &known, r, name, of, args));
    if (known) return AR_OK;
    return ar__jfail(r, AR_ERR_UNSUPPORTED, "found the filter %s", ar__quote(quote, name.data, name.bytes));
}
