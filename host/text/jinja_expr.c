/* Tokens as a tree: expressions, by jinja2's grammar and its order of operators. */
#include "jinja_inside.h"
#include <string.h>

bool ar__jis_op(const ar__jtoken *t, const char *op) { return t->kind == AR__JT_OP && ar__jis(t->text, op); }

bool ar__jis_name(const ar__jtoken *t, const char *name) {
    return t->kind == AR__JT_NAME && ar__jis(t->text, name);
}

bool ar__jskip_op(ar__jparser *p, const char *op) {
    bool is = ar__jis_op(p->at, op);
    if (is) p->at++;
    return is;
}

bool ar__jskip_name(ar__jparser *p, const char *name) {
    bool is = ar__jis_name(p->at, name);
    if (is) p->at++;
    return is;
}

ar_status ar__jparse_unexpected(const ar__jparser *p, const char *expected) {
    char quote[AR__QUOTE_BYTES];
    const ar__jtoken *t = p->at;
    return ar__fail(AR_ERR_FORMAT, "%s: line %d: found %s, expected %s", p->what, (int)t->line,
                    t->kind == AR__JT_END ? "the end" : ar__quote(quote, t->text.data, t->text.bytes),
                    expected);
}

ar_status ar__jexpect_op(ar__jparser *p, const char *op) {
    return ar__jskip_op(p, op) ? AR_OK : ar__jparse_unexpected(p, op);
}

ar_status ar__jexpect_name(ar__jstring *name, ar__jparser *p) {
    if (p->at->kind != AR__JT_NAME) return ar__jparse_unexpected(p, "a name");
    *name = p->at++->text;
    return AR_OK;
}

ar_status ar__jparse_deeper(ar__jparser *p) {
    if (++p->depth > AR__J_MAX_DEPTH)
        return ar__fail(AR_ERR_FORMAT, "%s: line %d: found more than %d levels in each other", p->what,
                        (int)p->at->line, AR__J_MAX_DEPTH);
    return AR_OK;
}

ar_status ar__jparse_node(ar__jnode **n, ar__jparser *p, ar__jnode_kind kind) {
    *n = ar__jtake(p->arena, 1, sizeof **n);
    if (!*n) return AR_ERR_MEMORY;
    (*n)->kind = kind;
    (*n)->line = p->at->line;
    return AR_OK;
}

/* A node above what stands in *n. */
static ar_status wrap(ar__jnode **n, ar__jparser *p, ar__jnode_kind kind) {
    ar__jnode *inner = *n;
    AR_TRY(ar__jparse_node(n, p, kind));
    (*n)->a = inner;
    return AR_OK;
}

/* ---- what stands alone ---- */

static ar_status constant(ar__jnode **n, ar__jparser *p, ar__jvalue value) {
    AR_TRY(ar__jparse_node(n, p, AR__JN_CONST));
    (*n)->value = value;
    p->at++;
    return AR_OK;
}

/* Strings side by side are one. */
static ar_status strings(ar__jnode **n, ar__jparser *p) {
    size_t bytes = 0, at = 0;
    const ar__jtoken *end = p->at;
    for (; end->kind == AR__JT_STRING; end++) bytes += end->text.bytes;
    char *made = ar__jtake(p->arena, bytes + 1, 1);
    if (!made) return AR_ERR_MEMORY;
    AR_TRY(ar__jparse_node(n, p, AR__JN_CONST));
    (*n)->value = ar__jtext(made, bytes);
    for (; p->at < end; p->at++) {
        memcpy(made + at, p->at->text.data, p->at->text.bytes);
        at += p->at->text.bytes;
    }
    return AR_OK;
}

/* Items up to `end`, each an expression, or with `pairs` two around a colon. */
static ar_status items(ar__jnode **list, ar__jparser *p, const char *end, bool pairs) {
    ar__jnode **last = list;
    while (!ar__jskip_op(p, end)) {
        if (last != list) AR_TRY(ar__jexpect_op(p, ","));
        if (last != list && ar__jskip_op(p, end)) break;
        AR_TRY(ar__jparse_expression(last, p, true));
        if (pairs) {
            AR_TRY(wrap(last, p, AR__JN_PAIR));
            AR_TRY(ar__jexpect_op(p, ":"));
            AR_TRY(ar__jparse_expression(&(*last)->b, p, true));
        }
        last = &(*last)->next;
    }
    return AR_OK;
}

