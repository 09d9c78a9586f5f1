/* Statements: text, loops, assignments and their scopes, macros. */
#include "jinja_inside.h"
#include <stdlib.h>
#include <string.h>

static ar_status run_list(ar__jrun *r, const ar__jnode *list);

/* ---- scopes ---- */

static ar_status scope_open(ar__jscope *scope, ar__jrun *r, ar__jscope *outer) {
    scope->outer = outer;
    return ar__jdict_make(&scope->names, &r->arena, AR__J_DICT, 0);
}

static ar_status scope_put(ar__jrun *r, ar__jstring name, ar__jvalue value) {
    return ar__jdict_put(&r->scope->names, &r->arena, ar__jtext(name.data, name.bytes), value);
}

/* The list in a scope of its own, which macros made in it may outlive. */
static ar_status run_scoped(ar__jrun *r, const ar__jnode *list) {
    ar__jscope *outer = r->scope, *scope = ar__jtake(&r->arena, 1, sizeof *scope);
    if (!scope) return AR_ERR_MEMORY;
    AR_TRY(scope_open(scope, r, outer));
    r->scope = scope;
    AR_TRY(run_list(r, list));
    r->scope = outer;
    return AR_OK;
}

/* The list's text, in place of its output. */
static ar_status capture(ar__jstring *text, ar__jrun *r, const ar__jnode *list) {
    ar__jbuild made = {.r = r}, *out = r->out;
    r->out = &made;
    ar_status status = run_scoped(r, list);
    r->out = out;
    *text = ar__jbuild_done(&made);
    return status;
}

/* ---- assignments ---- */

static ar_status put_attribute(ar__jrun *r, const ar__jnode *target, const ar__jvalue *value) {
    ar__jvalue space;
    char quote[AR__QUOTE_BYTES];
    AR_TRY(ar__jeval(&space, r, target->a));
    if (space.kind != AR__J_NAMESPACE || (target->name.bytes && target->name.data[0] == '_'))
        return ar__jfail(r, AR_ERR_FORMAT, "set: found attribute %s of %s, expected one of a namespace",
                         ar__quote(quote, target->name.data, target->name.bytes), ar__jkind_name(space.kind));
    return ar__jdict_put(&space, &r->arena, ar__jtext(target->name.data, target->name.bytes), *value);
}

static ar_status assign(ar__jrun *r, const ar__jnode *target, const ar__jvalue *value) {
    if (target->kind == AR__JN_NAME) return scope_put(r, target->name, *value);
    if (target->kind == AR__JN_ATTRIBUTE) return put_attribute(r, target, value);
    const ar__jlist *list;
    size_t i = 0;
    AR_TRY(ar__jiterate(&list, r, value));
    for (const ar__jnode *one = target->list; one; one = one->next, i++)
        if (i < list->count) AR_TRY(assign(r, one, &list->items[i]));
    if (i != list->count)
        return ar__jfail(r, AR_ERR_FORMAT, "found %zu values, expected %zu", list->count, i);
    return AR_OK;
}

/* The captured text through the filters, if there are any. */
static ar_status filtered_text(ar__jvalue *v, ar__jrun *r, const ar__jnode *n) {
    ar__jstring text;
    AR_TRY(capture(&text, r, n->body));
    *v = ar__jtext(text.data, text.bytes);
    r->piped = *v;
    return n->b ? ar__jeval(v, r, n->b) : AR_OK;
}

/* ---- loops ---- */

/* The items for which the loop's condition holds. */
static ar_status loop_items(const ar__jlist **list, ar__jrun *r, const ar__jnode *n, ar__jscope *scope) {
    ar__jvalue v, kept;
    AR_TRY(ar__jeval(&v, r, n->b));
    AR_TRY(ar__jiterate(list, r, &v));
    if (!n->c) return AR_OK;
    AR_TRY(ar__jlist_make(&kept, &r->arena, AR__J_LIST, 0));
    r->scope = scope;
    for (size_t i = 0; i < (*list)->count; i++) {
        bool holds;
        scope->names.as.dict->count = 0;
        AR_TRY(assign(r, n->a, &(*list)->items[i]));
        AR_TRY(ar__jeval(&v, r, n->c));
        AR_TRY(ar__jtruth(&holds, r, &v));
        if (holds) AR_TRY(ar__jlist_push(&kept, &r->arena, (*list)->items[i]));
    }
    r->scope = scope->outer;
    *list = kept.as.list;
    return AR_OK;
}

