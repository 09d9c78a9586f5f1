/* What the files of the template interpreter share; jinja.h is what others see. */
#ifndef AR_JINJA_INSIDE_H
#define AR_JINJA_INSIDE_H
#include "jinja.h"

#define AR__J_MAX_BYTES  ((size_t)256 << 20) /* of memory, by template and by rendering */
#define AR__J_MAX_STEPS  10000000 /* nodes and items looked at, plus one for every 64 bytes worked on */
#define AR__J_MAX_DEPTH  200      /* of a template's brackets and blocks, and of values shown */
#define AR__J_MAX_NESTED 600      /* evaluations inside each other, macros' included */
#define AR__J_MAX_RANGE  100000   /* jinja2's sandbox's */

/* ---- tokens ---- */

typedef enum ar__jtoken_kind {
    AR__JT_TEXT,
    AR__JT_PRINT,     /* {{ */
    AR__JT_PRINT_END, /* }} */
    AR__JT_BLOCK,     /* {% */
    AR__JT_BLOCK_END, /* %} */
    AR__JT_NAME,
    AR__JT_STRING, /* decoded */
    AR__JT_INT,
    AR__JT_FLOAT,
    AR__JT_OP,
    AR__JT_END
} ar__jtoken_kind;
typedef struct ar__jtoken {
    ar__jtoken_kind kind;
    int32_t line;
    ar__jstring text;
    int64_t integer;
    double real;
} ar__jtoken;
/* The tokens, in the arena, ended by one of kind END. */
ar_status ar__jlex(ar__jtoken **tokens, ar__jarena *a, const char *text, size_t bytes, const char *what);

/* ---- the tree ---- */

typedef enum ar__jnode_kind {
    /* expressions */
    AR__JN_CONST, /* value */
    AR__JN_NAME,  /* name */
    AR__JN_LIST,
    AR__JN_TUPLE, /* list: items */
    AR__JN_DICT,  /* list: PAIRs */
    AR__JN_PAIR,  /* a: b */
    AR__JN_NOT,
    AR__JN_NEGATE,
    AR__JN_PLUS, /* a */
    AR__JN_AND,
    AR__JN_OR,
    AR__JN_BINARY,    /* a op b; op: + - * / % ~, 'd' for //, 'p' for ** */
    AR__JN_COMPARE,   /* a, list: COMPAREs of op and a; op: = ! < > l (<=) g (>=) i (in) n (not in) */
    AR__JN_IF_ELSE,   /* a if b else c (NULL: undefined) */
    AR__JN_ATTRIBUTE, /* a.name */
    AR__JN_ITEM,      /* a[b] */
    AR__JN_SLICE,     /* [a:b:c], each NULL where left out */
    AR__JN_CALL,      /* a(list) */
    AR__JN_KEYWORD,   /* name=a in a list of arguments or parameters */
    AR__JN_FILTER,    /* a|name(list); a NULL: of the block's text */
    AR__JN_TEST,      /* a is name(list) */
    /* statements */
    AR__JN_TEXT,     /* value */
    AR__JN_PRINT,    /* a */
    AR__JN_IF,       /* a, body, other */
    AR__JN_FOR,      /* a in b if c: body, else other */
    AR__JN_SET,      /* a = b */
    AR__JN_CAPTURE,  /* a = body, through filters b */
    AR__JN_MACRO,    /* name(list): body */
    AR__JN_CALLED,   /* call(list) a: body */
    AR__JN_FILTERED, /* filters b: body */
    AR__JN_WITH,     /* list: SETs, body */
    AR__JN_BREAK,
    AR__JN_CONTINUE
} ar__jnode_kind;
typedef struct ar__jnode ar__jnode;
struct ar__jnode {
    ar__jnode_kind kind;
    char op;
    int32_t line;
    ar__jstring name;
    ar__jvalue value;
    ar__jnode *a, *b, *c;
    ar__jnode *list, *body, *other; /* first of each */
    ar__jnode *next;                /* in the list or body it stands in */
};