static ar_status bracketed(ar__jnode **n, ar__jparser *p) {
    if (ar__jskip_op(p, "(")) {
        if (ar__jskip_op(p, ")")) return ar__jparse_node(n, p, AR__JN_TUPLE);
        AR_TRY(ar__jparse_tuple(n, p, true));
        return ar__jexpect_op(p, ")");
    }
    bool pairs = ar__jis_op(p->at, "{");
    if (!pairs && !ar__jis_op(p->at, "[")) return ar__jparse_unexpected(p, "an expression");
    AR_TRY(ar__jparse_node(n, p, pairs ? AR__JN_DICT : AR__JN_LIST));
    p->at++;
    return items(&(*n)->list, p, pairs ? "}" : "]", pairs);
}

static ar_status primary(ar__jnode **n, ar__jparser *p) {
    const ar__jtoken *t = p->at;
    switch (t->kind) {
    case AR__JT_STRING: return strings(n, p);
    case AR__JT_INT: return constant(n, p, ar__jint(t->integer));
    case AR__JT_FLOAT: return constant(n, p, ar__jreal(t->real));
    case AR__JT_NAME: break;
    default: return bracketed(n, p);
    }
    if (ar__jis_name(t, "true") || ar__jis_name(t, "True")) return constant(n, p, ar__jbool(true));
    if (ar__jis_name(t, "false") || ar__jis_name(t, "False")) return constant(n, p, ar__jbool(false));
    if (ar__jis_name(t, "none") || ar__jis_name(t, "None")) return constant(n, p, ar__jnone());
    AR_TRY(ar__jparse_node(n, p, AR__JN_NAME));
    return ar__jexpect_name(&(*n)->name, p);
}

/* ---- what stands behind: .name, [item], (arguments), |filter, is test ---- */

ar_status ar__jparse_arguments(ar__jnode **list, ar__jparser *p) {
    ar__jnode **last = list;
    AR_TRY(ar__jexpect_op(p, "("));
    while (!ar__jskip_op(p, ")")) {
        if (last != list) AR_TRY(ar__jexpect_op(p, ","));
        if (last != list && ar__jskip_op(p, ")")) break;
        if (ar__jis_op(p->at, "*") || ar__jis_op(p->at, "**"))
            return ar__fail(AR_ERR_UNSUPPORTED, "%s: line %d: found * before an argument", p->what,
                            (int)p->at->line);
        if (p->at->kind == AR__JT_NAME && ar__jis_op(p->at + 1, "=")) {
            AR_TRY(ar__jparse_node(last, p, AR__JN_KEYWORD));
            AR_TRY(ar__jexpect_name(&(*last)->name, p));
            p->at++;
            AR_TRY(ar__jparse_expression(&(*last)->a, p, true));
        } else {
            AR_TRY(ar__jparse_expression(last, p, true));
        }
        last = &(*last)->next;
    }
    return AR_OK;
}

/* An index, or from:to:step with any of them left out. */
static ar_status index_or_slice(ar__jnode **n, ar__jparser *p) {
    ar__jnode *parts[3] = {NULL};
    bool slice = false;
    for (int i = 0; i < 3; i++) {
        if (!ar__jis_op(p->at, ":") && !ar__jis_op(p->at, "]"))
            AR_TRY(ar__jparse_expression(&parts[i], p, true));
        if (i == 2 || !ar__jskip_op(p, ":")) break;
        slice = true;
    }
    if (!slice) {
        *n = parts[0];
        return *n ? AR_OK : ar__jparse_unexpected(p, "an expression");
    }
    AR_TRY(ar__jparse_node(n, p, AR__JN_SLICE));
    (*n)->a = parts[0];
    (*n)->b = parts[1];
    (*n)->c = parts[2];
    return AR_OK;
}

static ar_status subscript(ar__jnode **n, ar__jparser *p) {
    if (ar__jskip_op(p, ".")) {
        if (p->at->kind == AR__JT_INT) {
            AR_TRY(wrap(n, p, AR__JN_ITEM));
            return constant(&(*n)->b, p, ar__jint(p->at->integer));
        }
        AR_TRY(wrap(n, p, AR__JN_ATTRIBUTE));
        return ar__jexpect_name(&(*n)->name, p);
    }
    AR_TRY(ar__jexpect_op(p, "["));
    AR_TRY(wrap(n, p, AR__JN_ITEM));
    AR_TRY(index_or_slice(&(*n)->b, p));
    return ar__jexpect_op(p, "]");
}

static ar_status postfix(ar__jnode **n, ar__jparser *p) {
    for (;;) {
        if (ar__jis_op(p->at, ".") || ar__jis_op(p->at, "[")) {
            AR_TRY(subscript(n, p));
        } else if (ar__jis_op(p->at, "(")) {
            AR_TRY(wrap(n, p, AR__JN_CALL));
            AR_TRY(ar__jparse_arguments(&(*n)->list, p));
        } else {
            return AR_OK;
        }
    }
}

