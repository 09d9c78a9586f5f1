/* Functions that a template finds without being given them. */
#include "jinja_inside.h"
#include <string.h>

typedef ar_status function(ar__jvalue *v, ar__jrun *r, const ar__jargs *args);
static const ar__jvalue none = {.kind = AR__J_NONE};

static ar_status range(ar__jvalue *v, ar__jrun *r, const ar__jargs *args) {
    const ar__jlist *given = args->given.as.list;
    int64_t bounds[3] = {0, 0, 1};
    for (size_t i = 0; i < given->count; i++) {
        const ar__jvalue *one = &given->items[i];
        if (one->kind != AR__J_INT && one->kind != AR__J_BOOL)
            return ar__jfail(r, AR_ERR_FORMAT, "range: found %s, expected an int", ar__jkind_name(one->kind));
        bounds[given->count == 1 ? 1 : i] = ar__jinteger(one);
    }
    int64_t step = bounds[2], count = 0;
    const int64_t most = (int64_t)1 << 53;
    if (step == 0) return ar__jfail(r, AR_ERR_FORMAT, "range: found a step of 0");
    for (int i = 0; i < 3; i++)
        if (bounds[i] > most || bounds[i] < -most)
            return ar__jfail(r, AR_ERR_FORMAT, "range: found a number beyond 2^53");
    if (step > 0 ? bounds[1] > bounds[0] : bounds[1] < bounds[0])
        count = (bounds[1] - bounds[0] - (step > 0 ? 1 : -1)) / step + 1;
    if (count > AR__J_MAX_RANGE)
        return ar__jfail(r, AR_ERR_FORMAT, "range: found %lld numbers, expected at most %d", (long long)count,
                         AR__J_MAX_RANGE);
    AR_TRY(ar__jstep(r, (size_t)count));
    AR_TRY(ar__jlist_make(v, &r->arena, AR__J_LIST, (size_t)count));
    for (int64_t i = 0; i < count; i++) AR_TRY(ar__jlist_push(v, &r->arena, ar__jint(bounds[0] + i * step)));
    return AR_OK;
}

/* A dict or a namespace: of another dict, and of the arguments by name. */
static ar_status filled(ar__jvalue *v, ar__jrun *r, const ar__jargs *args, ar__jkind kind) {
    ar__jvalue from = ar__jarg(args, 0, "", none);
    const ar__jdict *sources[2] = {from.kind == AR__J_DICT ? from.as.dict : NULL, args->named.as.dict};
    if (args->given.as.list->count > 1 || (args->given.as.list->count == 1 && !sources[0]))
        return ar__jfail(r, AR_ERR_UNSUPPORTED, "found a dict or namespace made of %s",
                         ar__jkind_name(from.kind));
    AR_TRY(ar__jdict_make(v, &r->arena, kind, 0));
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; sources[k] && i < sources[k]->count; i++) {
            const ar__jpair *pair = &sources[k]->pairs[i];
            if (kind == AR__J_NAMESPACE && pair->key.kind == AR__J_STRING && pair->key.as.string.bytes &&
                pair->key.as.string.data[0] == '_')
                return ar__jfail(r, AR_ERR_FORMAT, "namespace: found a name that begins with _");
            AR_TRY(ar__jstep(r, 1));
            AR_TRY(ar__jdict_put(v, &r->arena, pair->key, pair->value));
        }
    return AR_OK;
}

static ar_status namespace(ar__jvalue *v, ar__jrun *r, const ar__jargs *args) {
    return filled(v, r, args, AR__J_NAMESPACE);
}

static ar_status dict(ar__jvalue *v, ar__jrun *r, const ar__jargs *args) {
    return filled(v, r, args, AR__J_DICT);
}

static ar_status raise_exception(ar__jvalue *v, ar__jrun *r, const ar__jargs *args) {
    ar__jvalue message = ar__jarg(args, 0, "message", none);
    ar__jstring s;
    *v = none;
    AR_TRY(ar__jstr(&s, r, &message));
    return ar__jfail(r, AR_ERR_ARG, "the template refuses this: %.*s", (int)(s.bytes < 300 ? s.bytes : 300),
                     s.data);
}

static ar_status strftime_now(ar__jvalue *v, ar__jrun *r, const ar__jargs *args) {
    ar__jvalue format = ar__jarg(args, 0, "format", none);
    char how[128], text[512];
    if (format.kind != AR__J_STRING || format.as.string.bytes >= sizeof how - 1)
        return ar__jfail(r, AR_ERR_FORMAT, "strftime_now: found %s, expected a short string",
                         ar__jkind_name(format.kind));
    memcpy(how, format.as.string.data, format.as.string.bytes);
    how[format.as.string.bytes] = ' '; /* so that 0 bytes can only mean that they do not fit */
    how[format.as.string.bytes + 1] = '\0';
    size_t bytes = strftime(text, sizeof text, how, r->now);
    char *kept = bytes ? ar__jtake(&r->arena, bytes, 1) : NULL;
    if (bytes == 0)
        return ar__jfail(r, AR_ERR_FORMAT, "strftime_now: found a date of more than %zu bytes", sizeof text);
    if (!kept) return AR_ERR_MEMORY;
    memcpy(kept, text, bytes - 1);
    *v = ar__jtext(kept, bytes - 1);
    return AR_OK;
}

static const struct {
    const char *name;
    function *run;
    size_t least, most;
    const char *names; /* NULL: any */
} functions[] = {
    {"range", range, 1, 3, ""},
    {"namespace", namespace, 0, 1, NULL},
    {"dict", dict, 0, 1, NULL},
    {"raise_exception", raise_exception, 1, 1, "message"},
    {"strftime_now", strftime_now, 1, 1, "format"},
};

bool ar__jhas_global(const ar__jrun *r, ar__jstring name) {
    if (ar__jis(name, "strftime_now")) return r->now != NULL;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (ar__jis(name, functions[i].name)) return true;
    return false;
}

ar_status ar__jcall_global(ar__jvalue *v, ar__jrun *r, ar__jstring name, const ar__jargs *args) {
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        if (!ar__jis(name, functions[i].name)) continue;
        if (functions[i].names)
            AR_TRY(ar__jargs_check(r, args, name, functions[i].least, functions[i].most, functions[i].names));
        return functions[i].run(v, r, args);
    }
    return ar__jfail(r, AR_ERR_UNSUPPORTED, "found an unknown function");
}
