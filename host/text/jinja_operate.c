/* Attributes, items, slices and operators of values. */
#include "jinja_inside.h"
#include <math.h>

ar_status ar__jis_undefined(const ar__jrun *r, const ar__jvalue *v) {
    char quote[AR__QUOTE_BYTES];
    return ar__jfail(r, AR_ERR_FORMAT, "%s is undefined",
                     ar__quote(quote, v->as.string.data, v->as.string.bytes));
}

/* ---- attributes and items ---- */

static ar_status make_method(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, ar__jstring name) {
    ar__jmethod *method = ar__jtake(&r->arena, 1, sizeof *method);
    if (!method) return AR_ERR_MEMORY;
    *method = (ar__jmethod){*of, name};
    *v = (ar__jvalue){.kind = AR__J_METHOD, .as.method = method};
    return AR_OK;
}

/* The loop's item `by` places on. */
static ar__jvalue loop_item(const ar__jloop *loop, int by, ar__jstring name) {
    bool there = by < 0 ? loop->at > 0 : loop->at + 1 < loop->items->count;
    return there ? loop->items->items[by < 0 ? loop->at - 1 : loop->at + 1] : ar__jundefined(name);
}

static ar_status loop_attribute(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, ar__jstring name) {
    const ar__jloop *loop = of->as.loop;
    int64_t at = (int64_t)loop->at, count = (int64_t)loop->items->count;
    if (ar__jis(name, "index")) return *v = ar__jint(at + 1), AR_OK;
    if (ar__jis(name, "index0")) return *v = ar__jint(at), AR_OK;
    if (ar__jis(name, "revindex")) return *v = ar__jint(count - at), AR_OK;
    if (ar__jis(name, "revindex0")) return *v = ar__jint(count - at - 1), AR_OK;
    if (ar__jis(name, "first")) return *v = ar__jbool(at == 0), AR_OK;
    if (ar__jis(name, "last")) return *v = ar__jbool(at == count - 1), AR_OK;
    if (ar__jis(name, "length")) return *v = ar__jint(count), AR_OK;
    if (ar__jis(name, "depth")) return *v = ar__jint(1), AR_OK; /* no loop here is recursive */
    if (ar__jis(name, "depth0")) return *v = ar__jint(0), AR_OK;
    if (ar__jis(name, "previtem")) return *v = loop_item(loop, -1, name), AR_OK;
    if (ar__jis(name, "nextitem")) return *v = loop_item(loop, 1, name), AR_OK;
    if (ar__jhas_method(of, name)) return make_method(v, r, of, name);
    *v = ar__jundefined(name);
    return AR_OK;
}

ar_status ar__jattribute(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, ar__jstring name) {
    ar__jvalue key = ar__jtext(name.data, name.bytes), *found = NULL;
    if (of->kind == AR__J_UNDEFINED) return ar__jis_undefined(r, of);
    if (of->kind == AR__J_LOOP) return loop_attribute(v, r, of, name);
    if (ar__jhas_method(of, name)) return make_method(v, r, of, name);
    if (of->kind == AR__J_DICT || of->kind == AR__J_NAMESPACE) AR_TRY(ar__jdict_find(&found, r, of, &key));
    *v = found ? *found : ar__jundefined(name);
    return AR_OK;
}

static ar_status place(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, int64_t i) {
    int64_t count;
    AR_TRY(ar__jlength(&count, r, of));
    if (i < 0) i += count;
    if (i < 0 || i >= count) return *v = ar__jundefined((ar__jstring){"item", 4}), AR_OK;
    if (of->kind != AR__J_STRING) return *v = of->as.list->items[i], AR_OK;
    ar__jstring one = ar__jstring_part(of->as.string, (size_t)i, (size_t)i + 1);
    *v = ar__jtext(one.data, one.bytes);
    return AR_OK;
}

ar_status ar__jitem(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jvalue *key) {
    ar__jvalue *found = NULL;
    bool placed = of->kind == AR__J_LIST || of->kind == AR__J_TUPLE || of->kind == AR__J_STRING;
    if (of->kind == AR__J_UNDEFINED) return ar__jis_undefined(r, of);
    if (placed && (key->kind == AR__J_INT || key->kind == AR__J_BOOL))
        return place(v, r, of, ar__jinteger(key));
    if (of->kind == AR__J_DICT) AR_TRY(ar__jdict_find(&found, r, of, key));
    if (found) return *v = *found, AR_OK;
    if (key->kind == AR__J_STRING) return ar__jattribute(v, r, of, key->as.string);
    *v = ar__jundefined((ar__jstring){"item", 4});
    return AR_OK;
}

/* A bound of a slice within [low, high], counted from the end where it is negative. */
static ar_status bound(int64_t *at, ar__jrun *r, const ar__jvalue *v, int64_t fallback, int64_t count,
                       int64_t low, int64_t high) {
    *at = fallback;
    if (v->kind == AR__J_NONE) return AR_OK;
    if (v->kind != AR__J_INT && v->kind != AR__J_BOOL)
        return ar__jfail(r, AR_ERR_FORMAT, "slice: found %s, expected an int", ar__jkind_name(v->kind));
    int64_t i = ar__jinteger(v);
    if (i < 0) i += count;
    *at = i < low ? low : i > high ? high : i;
    return AR_OK;
}

