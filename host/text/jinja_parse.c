/* Tokens as a tree: statements, by jinja2's grammar. What stands between tags is text. */
#include "jinja_inside.h"
#include <stdlib.h>
#include <string.h>

/* Statements up to a tag that begins with one of `ends` (separated by single spaces), which is left to be
 * read: p stands at its name. ends NULL: up to the end of the template. */
static ar_status body(ar__jnode **list, ar__jparser *p, const char *ends);

static bool is_one_of(const ar__jtoken *t, const char *names) {
    for (size_t n; t->kind == AR__JT_NAME && *names; names += n + (names[n] != '\0')) {
        n = strcspn(names, " ");
        if (n == t->text.bytes && memcmp(names, t->text.data, n) == 0) return true;
    }
    return false;
}

static ar_status block_end(ar__jparser *p) {
    if (p->at->kind != AR__JT_BLOCK_END) return ar__jparse_unexpected(p, "%}");
    p->at++;
    return AR_OK;
}

/* "%}", statements, and the closing tag whole. */
static ar_status body_to(ar__jnode **list, ar__jparser *p, const char *end) {
    AR_TRY(block_end(p));
    AR_TRY(body(list, p, end));
    p->at++;
    return block_end(p);
}

static ar_status parse_if(ar__jnode **n, ar__jparser *p) {
    for (;; n = &(*n)->other) {
        AR_TRY(ar__jparse_node(n, p, AR__JN_IF));
        AR_TRY(ar__jparse_tuple(&(*n)->a, p, true));
        AR_TRY(block_end(p));
        AR_TRY(body(&(*n)->body, p, "elif else endif"));
        if (!ar__jskip_name(p, "elif")) break;
    }
    if (ar__jskip_name(p, "else")) return body_to(&(*n)->other, p, "endif");
    p->at++;
    return block_end(p);
}

static ar_status parse_for(ar__jnode **n, ar__jparser *p) {
    AR_TRY(ar__jparse_node(n, p, AR__JN_FOR));
    AR_TRY(ar__jparse_target(&(*n)->a, p, false));
    if (!ar__jskip_name(p, "in")) return ar__jparse_unexpected(p, "in");
    AR_TRY(ar__jparse_tuple(&(*n)->b, p, false));
    if (ar__jskip_name(p, "if")) AR_TRY(ar__jparse_expression(&(*n)->c, p, true));
    if (ar__jis_name(p->at, "recursive"))
        return ar__fail(AR_ERR_UNSUPPORTED, "%s: line %d: found a recursive loop", p->what, (int)p->at->line);
    AR_TRY(block_end(p));
    p->loops++;
    AR_TRY(body(&(*n)->body, p, "endfor else"));
    p->loops--;
    if (ar__jskip_name(p, "else")) return body_to(&(*n)->other, p, "endfor");
    p->at++;
    return block_end(p);
}

static ar_status parse_set(ar__jnode **n, ar__jparser *p) {
    AR_TRY(ar__jparse_node(n, p, AR__JN_SET));
    AR_TRY(ar__jparse_target(&(*n)->a, p, true));
    if (ar__jskip_op(p, "=")) {
        AR_TRY(ar__jparse_tuple(&(*n)->b, p, true));
        return block_end(p);
    }
    (*n)->kind = AR__JN_CAPTURE;
    if (ar__jskip_op(p, "|")) AR_TRY(ar__jparse_filters(&(*n)->b, p, NULL));
    return body_to(&(*n)->body, p, "endset");
}

/* Names with defaults, from "(" to ")". */
static ar_status parameters(ar__jnode **list, ar__jparser *p) {
    ar__jnode **last = list;
    AR_TRY(ar__jexpect_op(p, "("));
    while (!ar__jskip_op(p, ")")) {
        if (last != list) AR_TRY(ar__jexpect_op(p, ","));
        AR_TRY(ar__jparse_node(last, p, AR__JN_KEYWORD));
        AR_TRY(ar__jexpect_name(&(*last)->name, p));
        if (ar__jskip_op(p, "=")) AR_TRY(ar__jparse_expression(&(*last)->a, p, true));
        last = &(*last)->next;
    }
    return AR_OK;
}

/* Loops around a macro are not left by a break in it. */
static ar_status macro_body(ar__jnode **list, ar__jparser *p, const char *end) {
    int32_t loops = p->loops;
    p->loops = 0;
    AR_TRY(body_to(list, p, end));
    p->loops = loops;
    return AR_OK;
}

static ar_status parse_macro(ar__jnode **n, ar__jparser *p) {
    AR_TRY(ar__jparse_node(n, p, AR__JN_MACRO));
    AR_TRY(ar__jexpect_name(&(*n)->name, p));
    AR_TRY(parameters(&(*n)->list, p));
    return macro_body(&(*n)->body, p, "endmacro");
}

static ar_status parse_call(ar__jnode **n, ar__jparser *p) {
    AR_TRY(ar__jparse_node(n, p, AR__JN_CALLED));
    if (ar__jis_op(p->at, "(")) AR_TRY(parameters(&(*n)->list, p));
    AR_TRY(ar__jparse_expression(&(*n)->a, p, true));
    if ((*n)->a->kind != AR__JN_CALL) return ar__jparse_unexpected(p, "a call before this");
    return macro_body(&(*n)->body, p, "endcall");
}

