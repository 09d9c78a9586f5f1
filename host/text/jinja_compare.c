/* Values as Python compares them and goes through them: truth, equality, order, members, length. */
#include "jinja_inside.h"
#include <string.h>

static bool is_listed(const ar__jvalue *v) { return v->kind == AR__J_LIST || v->kind == AR__J_TUPLE; }

ar_status ar__jtruth(bool *truth, ar__jrun *r, const ar__jvalue *v) {
    (void)r;
    switch (v->kind) {
    case AR__J_UNDEFINED:
    case AR__J_NONE: *truth = false; break;
    case AR__J_BOOL:
    case AR__J_INT:
    case AR__J_FLOAT: *truth = ar__jnumber(v) != 0; break;
    case AR__J_STRING: *truth = v->as.string.bytes > 0; break;
    case AR__J_LIST:
    case AR__J_TUPLE: *truth = v->as.list->count > 0; break;
    case AR__J_DICT: *truth = v->as.dict->count > 0; break;
    case AR__J_LOOP: *truth = v->as.loop->items->count > 0; break;
    default: *truth = true; break;
    }
    return AR_OK;
}

static ar_status equal_lists(bool *equal, ar__jrun *r, const ar__jlist *a, const ar__jlist *b) {
    *equal = a->count == b->count;
    for (size_t i = 0; *equal && i < a->count; i++) AR_TRY(ar__jequal(equal, r, &a->items[i], &b->items[i]));
    return AR_OK;
}

static ar_status equal_dicts(bool *equal, ar__jrun *r, const ar__jdict *a, const ar__jvalue *b) {
    ar__jvalue *other;
    *equal = a->count == b->as.dict->count;
    for (size_t i = 0; *equal && i < a->count; i++) {
        AR_TRY(ar__jdict_find(&other, r, b, &a->pairs[i].key));
        *equal = other != NULL;
        if (other) AR_TRY(ar__jequal(equal, r, &a->pairs[i].value, other));
    }
    return AR_OK;
}

static ar_status equal_values(bool *equal, ar__jrun *r, const ar__jvalue *a, const ar__jvalue *b) {
    if (ar__jis_number(a) && ar__jis_number(b)) {
        bool whole = a->kind != AR__J_FLOAT && b->kind != AR__J_FLOAT;
        *equal = whole ? ar__jinteger(a) == ar__jinteger(b) : ar__jnumber(a) == ar__jnumber(b);
        return AR_OK;
    }
    *equal = false;
    if (a->kind != b->kind) return AR_OK;
    switch (a->kind) {
    case AR__J_UNDEFINED:
    case AR__J_NONE: *equal = true; return AR_OK;
    case AR__J_STRING:
        AR_TRY(ar__jwork(r, a->as.string.bytes));
        *equal = ar__jstring_equal(a->as.string, b->as.string);
        return AR_OK;
    case AR__J_LIST:
    case AR__J_TUPLE: return equal_lists(equal, r, a->as.list, b->as.list);
    case AR__J_DICT: return equal_dicts(equal, r, a->as.dict, b);
    case AR__J_FUNCTION: *equal = ar__jstring_equal(a->as.string, b->as.string); return AR_OK;
    default: *equal = a->as.list == b->as.list; return AR_OK; /* the same object */
    }
}

ar_status ar__jequal(bool *equal, ar__jrun *r, const ar__jvalue *a, const ar__jvalue *b) {
    AR_TRY(ar__jstep(r, 1));
    if (++r->nested > AR__J_MAX_NESTED)
        return ar__jfail(r, AR_ERR_FORMAT, "found values more than %d levels deep", AR__J_MAX_NESTED);
    AR_TRY(equal_values(equal, r, a, b));
    r->nested--;
    return AR_OK;
}

