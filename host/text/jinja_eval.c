/* Expressions: names, operators, calls. */
#include "jinja_inside.h"
#include <string.h>

/* ---- calls ---- */

static ar_status eval_args(ar__jargs *args, ar__jrun *r, const ar__jnode *list) {
    AR_TRY(ar__jargs_make(args, r));
    for (; list; list = list->next) {
        ar__jvalue v, name = ar__jtext(list->name.data, list->name.bytes);
        AR_TRY(ar__jeval(&v, r, list->kind == AR__JN_KEYWORD ? list->a : list));
        AR_TRY(list->kind == AR__JN_KEYWORD ? ar__jdict_put(&args->named, &r->arena, name, v)
                                            : ar__jlist_push(&args->given, &r->arena, v));
    }
    return AR_OK;
}

static ar_status call(ar__jvalue *v, ar__jrun *r, const ar__jvalue *callee, const ar__jargs *args) {
    switch (callee->kind) {
    case AR__J_MACRO: return r->call_macro(v, r, callee->as.macro, args);
    case AR__J_FUNCTION: return ar__jcall_global(v, r, callee->as.string, args);
    case AR__J_METHOD: return ar__jcall_method(v, r, callee->as.method, args);
    case AR__J_UNDEFINED: {
        ar__jstring name = callee->as.string;
        if (ar__jis(name, "joiner") || ar__jis(name, "cycler") || ar__jis(name, "lipsum"))
            return ar__jfail(r, AR_ERR_UNSUPPORTED, "found the function %.6s", name.data);
        return ar__jis_undefined(r, callee);
    }
    default:
        return ar__jfail(r, AR_ERR_FORMAT, "found a call of %s, expected a function",
                         ar__jkind_name(callee->kind));
    }
}

ar_status ar__jeval_call(ar__jvalue *v, ar__jrun *r, const ar__jnode *n, const ar__jvalue *caller) {
    ar__jvalue callee, of;
    ar__jargs args;
    char quote[AR__QUOTE_BYTES];
    if (n->a->kind == AR__JN_ATTRIBUTE) {
        AR_TRY(ar__jeval(&of, r, n->a->a));
        AR_TRY(ar__jattribute(&callee, r, &of, n->a->name));
        if (callee.kind == AR__J_UNDEFINED && of.kind != AR__J_NAMESPACE)
            return ar__jfail(r, AR_ERR_UNSUPPORTED, "found the method %s of %s",
                             ar__quote(quote, n->a->name.data, n->a->name.bytes), ar__jkind_name(of.kind));
    } else {
        AR_TRY(ar__jeval(&callee, r, n->a));
    }
    AR_TRY(eval_args(&args, r, n->list));
    if (caller) AR_TRY(ar__jdict_put(&args.named, &r->arena, ar__jname("caller"), *caller));
    int32_t line = r->line;
    AR_TRY(call(v, r, &callee, &args));
    r->line = line;
    return AR_OK;
}

/* ---- expressions ---- */

static ar_status eval_name(ar__jvalue *v, ar__jrun *r, const ar__jnode *n) {
    ar__jvalue key = ar__jtext(n->name.data, n->name.bytes), *found = NULL;
    for (const ar__jscope *s = r->scope; s && !found; s = s->outer) {
        AR_TRY(ar__jstep(r, 1));
        AR_TRY(ar__jdict_find(&found, r, &s->names, &key));
    }
    if (found)
        *v = *found;
    else if (ar__jhas_global(r, n->name))
        *v = (ar__jvalue){.kind = AR__J_FUNCTION, .as.string = n->name};
    else
        *v = ar__jundefined(n->name);
    return AR_OK;
}

static ar_status eval_items(ar__jvalue *v, ar__jrun *r, const ar__jnode *n) {
    ar__jvalue item, key;
    if (n->kind == AR__JN_DICT) {
        AR_TRY(ar__jdict_make(v, &r->arena, AR__J_DICT, 0));
        for (const ar__jnode *p = n->list; p; p = p->next) {
            AR_TRY(ar__jeval(&key, r, p->a));
            AR_TRY(ar__jeval(&item, r, p->b));
            if (key.kind != AR__J_STRING && key.kind != AR__J_NONE && !ar__jis_number(&key))
                return ar__jfail(r, AR_ERR_UNSUPPORTED, "found %s as a key", ar__jkind_name(key.kind));
            AR_TRY(ar__jdict_put(v, &r->arena, key, item));
        }
        return AR_OK;
    }
    AR_TRY(ar__jlist_make(v, &r->arena, n->kind == AR__JN_LIST ? AR__J_LIST : AR__J_TUPLE, 0));
    for (const ar__jnode *i = n->list; i; i = i->next) {
        AR_TRY(ar__jeval(&item, r, i));
        AR_TRY(ar__jlist_push(v, &r->arena, item));
    }
    return AR_OK;
}

static ar_status eval_compare(ar__jvalue *v, ar__jrun *r, const ar__jnode *n) {
    ar__jvalue left, right;
    bool truth = true;
    AR_TRY(ar__jeval(&left, r, n->a));
    for (const ar__jnode *c = n->list; c && truth; c = c->next) {
        AR_TRY(ar__jeval(&right, r, c->a));
        AR_TRY(ar__jcompare(&truth, r, c->op, &left, &right));
        left = right;
    }
    *v = ar__jbool(truth);
    return AR_OK;
}