static ar_status parse_filter(ar__jnode **n, ar__jparser *p) {
    AR_TRY(ar__jparse_node(n, p, AR__JN_FILTERED));
    AR_TRY(ar__jparse_filters(&(*n)->b, p, NULL));
    return body_to(&(*n)->body, p, "endfilter");
}

static ar_status parse_with(ar__jnode **n, ar__jparser *p) {
    AR_TRY(ar__jparse_node(n, p, AR__JN_WITH));
    for (ar__jnode **last = &(*n)->list; p->at->kind != AR__JT_BLOCK_END; last = &(*last)->next) {
        if (last != &(*n)->list) AR_TRY(ar__jexpect_op(p, ","));
        AR_TRY(ar__jparse_node(last, p, AR__JN_SET));
        AR_TRY(ar__jparse_target(&(*last)->a, p, false));
        AR_TRY(ar__jexpect_op(p, "="));
        AR_TRY(ar__jparse_expression(&(*last)->b, p, true));
    }
    return body_to(&(*n)->body, p, "endwith");
}

static ar_status parse_leave(ar__jnode **n, ar__jparser *p, ar__jnode_kind kind) {
    if (p->loops == 0) return ar__jparse_unexpected(p, "a loop around the tag");
    AR_TRY(ar__jparse_node(n, p, kind));
    return block_end(p);
}

/* From behind "{%". */
static ar_status statement(ar__jnode **n, ar__jparser *p) {
    char quote[AR__QUOTE_BYTES];
    if (ar__jskip_name(p, "if")) return parse_if(n, p);
    if (ar__jskip_name(p, "for")) return parse_for(n, p);
    if (ar__jskip_name(p, "set")) return parse_set(n, p);
    if (ar__jskip_name(p, "macro")) return parse_macro(n, p);
    if (ar__jskip_name(p, "call")) return parse_call(n, p);
    if (ar__jskip_name(p, "filter")) return parse_filter(n, p);
    if (ar__jskip_name(p, "with")) return parse_with(n, p);
    if (ar__jskip_name(p, "break")) return parse_leave(n, p, AR__JN_BREAK);
    if (ar__jskip_name(p, "continue")) return parse_leave(n, p, AR__JN_CONTINUE);
    if (ar__jskip_name(p, "generation")) { /* transformers': what it marks is not asked for here */
        AR_TRY(ar__jparse_node(n, p, AR__JN_WITH));
        return macro_body(&(*n)->body, p, "endgeneration");
    }
    if (p->at->kind != AR__JT_NAME) return ar__jparse_unexpected(p, "a statement");
    if (is_one_of(p->at, "elif else endif endfor endset endmacro endcall endfilter endwith endgeneration"))
        return ar__jparse_unexpected(p, "the statement that it belongs to");
    return ar__fail(AR_ERR_UNSUPPORTED, "%s: line %d: found the statement %s", p->what, (int)p->at->line,
                    ar__quote(quote, p->at->text.data, p->at->text.bytes));
}

static ar_status body(ar__jnode **list, ar__jparser *p, const char *ends) {
    ar__jnode **last = list;
    AR_TRY(ar__jparse_deeper(p));
    for (;;) {
        const ar__jtoken *t = p->at;
        if (t->kind == AR__JT_END) break;
        if (t->kind == AR__JT_TEXT) {
            AR_TRY(ar__jparse_node(last, p, AR__JN_TEXT));
            (*last)->value = ar__jtext(t->text.data, t->text.bytes);
            p->at++;
        } else if (t->kind == AR__JT_PRINT) {
            AR_TRY(ar__jparse_node(last, p, AR__JN_PRINT));
            p->at++;
            AR_TRY(ar__jparse_tuple(&(*last)->a, p, true));
            if (p->at->kind != AR__JT_PRINT_END) return ar__jparse_unexpected(p, "}}");
            p->at++;
        } else {
            p->at++;
            if (ends && is_one_of(p->at, ends)) {
                p->depth--;
                return AR_OK;
            }
            AR_TRY(statement(last, p));
        }
        last = &(*last)->next;
    }
    p->depth--;
    return ends ? ar__jparse_unexpected(p, ends) : AR_OK;
}

ar_status ar__jinja_parse(ar__jinja **t, const char *text, size_t bytes, const char *what) {
    ar__jtoken *tokens = NULL;
    *t = NULL;
    ar__jinja *made = ar__alloc(1, sizeof *made);
    if (!made) return AR_ERR_MEMORY;
    ar_status status;
    made->what = ar__jtake(&made->arena, strlen(what) + 1, 1);
    if (!made->what) AR_GO(AR_ERR_MEMORY);
    memcpy(made->what, what, strlen(what));
    AR_GO(ar__jlex(&tokens, &made->arena, text, bytes, made->what));
    ar__jparser p = {.arena = &made->arena, .at = tokens, .what = made->what};
    AR_GO(body(&made->body, &p, NULL));
    *t = made;
    return AR_OK;
done:
    ar__jinja_close(made);
    return status;
}

void ar__jinja_close(ar__jinja *t) {
    if (!t) return;
    ar__jarena_deinit(&t->arena);
    free(t);
}