static int order_bytes(ar__jstring a, ar__jstring b) {
    int order = memcmp(a.data, b.data, a.bytes < b.bytes ? a.bytes : b.bytes); /* UTF-8 keeps the order */
    return order ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

ar_status ar__jorder(int *order, ar__jrun *r, const ar__jvalue *a, const ar__jvalue *b) {
    AR_TRY(ar__jstep(r, 1));
    if (ar__jis_number(a) && ar__jis_number(b)) {
        double x = ar__jnumber(a), y = ar__jnumber(b);
        *order = (x > y) - (x < y);
        return AR_OK;
    }
    if (a->kind == AR__J_STRING && b->kind == AR__J_STRING) {
        AR_TRY(ar__jwork(r, a->as.string.bytes));
        *order = order_bytes(a->as.string, b->as.string);
        return AR_OK;
    }
    if (!is_listed(a) || a->kind != b->kind)
        return ar__jfail(r, AR_ERR_FORMAT, "found %s and %s, expected values with an order",
                         ar__jkind_name(a->kind), ar__jkind_name(b->kind));
    const ar__jlist *x = a->as.list, *y = b->as.list;
    for (size_t i = 0; i < x->count && i < y->count; i++) {
        bool equal;
        AR_TRY(ar__jequal(&equal, r, &x->items[i], &y->items[i]));
        if (equal) continue;
        if (is_listed(&x->items[i]))
            return ar__jfail(r, AR_ERR_UNSUPPORTED, "found the order of lists in lists");
        return ar__jorder(order, r, &x->items[i], &y->items[i]);
    }
    *order = (x->count > y->count) - (x->count < y->count);
    return AR_OK;
}

ar_status ar__jdict_find(ar__jvalue **value, ar__jrun *r, const ar__jvalue *dict, const ar__jvalue *key) {
    *value = NULL;
    if (key->kind != AR__J_STRING && key->kind != AR__J_NONE && !ar__jis_number(key)) return AR_OK;
    *value = ar__jdict_key(dict->as.dict, key, &r->arena.touched);
    return ar__jstep(r, 1);
}

ar_status ar__jcontains(bool *in, ar__jrun *r, const ar__jvalue *of, const ar__jvalue *item) {
    *in = false;
    if (of->kind == AR__J_STRING) {
        if (item->kind != AR__J_STRING)
            return ar__jfail(r, AR_ERR_FORMAT, "found %s in a string, expected a string",
                             ar__jkind_name(item->kind));
        size_t at;
        AR_TRY(ar__jstring_find(&at, r, of->as.string, item->as.string, 0));
        *in = at != SIZE_MAX;
        return AR_OK;
    }
    if (of->kind == AR__J_DICT) {
        ar__jvalue *value;
        AR_TRY(ar__jdict_find(&value, r, of, item));
        *in = value != NULL;
        return AR_OK;
    }
    const ar__jlist *list;
    AR_TRY(ar__jiterate(&list, r, of));
    for (size_t i = 0; !*in && i < list->count; i++) AR_TRY(ar__jequal(in, r, &list->items[i], item));
    return AR_OK;
}

static ar_status characters(ar__jvalue *v, ar__jrun *r, ar__jstring s) {
    AR_TRY(ar__jstep(r, s.bytes));
    AR_TRY(ar__jlist_make(v, &r->arena, AR__J_LIST, ar__jstring_length(s)));
    for (size_t at = 0, step; at < s.bytes; at += step) {
        ar__utf8_char(s.data + at, &step);
        AR_TRY(ar__jlist_push(v, &r->arena, ar__jtext(s.data + at, step)));
    }
    return AR_OK;
}

ar_status ar__jiterate(const ar__jlist **list, ar__jrun *r, const ar__jvalue *v) {
    ar__jvalue made;
    switch (v->kind) {
    case AR__J_LIST:
    case AR__J_TUPLE: *list = v->as.list; return ar__jstep(r, v->as.list->count);
    case AR__J_ITERATOR:
        AR_TRY(ar__jlist_make(&made, &r->arena, AR__J_LIST, 0));
        *made.as.list = *v->as.list;
        *v->as.list = (ar__jlist){0}; /* it is read once */
        break;
    case AR__J_UNDEFINED: AR_TRY(ar__jlist_make(&made, &r->arena, AR__J_LIST, 0)); break;
    case AR__J_STRING: AR_TRY(characters(&made, r, v->as.string)); break;
    case AR__J_DICT:
        AR_TRY(ar__jstep(r, v->as.dict->count));
        AR_TRY(ar__jlist_make(&made, &r->arena, AR__J_LIST, v->as.dict->count));
        for (size_t i = 0; i < v->as.dict->count; i++)
            AR_TRY(ar__jlist_push(&made, &r->arena, v->as.dict->pairs[i].key));
        break;
    default: return ar__jfail(r, AR_ERR_FORMAT, "found %s, expected a list", ar__jkind_name(v->kind));
    }
    *list = made.as.list;
    return ar__jstep(r, made.as.list->count);
}

ar_status ar__jlength(int64_t *n, ar__jrun *r, const ar__jvalue *v) {
    switch (v->kind) {
    case AR__J_UNDEFINED: *n = 0; return AR_OK;
    case AR__J_STRING:
        AR_TRY(ar__jwork(r, v->as.string.bytes));
        *n = (int64_t)ar__jstring_length(v->as.string);
        return AR_OK;
    case AR__J_LIST:
    case AR__J_TUPLE: *n = (int64_t)v->as.list->count; return AR_OK;
    case AR__J_DICT: *n = (int64_t)v->as.dict->count; return AR_OK;
    default:
        return ar__jfail(r, AR_ERR_FORMAT, "found %s, expected what has a length", ar__jkind_name(v->kind));
    }
}

ar_status ar__jdict_items(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, ar__jkind kind) {
    if (of->kind != AR__J_DICT)
        return ar__jfail(r, AR_ERR_FORMAT, "found items of %s, expected a dict", ar__jkind_name(of->kind));
    AR_TRY(ar__jstep(r, of->as.dict->count));
    AR_TRY(ar__jlist_make(v, &r->arena, kind, of->as.dict->count));
    for (size_t i = 0; i < of->as.dict->count; i++) {
        ar__jvalue pair;
        AR_TRY(ar__jlist_make(&pair, &r->arena, AR__J_TUPLE, 2));
        AR_TRY(ar__jlist_push(&pair, &r->arena, of->as.dict->pairs[i].key));
        AR_TRY(ar__jlist_push(&pair, &r->arena, of->as.dict->pairs[i].value));
        AR_TRY(ar__jlist_push(v, &r->arena, pair));
    }
    return AR_OK;
}