struct ar__jinja {
    ar__jarena arena;
    ar__jnode *body;
    char *what;
};

typedef struct ar__jparser {
    ar__jarena *arena;
    const ar__jtoken *at;
    const char *what;
    int32_t depth, loops;
} ar__jparser;
ar_status ar__jparse_deeper(ar__jparser *p); /* the caller subtracts one from depth again */
ar_status ar__jparse_node(ar__jnode **n, ar__jparser *p, ar__jnode_kind kind);
bool ar__jis_op(const ar__jtoken *t, const char *op);
bool ar__jis_name(const ar__jtoken *t, const char *name);
bool ar__jskip_op(ar__jparser *p, const char *op);
bool ar__jskip_name(ar__jparser *p, const char *name);
ar_status ar__jexpect_op(ar__jparser *p, const char *op);
ar_status ar__jexpect_name(ar__jstring *name, ar__jparser *p); /* any name */
ar_status ar__jparse_unexpected(const ar__jparser *p, const char *expected);
ar_status ar__jparse_expression(ar__jnode **n, ar__jparser *p, bool conditional);
/* Expressions with commas between them are a tuple; a single one is itself. */
ar_status ar__jparse_tuple(ar__jnode **n, ar__jparser *p, bool conditional);
/* What an assignment or a loop may name: names, tuples of them, with `attribute` also name.attribute. */
ar_status ar__jparse_target(ar__jnode **n, ar__jparser *p, bool attribute);
/* name(arguments)|name(arguments) ... around `of`, from where the name stands. */
ar_status ar__jparse_filters(ar__jnode **n, ar__jparser *p, ar__jnode *of);
ar_status ar__jparse_arguments(ar__jnode **list, ar__jparser *p); /* from "(" to ")" */

/* ---- rendering ---- */

typedef struct ar__jscope {
    struct ar__jscope *outer;
    ar__jvalue names; /* a dict */
} ar__jscope;
struct ar__jargs;
struct ar__jmacro;
typedef struct ar__jrun {
    const ar__jinja *t;
    ar__jarena arena;
    struct ar__jbuild *out;
    ar__jvalue piped; /* the text of the block whose filters run */
    const struct tm *now;
    ar__jscope *scope;
    int64_t steps;
    int32_t nested, line;
    bool broke, continued; /* a loop is being left */
    /* A macro's text: statements stand above expressions, and are called from them only so. */
    ar_status (*call_macro)(ar__jvalue *v, struct ar__jrun *r, const struct ar__jmacro *m,
                            const struct ar__jargs *args);
} ar__jrun;
typedef struct ar__jloop {
    const ar__jlist *items;
    size_t at;
    int32_t depth;
    ar__jvalue changed; /* what loop.changed() saw last */
} ar__jloop;
typedef struct ar__jmacro {
    const ar__jnode *node; /* list: parameters; body */
    ar__jscope *scope;     /* where it was made */
} ar__jmacro;
typedef struct ar__jmethod {
    ar__jvalue of;
    ar__jstring name;
} ar__jmethod;
/* Arguments of a call, filter or test. */
typedef struct ar__jargs {
    ar__jvalue given, named; /* a list, a dict */
} ar__jargs;

/* ---- jinja_value.c ---- */

/* An error at the line that is being rendered. FORMAT, ARG or UNSUPPORTED. */
ar_status ar__jfail(const ar__jrun *r, ar_status code, const char *format, ...) AR__PRINTF(3, 4);
/* Counts work: steps, and bytes touched. Whatever takes a time that grows with a text or a list counts it,
 * and no remainder is dropped, for a template may ask for the same thing ten million times. */