ar_status ar__jslice(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jvalue bounds[3]) {
    int64_t count, from, to, step = bounds[2].kind == AR__J_NONE ? 1 : ar__jinteger(&bounds[2]);
    if (of->kind == AR__J_UNDEFINED) return ar__jis_undefined(r, of);
    if (of->kind != AR__J_STRING && of->kind != AR__J_LIST && of->kind != AR__J_TUPLE)
        return ar__jfail(r, AR_ERR_FORMAT, "slice: found %s, expected a list", ar__jkind_name(of->kind));
    if (step == 0 || step > INT32_MAX || step < -INT32_MAX)
        return ar__jfail(r, AR_ERR_FORMAT, "slice: found a step of %lld", (long long)step);
    AR_TRY(ar__jlength(&count, r, of));
    int64_t low = step > 0 ? 0 : -1, high = step > 0 ? count : count - 1;
    AR_TRY(bound(&from, r, &bounds[0], step > 0 ? 0 : count - 1, count, low, high));
    AR_TRY(bound(&to, r, &bounds[1], step > 0 ? count : -1, count, low, high));
    AR_TRY(ar__jstep(r, (size_t)count / 8));
    if (of->kind == AR__J_STRING && step == 1) {
        ar__jstring s =
            from < to ? ar__jstring_part(of->as.string, (size_t)from, (size_t)to) : (ar__jstring){"", 0};
        *v = ar__jtext(s.data, s.bytes);
        return AR_OK;
    }
    const ar__jlist *list;
    ar__jbuild text = {.r = r};
    AR_TRY(ar__jiterate(&list, r, of));
    AR_TRY(ar__jlist_make(v, &r->arena, of->kind, 0));
    for (int64_t i = from; step > 0 ? i < to : i > to; i += step) {
        const ar__jvalue *item = &list->items[i];
        AR_TRY(of->kind == AR__J_STRING ? ar__jbuild_string(&text, item->as.string)
                                        : ar__jlist_push(v, &r->arena, *item));
    }
    if (of->kind == AR__J_STRING) {
        ar__jstring s = ar__jbuild_done(&text);
        *v = ar__jtext(s.data, s.bytes);
    }
    return AR_OK;
}

/* ---- operators ---- */

static ar_status too_large(const ar__jrun *r) {
    return ar__jfail(r, AR_ERR_FORMAT, "found an int of more than 63 bits");
}

static ar_status whole(ar__jvalue *v, ar__jrun *r, char op, int64_t a, int64_t b) {
    int64_t quotient, made = 1;
    switch (op) {
    case '+':
    case '-':
        if (op == '-') b = -b;
        if (b > 0 ? a > INT64_MAX - b : a < -INT64_MAX - b) return too_large(r);
        return *v = ar__jint(a + b), AR_OK;
    case '*':
        if (b != 0 && (a > INT64_MAX / (b < 0 ? -b : b) || a < -(INT64_MAX / (b < 0 ? -b : b))))
            return too_large(r);
        return *v = ar__jint(a * b), AR_OK;
    case 'd':
    case '%':
        quotient = a / b - (a % b != 0 && (a < 0) != (b < 0));
        return *v = ar__jint(op == 'd' ? quotient : a - quotient * b), AR_OK;
    default: break;
    }
    if (b > 4096) return ar__jfail(r, AR_ERR_FORMAT, "found a power of %lld", (long long)b);
    for (; b > 0; b--) {
        ar__jvalue product;
        AR_TRY(whole(&product, r, '*', made, a));
        made = product.as.integer;
    }
    *v = ar__jint(made);
    return AR_OK;
}

static ar_status numeric(ar__jvalue *v, ar__jrun *r, char op, const ar__jvalue *a, const ar__jvalue *b) {
    double x = ar__jnumber(a), y = ar__jnumber(b);
    bool exact = a->kind != AR__J_FLOAT && b->kind != AR__J_FLOAT;
    if ((op == '/' || op == 'd' || op == '%') && y == 0)
        return ar__jfail(r, AR_ERR_FORMAT, "found a division by zero");
    if (exact && op != '/' && !(op == 'p' && y < 0)) return whole(v, r, op, ar__jinteger(a), ar__jinteger(b));
    switch (op) {
    case '+': *v = ar__jreal(x + y); break;
    case '-': *v = ar__jreal(x - y); break;
    case '*': *v = ar__jreal(x * y); break;
    case '/': *v = ar__jreal(x / y); break;
    case 'd': *v = ar__jreal(floor(x / y)); break;
    case '%': *v = ar__jreal(x - floor(x / y) * y); break;
    default: *v = ar__jreal(pow(x, y)); break;
    }
    return AR_OK;
}

