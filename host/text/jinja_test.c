/* Tests: what stands behind "is", and what select and its kin ask. */
#include "jinja_inside.h"
#include <string.h>

static bool is_listed(const ar__jvalue *v) { return v->kind == AR__J_LIST || v->kind == AR__J_TUPLE; }

/* Those that look at the kind alone. false: the name is none of them. */
static bool kind_test(bool *truth, ar__jstring name, const ar__jvalue *of) {
    ar__jkind k = of->kind;
    if (ar__jis(name, "defined")) return *truth = k != AR__J_UNDEFINED, true;
    if (ar__jis(name, "undefined")) return *truth = k == AR__J_UNDEFINED, true;
    if (ar__jis(name, "none")) return *truth = k == AR__J_NONE, true;
    if (ar__jis(name, "string")) return *truth = k == AR__J_STRING, true;
    if (ar__jis(name, "mapping")) return *truth = k == AR__J_DICT, true;
    if (ar__jis(name, "boolean")) return *truth = k == AR__J_BOOL, true;
    if (ar__jis(name, "integer")) return *truth = k == AR__J_INT, true;
    if (ar__jis(name, "float")) return *truth = k == AR__J_FLOAT, true;
    if (ar__jis(name, "number")) return *truth = ar__jis_number(of), true;
    if (ar__jis(name, "true")) return *truth = k == AR__J_BOOL && of->as.truth, true;
    if (ar__jis(name, "false")) return *truth = k == AR__J_BOOL && !of->as.truth, true;
    if (ar__jis(name, "callable"))
        return *truth = k == AR__J_UNDEFINED || k == AR__J_MACRO || k == AR__J_FUNCTION || k == AR__J_METHOD,
               true;
    if (ar__jis(name, "escaped")) return *truth = of->safe, true;
    bool sequence = k == AR__J_UNDEFINED || k == AR__J_STRING || is_listed(of) || k == AR__J_DICT;
    if (ar__jis(name, "sequence")) return *truth = sequence, true;
    if (ar__jis(name, "iterable")) return *truth = sequence || k == AR__J_ITERATOR || k == AR__J_LOOP, true;
    return false;
}

/* Names and signs of comparisons, each with what ar__jcompare calls it. */
static char comparison(ar__jstring name) {
    static const struct {
        const char *names[4];
        char op;
    } all[] = {{{"==", "eq", "equalto"}, '='},
               {{"!=", "ne"}, '!'},
               {{"<", "lt", "lessthan"}, '<'},
               {{">", "gt", "greaterthan"}, '>'},
               {{"<=", "le"}, 'l'},
               {{">=", "ge"}, 'g'},
               {{"in"}, 'i'}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (size_t k = 0; k < 4 && all[i].names[k]; k++)
            if (ar__jis(name, all[i].names[k])) return all[i].op;
    return 0;
}

static ar_status divisible(bool *truth, ar__jrun *r, ar__jstring name, const ar__jvalue *of,
                           const ar__jvalue *by) {
    int64_t divisor = ar__jis(name, "divisibleby") ? by->kind == AR__J_INT ? by->as.integer : 0 : 2;
    if ((of->kind != AR__J_INT && of->kind != AR__J_BOOL) || divisor == 0)
        return ar__jfail(r, AR_ERR_FORMAT, "found a remainder of %s, expected one of ints",
                         ar__jkind_name(of->kind));
    *truth = (ar__jinteger(of) % divisor != 0) == ar__jis(name, "odd");
    return AR_OK;
}

/* Is the text in this case, and has it letters at all? */
static ar_status cased(bool *truth, ar__jrun *r, const ar__jvalue *of, bool upper) {
    ar__jstring s, same, other;
    AR_TRY(ar__jstr(&s, r, of));
    AR_TRY(ar__jstring_case(&same, r, s, upper ? AR__J_UPPER : AR__J_LOWER));
    AR_TRY(ar__jstring_case(&other, r, s, upper ? AR__J_LOWER : AR__J_UPPER));
    *truth = ar__jstring_equal(s, same) && !ar__jstring_equal(s, other);
    return AR_OK;
}

static bool same_object(const ar__jvalue *a, const ar__jvalue *b) {
    if (a->kind != b->kind) return false;
    switch (a->kind) {
    case AR__J_NONE: return true;
    case AR__J_BOOL: return a->as.truth == b->as.truth;
    case AR__J_INT: return a->as.integer == b->as.integer;
    case AR__J_STRING: return ar__jstring_equal(a->as.string, b->as.string);
    default: return a->as.list == b->as.list;
    }
}

ar_status ar__jtest(bool *truth, ar__jrun *r, ar__jstring name, const ar__jvalue *of, const ar__jargs *args) {
    char quote[AR__QUOTE_BYTES];
    size_t given = args->given.as.list->count;
    char op = comparison(name);
    bool binary = op || ar__jis(name, "sameas") || ar__jis(name, "divisibleby");
    *truth = false;
    AR_TRY(ar__jstep(r, 1));
    if (binary && given + args->named.as.dict->count != 1)
        return ar__jfail(r, AR_ERR_FORMAT, "is %s: found %zu arguments, expected 1",
                         ar__quote(quote, name.data, name.bytes), given);
    const ar__jvalue *by = !binary ? NULL
                           : given ? &args->given.as.list->items[0]
                                   : &args->named.as.dict->pairs[0].value;
    if (op) return ar__jcompare(truth, r, op, of, by);
    if (ar__jis(name, "sameas")) {
        if (of->kind == AR__J_STRING) AR_TRY(ar__jwork(r, of->as.string.bytes));
        return *truth = same_object(of, by), AR_OK;
    }
    if (ar__jis(name, "divisibleby") || ar__jis(name, "odd") || ar__jis(name, "even"))
        return divisible(truth, r, name, of, by);
    if (ar__jis(name, "lower") || ar__jis(name, "upper")) return cased(truth, r, of, ar__jis(name, "upper"));
    if (kind_test(truth, name, of)) return AR_OK;
    return ar__jfail(r, AR_ERR_UNSUPPORTED, "found the test %s", ar__quote(quote, name.data, name.bytes));
}