ar_status ar__jstep(ar__jrun *r, size_t work);
ar_status ar__jwork(ar__jrun *r, size_t bytes);
const char *ar__jkind_name(ar__jkind kind); /* as Python names the type */
ar__jvalue ar__jundefined(ar__jstring name);
ar__jvalue ar__jreal(double x);
bool ar__jis(ar__jstring s, const char *text);
bool ar__jstring_equal(ar__jstring a, ar__jstring b);
bool ar__jis_number(const ar__jvalue *v); /* bool too, as in Python */
double ar__jnumber(const ar__jvalue *v);
int64_t ar__jinteger(const ar__jvalue *v); /* of a bool or an int */
/* The key's value, NULL if there is none; *touched grows by what was compared. */
ar__jvalue *ar__jdict_key(const ar__jdict *dict, const ar__jvalue *key, uint64_t *touched);
ar_status ar__jargs_make(ar__jargs *args, ar__jrun *r);
/* Argument i, or the one of this name; `fallback` where neither is given. */
ar__jvalue ar__jarg(const ar__jargs *args, size_t i, const char *name, ar__jvalue fallback);
/* FORMAT unless `least` to `most` are given by place, and all by name are among `names`, which are separated
 * by single spaces. */
ar_status ar__jargs_check(const ar__jrun *r, const ar__jargs *args, ar__jstring called, size_t least,
                          size_t most, const char *names);

/* ---- jinja_string.c ---- */

/* A text that grows in the arena. */
typedef struct ar__jbuild {
    ar__jrun *r;
    char *data;
    size_t bytes, capacity;
} ar__jbuild;
ar_status ar__jbuild_add(ar__jbuild *b, const char *text, size_t bytes);
ar_status ar__jbuild_string(ar__jbuild *b, ar__jstring s);
ar__jstring ar__jbuild_done(const ar__jbuild *b);
bool ar__jis_space(uint32_t c);           /* str.isspace */
bool ar__jis_line_end(uint32_t c);        /* where str.splitlines cuts */
size_t ar__jstring_length(ar__jstring s); /* characters */
/* Characters [from, to). */
ar__jstring ar__jstring_part(ar__jstring s, size_t from, size_t to);
#define AR__J_LEFT  1
#define AR__J_RIGHT 2
/* Without white space there; for a template's own text, whose length bounds the work. */
ar__jstring ar__jstring_trim(ar__jstring s, int sides);
/* chars: which ones go; NULL = white space. */
ar_status ar__jstring_strip(ar__jstring *out, ar__jrun *r, ar__jstring s, const ar__jstring *chars,
                            int sides);
/* Where `what` first stands at or after `from`, in bytes; SIZE_MAX = nowhere. */
ar_status ar__jstring_find(size_t *at, ar__jrun *r, ar__jstring s, ar__jstring what, size_t from);
ar_status ar__jstring_find_last(size_t *at, ar__jrun *r, ar__jstring s, ar__jstring what);
typedef enum ar__jcase {
    AR__J_UPPER,
    AR__J_LOWER,
    AR__J_CAPITALIZE, /* the first character upper, the rest lower */
    AR__J_TITLE,      /* str.title: after every character that is no letter */
    AR__J_TITLE_WORDS /* Jinja's filter: after white space, - ( { [ < */
} ar__jcase;
ar_status ar__jstring_case(ar__jstring *out, ar__jrun *r, ar__jstring s, ar__jcase to);
/* count < 0: all. */
ar_status ar__jstring_replace(ar__jstring *out, ar__jrun *r, ar__jstring s, ar__jstring from, ar__jstring to,
                              int64_t count);
/* separator NULL: at white space. count < 0: all. last: from the end. */
ar_status ar__jstring_split(ar__jvalue *list, ar__jrun *r, ar__jstring s, const ar__jstring *separator,
                            int64_t count, bool last);
ar_status ar__jstring_lines(ar__jvalue *list, ar__jrun *r, ar__jstring s, bool keep_ends);
/* &, <, >, ' and " as HTML writes them. */
ar_status ar__jstring_escape(ar__jstring *out, ar__jrun *r, ar__jstring s);

/* ---- jinja_compare.c ---- */