ar_status ar__jparse_filters(ar__jnode **n, ar__jparser *p, ar__jnode *of) {
    *n = of;
    do {
        AR_TRY(wrap(n, p, AR__JN_FILTER));
        AR_TRY(ar__jexpect_name(&(*n)->name, p));
        if (ar__jis_op(p->at, "(")) AR_TRY(ar__jparse_arguments(&(*n)->list, p));
    } while (ar__jskip_op(p, "|"));
    return AR_OK;
}

static bool begins_argument(const ar__jtoken *t) {
    switch (t->kind) {
    case AR__JT_NAME:
        return !ar__jis_name(t, "else") && !ar__jis_name(t, "or") && !ar__jis_name(t, "and") &&
               !ar__jis_name(t, "is") && !ar__jis_name(t, "if") && !ar__jis_name(t, "in") &&
               !ar__jis_name(t, "not");
    case AR__JT_STRING:
    case AR__JT_INT:
    case AR__JT_FLOAT: return true;
    default: return ar__jis_op(t, "[") || ar__jis_op(t, "{");
    }
}

static ar_status test(ar__jnode **n, ar__jparser *p) {
    bool negated = ar__jskip_name(p, "not");
    AR_TRY(wrap(n, p, AR__JN_TEST));
    AR_TRY(ar__jexpect_name(&(*n)->name, p));
    if (ar__jis_op(p->at, "(")) {
        AR_TRY(ar__jparse_arguments(&(*n)->list, p));
    } else if (begins_argument(p->at)) {
        AR_TRY(primary(&(*n)->list, p));
        AR_TRY(postfix(&(*n)->list, p));
    }
    return negated ? wrap(n, p, AR__JN_NOT) : AR_OK;
}

/* Filters, tests and the calls of what they give. */
static ar_status filtered(ar__jnode **n, ar__jparser *p) {
    for (;;) {
        if (ar__jskip_op(p, "|")) {
            AR_TRY(ar__jparse_filters(n, p, *n));
        } else if (ar__jskip_name(p, "is")) {
            AR_TRY(test(n, p));
        } else if (ar__jis_op(p->at, "(")) {
            AR_TRY(wrap(n, p, AR__JN_CALL));
            AR_TRY(ar__jparse_arguments(&(*n)->list, p));
        } else {
            return AR_OK;
        }
    }
}

/* ---- operators, from the strongest ---- */

static ar_status unary(ar__jnode **n, ar__jparser *p, bool with_filters) {
    AR_TRY(ar__jparse_deeper(p));
    bool minus = ar__jis_op(p->at, "-");
    if (minus || ar__jis_op(p->at, "+")) {
        p->at++;
        AR_TRY(unary(n, p, false));
        AR_TRY(wrap(n, p, minus ? AR__JN_NEGATE : AR__JN_PLUS));
    } else {
        AR_TRY(primary(n, p));
    }
    AR_TRY(postfix(n, p));
    if (with_filters) AR_TRY(filtered(n, p));
    p->depth--;
    return AR_OK;
}

/* One level of operators that bind to the left: pairs of spelling and name. */
typedef struct level {
    const char *const *spelled;
    const char *named;
} level;
static const char *const powers[] = {"**", NULL}, *const products[] = {"*", "/", "//", "%", NULL},
                         *const joins[] = {"~", NULL}, *const sums[] = {"+", "-", NULL};
static const level levels[] = {{powers, "p"}, {products, "*/d%"}, {joins, "~"}, {sums, "+-"}};

static ar_status binary(ar__jnode **n, ar__jparser *p, int of) {
    if (of < 0) return unary(n, p, true);
    AR_TRY(binary(n, p, of - 1));
    for (size_t i = 0; levels[of].spelled[i];) {
        if (!ar__jskip_op(p, levels[of].spelled[i])) {
            i++;
            continue;
        }
        AR_TRY(wrap(n, p, AR__JN_BINARY));
        (*n)->op = levels[of].named[i];
        AR_TRY(binary(&(*n)->b, p, of - 1));
        i = 0;
    }
    return AR_OK;
}

/* The comparison that stands here, passed over; 0 = none. */
static char comparison(ar__jparser *p) {
    static const char *const spelled[] = {"==", "!=", "<=", ">=", "<", ">"};
    for (size_t i = 0; i < 6; i++)
        if (ar__jskip_op(p, spelled[i])) return "=!lg<>"[i];
    if (ar__jskip_name(p, "in")) return 'i';
    if (!ar__jis_name(p->at, "not") || !ar__jis_name(p->at + 1, "in")) return 0;
    p->at += 2;
    return 'n';
}

