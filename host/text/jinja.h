/* Chat templates: the part of Jinja that published ones use, with what jinja2 gives for it under
 * transformers' settings (trim_blocks, lstrip_blocks, its sandbox that changes no object, tojson,
 * raise_exception, strftime_now, break and continue, generation blocks). Templates come with a model's
 * files and are hostile: steps, depth, memory and output are bounded, and there is nothing to reach.
 * From the bottom up:
 *   jinja_value.c    memory, errors and bounds, making values
 *   jinja_string.c   text as Python's str sees it: characters, strip, case, split
 *   jinja_compare.c  truth, equality, order, members, length
 *   jinja_show.c     values as text: str, repr, JSON, %
 *   jinja_lex.c      a template's text as tokens
 *   jinja_expr.c     tokens as a tree: expressions
 *   jinja_parse.c    tokens as a tree: statements
 *   jinja_method.c   methods of strings, dicts and loops
 *   jinja_operate.c  attributes, items, operators
 *   jinja_test.c     tests ("is ...")
 *   jinja_filter.c   filters; jinja_select.c those over lists
 *   jinja_global.c   functions (range, namespace, ...)
 *   jinja_eval.c     expressions
 *   jinja_run.c      statements: scopes, loops, macros */
#ifndef AR_JINJA_H
#define AR_JINJA_H
#include "tokenizer.h"
#include <time.h>

/* ---- memory: everything of a template or of a rendering, freed at once ---- */

typedef struct ar__jarena {
    struct ar__jchunk *chunks;
    size_t total;
    uint64_t touched; /* bytes that work on its values looked at or made: ar__jwork */
} ar__jarena;
/* Zeroed, aligned for anything; NULL with the error set: MEMORY, also beyond AR__J_MAX_BYTES. */
void *ar__jtake(ar__jarena *a, size_t count, size_t each);
void ar__jarena_deinit(ar__jarena *a);

/* ---- values ---- */

typedef enum ar__jkind {
    AR__J_UNDEFINED,
    AR__J_NONE,
    AR__J_BOOL,
    AR__J_INT,
    AR__J_FLOAT,
    AR__J_STRING,
    AR__J_LIST,
    AR__J_TUPLE,
    AR__J_ITERATOR, /* what map, select and such give: always true, without a length, read once */
    AR__J_DICT,
    AR__J_NAMESPACE,
    AR__J_LOOP,
    AR__J_MACRO,
    AR__J_FUNCTION, /* a global, by its name */
    AR__J_METHOD    /* one of another value's, by its name */
} ar__jkind;
typedef struct ar__jstring {
    const char *data; /* UTF-8 */
    size_t bytes;
} ar__jstring;
typedef struct ar__jvalue {
    ar__jkind kind;
    bool safe; /* a string that "safe" marked: what is joined to it by + is escaped */
    union {
        bool truth;
        int64_t integer;
        double real;
        ar__jstring string; /* also the name of what is undefined, and of a function */
        struct ar__jlist *list;
        struct ar__jdict *dict; /* of a namespace too */
        struct ar__jloop *loop;
        struct ar__jmacro *macro;
        struct ar__jmethod *method;
    } as;
} ar__jvalue;
typedef struct ar__jlist {
    ar__jvalue *items;
    size_t count, capacity;
} ar__jlist;
typedef struct ar__jpair {
    ar__jvalue key, value;
} ar__jpair;
typedef struct ar__jdict {
    ar__jpair *pairs; /* in the order of their making */
    size_t count, capacity;
} ar__jdict;

ar__jvalue ar__jnone(void);
ar__jvalue ar__jbool(bool b);
ar__jvalue ar__jint(int64_t i);
/* Borrows the text. */
ar__jvalue ar__jtext(const char *text, size_t bytes);
ar__jvalue ar__jname(const char *text); /* NUL-terminated */
/* Empty ones; capacity may be 0. */
ar_status ar__jlist_make(ar__jvalue *v, ar__jarena *a, ar__jkind kind, size_t capacity);
ar_status ar__jlist_push(ar__jvalue *v, ar__jarena *a, ar__jvalue item);
ar_status ar__jdict_make(ar__jvalue *v, ar__jarena *a, ar__jkind kind, size_t capacity);
/* A key that is there gets the new value in its old place. */
ar_status ar__jdict_put(ar__jvalue *v, ar__jarena *a, ar__jvalue key, ar__jvalue value);

/* ---- templates ---- */

typedef struct ar__jinja ar__jinja;
/* Errors: FORMAT (no template, "what: line N: found ..., expected ..."), UNSUPPORTED (a statement that is not
 * known here, named), MEMORY. */
ar_status ar__jinja_parse(ar__jinja **t, const char *text, size_t bytes, const char *what);
void ar__jinja_close(ar__jinja *t); /* NULL is fine */
/* The text that t gives with the variables of `context`, a dict whose values live in an arena of the
 * caller's; NUL-terminated, free(). now: what strftime_now says; NULL = the template does not have it.
 * Errors: ARG (raise_exception, whose message is the error's), FORMAT (what jinja2 refuses too, or beyond a
 * bound), UNSUPPORTED (a filter, test, method or function that is not known here, named), MEMORY. */
ar_status ar__jinja_render(char **out, const ar__jinja *t, const ar__jvalue *context, const struct tm *now);
#endif