static ar_status eval_item(ar__jvalue *v, ar__jrun *r, const ar__jnode *n) {
    ar__jvalue of, key, bounds[3];
    const ar__jnode *parts[3] = {n->b->a, n->b->b, n->b->c};
    AR_TRY(ar__jeval(&of, r, n->a));
    if (n->b->kind != AR__JN_SLICE) {
        AR_TRY(ar__jeval(&key, r, n->b));
        return ar__jitem(v, r, &of, &key);
    }
    for (int i = 0; i < 3; i++) {
        bounds[i] = ar__jnone();
        if (parts[i]) AR_TRY(ar__jeval(&bounds[i], r, parts[i]));
    }
    if (bounds[2].kind != AR__J_NONE && bounds[2].kind != AR__J_INT)
        return ar__jfail(r, AR_ERR_FORMAT, "slice: found %s, expected an int",
                         ar__jkind_name(bounds[2].kind));
    return ar__jslice(v, r, &of, bounds);
}

static ar_status eval_filter(ar__jvalue *v, ar__jrun *r, const ar__jnode *n) {
    ar__jvalue of = r->piped;
    ar__jargs args;
    if (n->a) AR_TRY(ar__jeval(&of, r, n->a));
    AR_TRY(eval_args(&args, r, n->list));
    return ar__jfilter(v, r, n->name, &of, &args);
}

static ar_status eval_test(ar__jvalue *v, ar__jrun *r, const ar__jnode *n) {
    ar__jvalue of;
    ar__jargs args;
    bool truth;
    AR_TRY(ar__jeval(&of, r, n->a));
    AR_TRY(eval_args(&args, r, n->list));
    AR_TRY(ar__jtest(&truth, r, n->name, &of, &args));
    *v = ar__jbool(truth);
    return AR_OK;
}

/* not, and, or, if-else: what looks at truths. */
static ar_status eval_logic(ar__jvalue *v, ar__jrun *r, const ar__jnode *n) {
    bool truth;
    AR_TRY(ar__jeval(v, r, n->kind == AR__JN_IF_ELSE ? n->b : n->a));
    AR_TRY(ar__jtruth(&truth, r, v));
    switch (n->kind) {
    case AR__JN_NOT: *v = ar__jbool(!truth); return AR_OK;
    case AR__JN_AND: return truth ? ar__jeval(v, r, n->b) : AR_OK;
    case AR__JN_OR: return truth ? AR_OK : ar__jeval(v, r, n->b);
    default: break;
    }
    if (truth) return ar__jeval(v, r, n->a);
    if (n->c) return ar__jeval(v, r, n->c);
    *v = ar__jundefined((ar__jstring){"an if without else", 18});
    return AR_OK;
}

static ar_status eval_sign(ar__jvalue *v, ar__jrun *r, const ar__jnode *n) {
    AR_TRY(ar__jeval(v, r, n->a));
    if (v->kind == AR__J_UNDEFINED) return ar__jis_undefined(r, v);
    if (!ar__jis_number(v))
        return ar__jfail(r, AR_ERR_FORMAT, "found a sign before %s", ar__jkind_name(v->kind));
    int64_t sign = n->kind == AR__JN_NEGATE ? -1 : 1;
    *v = v->kind == AR__J_FLOAT ? ar__jreal((double)sign * v->as.real) : ar__jint(sign * ar__jinteger(v));
    return AR_OK;
}

static ar_status eval_binary(ar__jvalue *v, ar__jrun *r, const ar__jnode *n) {
    ar__jvalue a, b;
    AR_TRY(ar__jeval(&a, r, n->a));
    AR_TRY(ar__jeval(&b, r, n->b));
    return ar__jbinary(v, r, n->op, &a, &b);
}

static ar_status eval(ar__jvalue *v, ar__jrun *r, const ar__jnode *n) {
    ar__jvalue of;
    switch (n->kind) {
    case AR__JN_CONST: *v = n->value; return AR_OK;
    case AR__JN_NAME: return eval_name(v, r, n);
    case AR__JN_LIST:
    case AR__JN_TUPLE:
    case AR__JN_DICT: return eval_items(v, r, n);
    case AR__JN_NOT:
    case AR__JN_AND:
    case AR__JN_OR:
    case AR__JN_IF_ELSE: return eval_logic(v, r, n);
    case AR__JN_NEGATE:
    case AR__JN_PLUS: return eval_sign(v, r, n);
    case AR__JN_BINARY: return eval_binary(v, r, n);
    case AR__JN_COMPARE: return eval_compare(v, r, n);
    case AR__JN_ATTRIBUTE: AR_TRY(ar__jeval(&of, r, n->a)); return ar__jattribute(v, r, &of, n->name);
    case AR__JN_ITEM: return eval_item(v, r, n);
    case AR__JN_CALL: return ar__jeval_call(v, r, n, NULL);
    case AR__JN_FILTER: return eval_filter(v, r, n);
    case AR__JN_TEST: return eval_test(v, r, n);
    default: return ar__jfail(r, AR_ERR_FORMAT, "found a statement, expected an expression");
    }
}

ar_status ar__jeval(ar__jvalue *v, ar__jrun *r, const ar__jnode *n) {
    AR_TRY(ar__jstep(r, 1));
    if (++r->nested > AR__J_MAX_NESTED)
        return ar__jfail(r, AR_ERR_FORMAT, "found more than %d calls and brackets in each other",
                         AR__J_MAX_NESTED);
    AR_TRY(eval(v, r, n));
    r->nested--;
    return AR_OK;
}