static ar_status compared(ar__jnode **n, ar__jparser *p) {
    AR_TRY(binary(n, p, 3));
    ar__jnode **last = NULL;
    for (char op = comparison(p); op; op = comparison(p)) {
        if (!last) {
            AR_TRY(wrap(n, p, AR__JN_COMPARE));
            last = &(*n)->list;
        }
        AR_TRY(ar__jparse_node(last, p, AR__JN_COMPARE));
        (*last)->op = op;
        AR_TRY(binary(&(*last)->a, p, 3));
        last = &(*last)->next;
    }
    return AR_OK;
}

static ar_status negation(ar__jnode **n, ar__jparser *p) {
    int32_t count = 0;
    while (ar__jskip_name(p, "not")) count++;
    AR_TRY(compared(n, p));
    /* "not not x" is truth(x) */
    if (count > 0) AR_TRY(wrap(n, p, AR__JN_NOT));
    return count > 1 && count % 2 == 0 ? wrap(n, p, AR__JN_NOT) : AR_OK;
}

static ar_status conjunction(ar__jnode **n, ar__jparser *p) {
    AR_TRY(negation(n, p));
    while (ar__jskip_name(p, "and")) {
        AR_TRY(wrap(n, p, AR__JN_AND));
        AR_TRY(negation(&(*n)->b, p));
    }
    return AR_OK;
}

static ar_status disjunction(ar__jnode **n, ar__jparser *p) {
    AR_TRY(conjunction(n, p));
    while (ar__jskip_name(p, "or")) {
        AR_TRY(wrap(n, p, AR__JN_OR));
        AR_TRY(conjunction(&(*n)->b, p));
    }
    return AR_OK;
}

ar_status ar__jparse_expression(ar__jnode **n, ar__jparser *p, bool conditional) {
    AR_TRY(ar__jparse_deeper(p));
    AR_TRY(disjunction(n, p));
    while (conditional && ar__jskip_name(p, "if")) {
        AR_TRY(wrap(n, p, AR__JN_IF_ELSE));
        AR_TRY(disjunction(&(*n)->b, p));
        if (ar__jskip_name(p, "else")) AR_TRY(ar__jparse_expression(&(*n)->c, p, true));
    }
    p->depth--;
    return AR_OK;
}

static bool ends_tuple(const ar__jtoken *t) {
    return t->kind == AR__JT_PRINT_END || t->kind == AR__JT_BLOCK_END || t->kind == AR__JT_END ||
           ar__jis_op(t, ")") || ar__jis_op(t, "=") || ar__jis_name(t, "in") || ar__jis_name(t, "recursive");
}

/* `first` and what follows it behind commas. */
static ar_status rest_of_tuple(ar__jnode **n, ar__jparser *p, bool conditional, bool targets) {
    if (!ar__jis_op(p->at, ",")) return AR_OK;
    ar__jnode *first = *n, **last = &first->next;
    AR_TRY(ar__jparse_node(n, p, AR__JN_TUPLE));
    (*n)->list = first;
    while (ar__jskip_op(p, ",") && !ends_tuple(p->at)) {
        AR_TRY(targets ? primary(last, p) : ar__jparse_expression(last, p, conditional));
        last = &(*last)->next;
    }
    return AR_OK;
}

ar_status ar__jparse_tuple(ar__jnode **n, ar__jparser *p, bool conditional) {
    AR_TRY(ar__jparse_expression(n, p, conditional));
    return rest_of_tuple(n, p, conditional, false);
}

static ar_status check_target(const ar__jparser *p, const ar__jnode *n) {
    if (n->kind == AR__JN_NAME) return AR_OK;
    if (n->kind != AR__JN_TUPLE || !n->list) return ar__jparse_unexpected(p, "a name before this");
    for (const ar__jnode *i = n->list; i; i = i->next) AR_TRY(check_target(p, i));
    return AR_OK;
}

ar_status ar__jparse_target(ar__jnode **n, ar__jparser *p, bool attribute) {
    AR_TRY(primary(n, p));
    if (attribute && (*n)->kind == AR__JN_NAME && ar__jskip_op(p, ".")) {
        AR_TRY(wrap(n, p, AR__JN_ATTRIBUTE));
        return ar__jexpect_name(&(*n)->name, p);
    }
    AR_TRY(rest_of_tuple(n, p, false, true));
    return check_target(p, *n);
}