static ar_status run_for(ar__jrun *r, const ar__jnode *n) {
    static const ar__jstring name = {"loop", 4};
    const ar__jlist *list;
    ar__jscope *scope = ar__jtake(&r->arena, 1, sizeof *scope);
    ar__jloop *loop = ar__jtake(&r->arena, 1, sizeof *loop);
    if (!scope || !loop) return AR_ERR_MEMORY;
    AR_TRY(scope_open(scope, r, r->scope));
    AR_TRY(loop_items(&list, r, n, scope));
    if (list->count == 0) return run_scoped(r, n->other);
    loop->items = list;
    r->scope = scope;
    for (loop->at = 0; loop->at < list->count && !r->broke; loop->at++) {
        scope->names.as.dict->count = 0; /* what an iteration sets ends with it */
        AR_TRY(assign(r, n->a, &list->items[loop->at]));
        AR_TRY(scope_put(r, name, (ar__jvalue){.kind = AR__J_LOOP, .as.loop = loop}));
        AR_TRY(run_list(r, n->body));
        r->continued = false;
    }
    r->broke = false;
    r->scope = scope->outer;
    return AR_OK;
}

/* ---- macros ---- */

static ar_status make_macro(ar__jvalue *v, ar__jrun *r, const ar__jnode *n) {
    ar__jmacro *macro = ar__jtake(&r->arena, 1, sizeof *macro);
    if (!macro) return AR_ERR_MEMORY;
    *macro = (ar__jmacro){n, r->scope};
    *v = (ar__jvalue){.kind = AR__J_MACRO, .as.macro = macro};
    return AR_OK;
}

/* Gives the parameters their arguments, defaults or nothing, in the macro's scope. */
static ar_status bind(ar__jrun *r, const ar__jmacro *m, const ar__jargs *args) {
    const ar__jlist *given = args->given.as.list;
    static const ar__jstring caller = {"caller", 6};
    size_t i = 0, named = 0;
    ar__jvalue *found, key = ar__jtext(caller.data, caller.bytes);
    for (const ar__jnode *p = m->node->list; p; p = p->next, i++) {
        ar__jvalue name = ar__jtext(p->name.data, p->name.bytes), v = ar__jundefined(p->name);
        AR_TRY(ar__jdict_find(&found, r, &args->named, &name));
        named += found && i >= given->count;
        if (i < given->count)
            v = given->items[i];
        else if (found)
            v = *found;
        else if (p->a)
            AR_TRY(ar__jeval(&v, r, p->a));
        AR_TRY(scope_put(r, p->name, v));
    }
    AR_TRY(ar__jdict_find(&found, r, &args->named, &key));
    if (found) AR_TRY(scope_put(r, caller, *found));
    if (given->count > i || args->named.as.dict->count > named + (found != NULL))
        return ar__jfail(r, AR_ERR_FORMAT, "found an argument that a macro does not take");
    return AR_OK;
}

static ar_status call_macro(ar__jvalue *v, ar__jrun *r, const ar__jmacro *m, const ar__jargs *args) {
    ar__jscope *scope = ar__jtake(&r->arena, 1, sizeof *scope), *outer = r->scope;
    ar__jbuild made = {.r = r}, *out = r->out;
    if (!scope) return AR_ERR_MEMORY;
    AR_TRY(scope_open(scope, r, m->scope));
    r->scope = scope;
    r->out = &made;
    ar_status status = bind(r, m, args);
    if (status == AR_OK) status = run_list(r, m->node->body);
    r->out = out;
    r->scope = outer;
    ar__jstring text = ar__jbuild_done(&made);
    *v = ar__jtext(text.data, text.bytes);
    return status;
}

/* ---- statements ---- */

static ar_status print(ar__jrun *r, const ar__jvalue *v) {
    ar__jstring text;
    AR_TRY(ar__jstr(&text, r, v));
    return ar__jbuild_string(r->out, text);
}