ar_status ar__jtruth(bool *truth, ar__jrun *r, const ar__jvalue *v);
ar_status ar__jequal(bool *equal, ar__jrun *r, const ar__jvalue *a, const ar__jvalue *b);
/* -1, 0, 1. FORMAT where Python has no order. */
ar_status ar__jorder(int *order, ar__jrun *r, const ar__jvalue *a, const ar__jvalue *b);
/* NULL where there is none. */
ar_status ar__jdict_find(ar__jvalue **value, ar__jrun *r, const ar__jvalue *dict, const ar__jvalue *key);
ar_status ar__jcontains(bool *in, ar__jrun *r, const ar__jvalue *of, const ar__jvalue *item);
/* What a loop over v runs through: a list of its own where v is none. */
ar_status ar__jiterate(const ar__jlist **list, ar__jrun *r, const ar__jvalue *v);
/* len(v). */
ar_status ar__jlength(int64_t *n, ar__jrun *r, const ar__jvalue *v);
/* (key, value) of each pair. kind: LIST or ITERATOR. FORMAT of what is no dict. */
ar_status ar__jdict_items(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, ar__jkind kind);

/* ---- jinja_show.c ---- */

/* str(v); what is undefined is empty. */
ar_status ar__jstr(ar__jstring *s, ar__jrun *r, const ar__jvalue *v);
typedef struct ar__jjson {
    bool ascii, sorted, indents;
    ar__jstring indent, comma, colon;
} ar__jjson;
/* json.dumps(v). */
ar_status ar__jjson_of(ar__jstring *s, ar__jrun *r, const ar__jvalue *v, const ar__jjson *how);
/* s % values: %s, %d, %i, %f, %.Nf and %%. */
ar_status ar__jstring_format(ar__jstring *out, ar__jrun *r, ar__jstring s, const ar__jvalue *values,
                             size_t count);

/* ---- jinja_method.c ---- */

bool ar__jhas_method(const ar__jvalue *of, ar__jstring name);
ar_status ar__jcall_method(ar__jvalue *v, ar__jrun *r, const ar__jmethod *m, const ar__jargs *args);

/* ---- jinja_operate.c ---- */

/* The error that v, which is undefined, cannot be used so. */
ar_status ar__jis_undefined(const ar__jrun *r, const ar__jvalue *v);
/* of.name and of[key], by environment.getattr and getitem. */
ar_status ar__jattribute(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, ar__jstring name);
ar_status ar__jitem(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jvalue *key);
ar_status ar__jslice(ar__jvalue *v, ar__jrun *r, const ar__jvalue *of, const ar__jvalue bounds[3]);
/* a op b, as BINARY and COMPARE nodes name it. */
ar_status ar__jbinary(ar__jvalue *v, ar__jrun *r, char op, const ar__jvalue *a, const ar__jvalue *b);
ar_status ar__jcompare(bool *truth, ar__jrun *r, char op, const ar__jvalue *a, const ar__jvalue *b);

/* ---- filters, tests, functions ---- */

ar_status ar__jtest(bool *truth, ar__jrun *r, ar__jstring name, const ar__jvalue *of, const ar__jargs *args);
/* *known = false where the name is none of these: jinja_filter.c's. */
ar_status ar__jfilter_value(ar__jvalue *v, bool *known, ar__jrun *r, ar__jstring name, const ar__jvalue *of,
                            const ar__jargs *args);
/* Any filter; jinja_select.c. UNSUPPORTED names an unknown one. */
ar_status ar__jfilter(ar__jvalue *v, ar__jrun *r, ar__jstring name, const ar__jvalue *of,
                      const ar__jargs *args);
bool ar__jhas_global(const ar__jrun *r, ar__jstring name);
ar_status ar__jcall_global(ar__jvalue *v, ar__jrun *r, ar__jstring name, const ar__jargs *args);

/* ---- jinja_eval.c ---- */

ar_status ar__jeval(ar__jvalue *v, ar__jrun *r, const ar__jnode *n);
/* callee(list), with a caller where it is not NULL. */
ar_status ar__jeval_call(ar__jvalue *v, ar__jrun *r, const ar__jnode *n, const ar__jvalue *caller);
#endif