/* Strings behind each other; one that "safe" marked makes the other safe. */
static ar_status add_strings(ar__jvalue *v, ar__jrun *r, const ar__jvalue *a, const ar__jvalue *b,
                             bool plain) {
    ar__jbuild made = {.r = r};
    const ar__jvalue *sides[] = {a, b};
    bool safe = !plain && (a->safe || b->safe);
    for (int i = 0; i < 2; i++) {
        ar__jstring s;
        AR_TRY(ar__jstr(&s, r, sides[i]));
        if (safe && !sides[i]->safe) AR_TRY(ar__jstring_escape(&s, r, s));
        AR_TRY(ar__jbuild_string(&made, s));
    }
    ar__jstring s = ar__jbuild_done(&made);
    *v = ar__jtext(s.data, s.bytes);
    v->safe = safe;
    return AR_OK;
}

static ar_status repeat(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, int64_t count) {
    ar__jbuild made = {.r = r};
    bool text = of->kind == AR__J_STRING;
    if (!text) AR_TRY(ar__jlist_make(v, &r->arena, of->kind, 0));
    for (; count > 0; count--) {
        AR_TRY(ar__jstep(r, 1));
        if (text) AR_TRY(ar__jbuild_string(&made, of->as.string));
        if (!text) AR_TRY(ar__jstep(r, of->as.list->count));
        for (size_t i = 0; !text && i < of->as.list->count; i++)
            AR_TRY(ar__jlist_push(v, &r->arena, of->as.list->items[i]));
    }
    ar__jstring s = ar__jbuild_done(&made);
    if (text) *v = ar__jtext(s.data, s.bytes);
    return AR_OK;
}

static ar_status add_lists(ar__jvalue *v, ar__jrun *r, const ar__jvalue *a, const ar__jvalue *b) {
    const ar__jlist *x = a->as.list, *y = b->as.list;
    AR_TRY(ar__jstep(r, x->count + y->count));
    AR_TRY(ar__jlist_make(v, &r->arena, a->kind, x->count + y->count));
    for (size_t i = 0; i < x->count; i++) AR_TRY(ar__jlist_push(v, &r->arena, x->items[i]));
    for (size_t i = 0; i < y->count; i++) AR_TRY(ar__jlist_push(v, &r->arena, y->items[i]));
    return AR_OK;
}

ar_status ar__jbinary(ar__jvalue *v, ar__jrun *r, char op, const ar__jvalue *a, const ar__jvalue *b) {
    if (op == '~') return add_strings(v, r, a, b, true);
    if (a->kind == AR__J_UNDEFINED) return ar__jis_undefined(r, a);
    if (op == '%' && a->kind == AR__J_STRING && b->kind != AR__J_DICT) {
        ar__jstring s;
        bool several = b->kind == AR__J_TUPLE;
        AR_TRY(ar__jstring_format(&s, r, a->as.string, several ? b->as.list->items : b,
                                  several ? b->as.list->count : 1));
        *v = ar__jtext(s.data, s.bytes);
        return AR_OK;
    }
    if (b->kind == AR__J_UNDEFINED) return ar__jis_undefined(r, b);
    if (ar__jis_number(a) && ar__jis_number(b)) return numeric(v, r, op, a, b);
    bool listed = a->kind == AR__J_STRING || a->kind == AR__J_LIST || a->kind == AR__J_TUPLE;
    if (op == '+' && a->kind == AR__J_STRING && b->kind == AR__J_STRING)
        return add_strings(v, r, a, b, false);
    if (op == '+' && listed && a->kind == b->kind) return add_lists(v, r, a, b);
    if (op == '*' && listed && b->kind == AR__J_INT) return repeat(v, r, a, b->as.integer);
    listed = b->kind == AR__J_STRING || b->kind == AR__J_LIST || b->kind == AR__J_TUPLE;
    if (op == '*' && listed && a->kind == AR__J_INT) return repeat(v, r, b, a->as.integer);
    return ar__jfail(r, AR_ERR_FORMAT, "%s: found %s and %s, expected values that go together",
                     op == 'd'   ? "//"
                     : op == 'p' ? "**"
                                 : (char[]){op, 0},
                     ar__jkind_name(a->kind), ar__jkind_name(b->kind));
}

ar_status ar__jcompare(bool *truth, ar__jrun *r, char op, const ar__jvalue *a, const ar__jvalue *b) {
    int order;
    if (op == '=' || op == '!') {
        AR_TRY(ar__jequal(truth, r, a, b));
        *truth ^= op == '!';
        return AR_OK;
    }
    if (op == 'i' || op == 'n') {
        AR_TRY(ar__jcontains(truth, r, b, a));
        *truth ^= op == 'n';
        return AR_OK;
    }
    if (a->kind == AR__J_UNDEFINED) return ar__jis_undefined(r, a);
    if (b->kind == AR__J_UNDEFINED) return ar__jis_undefined(r, b);
    AR_TRY(ar__jorder(&order, r, a, b));
    *truth = op == '<' ? order < 0 : op == '>' ? order > 0 : op == 'l' ? order <= 0 : order >= 0;
    return AR_OK;
}