static ar_status run_if(ar__jrun *r, const ar__jnode *n) {
    bool holds = false;
    ar__jvalue v;
    for (;;) { /* an elif is an if alone in the other branch */
        AR_TRY(ar__jeval(&v, r, n->a));
        AR_TRY(ar__jtruth(&holds, r, &v));
        if (holds) return run_list(r, n->body);
        if (!n->other || n->other->kind != AR__JN_IF || n->other->next) return run_list(r, n->other);
        n = n->other;
    }
}

static ar_status run_with(ar__jrun *r, const ar__jnode *n) {
    ar__jscope *outer = r->scope, *scope = ar__jtake(&r->arena, 1, sizeof *scope);
    if (!scope) return AR_ERR_MEMORY;
    AR_TRY(scope_open(scope, r, outer));
    for (const ar__jnode *s = n->list; s; s = s->next) {
        ar__jvalue v;
        AR_TRY(ar__jeval(&v, r, s->b)); /* in the scope around it */
        r->scope = scope;
        AR_TRY(assign(r, s->a, &v));
        r->scope = outer;
    }
    r->scope = scope;
    AR_TRY(run_list(r, n->body));
    r->scope = outer;
    return AR_OK;
}

static ar_status run_called(ar__jrun *r, const ar__jnode *n) {
    ar__jvalue caller, v;
    AR_TRY(make_macro(&caller, r, n));
    AR_TRY(ar__jeval_call(&v, r, n->a, &caller));
    return print(r, &v);
}

static ar_status run_node(ar__jrun *r, const ar__jnode *n) {
    ar__jvalue v;
    switch (n->kind) {
    case AR__JN_TEXT: return ar__jbuild_string(r->out, n->value.as.string);
    case AR__JN_PRINT: AR_TRY(ar__jeval(&v, r, n->a)); return print(r, &v);
    case AR__JN_IF: return run_if(r, n);
    case AR__JN_FOR: return run_for(r, n);
    case AR__JN_SET: AR_TRY(ar__jeval(&v, r, n->b)); return assign(r, n->a, &v);
    case AR__JN_CAPTURE: AR_TRY(filtered_text(&v, r, n)); return assign(r, n->a, &v);
    case AR__JN_FILTERED: AR_TRY(filtered_text(&v, r, n)); return print(r, &v);
    case AR__JN_MACRO: AR_TRY(make_macro(&v, r, n)); return scope_put(r, n->name, v);
    case AR__JN_CALLED: return run_called(r, n);
    case AR__JN_WITH: return run_with(r, n);
    case AR__JN_BREAK: r->broke = true; return AR_OK;
    case AR__JN_CONTINUE: r->continued = true; return AR_OK;
    default: return ar__jfail(r, AR_ERR_FORMAT, "found an expression, expected a statement");
    }
}

static ar_status run_list(ar__jrun *r, const ar__jnode *list) {
    if (++r->nested > AR__J_MAX_NESTED)
        return ar__jfail(r, AR_ERR_FORMAT, "found more than %d calls and blocks in each other",
                         AR__J_MAX_NESTED);
    for (; list && !r->broke && !r->continued; list = list->next) {
        r->line = list->line;
        AR_TRY(ar__jstep(r, 1));
        AR_TRY(run_node(r, list));
    }
    r->nested--;
    return AR_OK;
}

ar_status ar__jinja_render(char **out, const ar__jinja *t, const ar__jvalue *context, const struct tm *now) {
    ar__jrun r = {.t = t, .now = now, .call_macro = call_macro};
    ar__jscope given = {.names = *context}, *top;
    ar__jbuild made = {.r = &r};
    ar_status status;
    *out = NULL;
    r.out = &made;
    top = ar__jtake(&r.arena, 1, sizeof *top);
    if (!top) AR_GO(AR_ERR_MEMORY);
    AR_GO(scope_open(top, &r, &given));
    r.scope = top;
    AR_GO(run_list(&r, t->body));
    *out = ar__alloc(made.bytes + 1, 1);
    if (!*out) AR_GO(AR_ERR_MEMORY);
    if (made.bytes) memcpy(*out, made.data, made.bytes);
done:
    ar__jarena_deinit(&r.arena);
    return status;
}
