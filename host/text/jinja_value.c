/* What every file of the interpreter stands on: memory, errors, the making of values. */
#include "jinja_inside.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory ---- */

#define CHUNK ((size_t)64 << 10)

typedef struct ar__jchunk {
    struct ar__jchunk *next;
    size_t bytes, used;
    max_align_t data[];
} ar__jchunk;

void *ar__jtake(ar__jarena *a, size_t count, size_t each) {
    const size_t align = sizeof(max_align_t);
    if (count > AR__J_MAX_BYTES / each || a->total + count * each > AR__J_MAX_BYTES) {
        ar__fail(AR_ERR_MEMORY, "chat template: found more than %zu MiB of values", AR__J_MAX_BYTES >> 20);
        return NULL;
    }
    size_t bytes = (count * each + align - 1) / align * align;
    if (!a->chunks || a->chunks->bytes - a->chunks->used < bytes) {
        size_t room = bytes > CHUNK ? bytes : CHUNK;
        ar__jchunk *made = ar__alloc(1, sizeof *made + room);
        if (!made) return NULL;
        made->bytes = room;
        made->next = a->chunks;
        a->chunks = made;
        a->total += room;
    }
    void *taken = (char *)a->chunks->data + a->chunks->used;
    a->chunks->used += bytes;
    return taken;
}

void ar__jarena_deinit(ar__jarena *a) {
    for (ar__jchunk *next; a->chunks; a->chunks = next) {
        next = a->chunks->next;
        free(a->chunks);
    }
    *a = (ar__jarena){0};
}

/* ---- errors and bounds ---- */

ar_status ar__jfail(const ar__jrun *r, ar_status code, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return ar__fail(code, "%s: line %d: %s", r->t->what, (int)r->line, text);
}

ar_status ar__jstep(ar__jrun *r, size_t work) {
    if (work > AR__J_MAX_STEPS ||
        (r->steps += (int64_t)work) + (int64_t)(r->arena.touched / 64) > AR__J_MAX_STEPS)
        return ar__jfail(r, AR_ERR_FORMAT, "found no end after %d steps", AR__J_MAX_STEPS);
    return AR_OK;
}

ar_status ar__jwork(ar__jrun *r, size_t bytes) {
    r->arena.touched += bytes;
    return ar__jstep(r, 0);
}

/* ---- making values ---- */

ar__jvalue ar__jnone(void) { return (ar__jvalue){.kind = AR__J_NONE}; }
ar__jvalue ar__jbool(bool b) { return (ar__jvalue){.kind = AR__J_BOOL, .as.truth = b}; }
ar__jvalue ar__jint(int64_t i) { return (ar__jvalue){.kind = AR__J_INT, .as.integer = i}; }
ar__jvalue ar__jreal(double x) { return (ar__jvalue){.kind = AR__J_FLOAT, .as.real = x}; }
ar__jvalue ar__jtext(const char *text, size_t bytes) {
    return (ar__jvalue){.kind = AR__J_STRING, .as.string = {text, bytes}};
}
ar__jvalue ar__jname(const char *text) { return ar__jtext(text, strlen(text)); }
ar__jvalue ar__jundefined(ar__jstring name) {
    return (ar__jvalue){.kind = AR__J_UNDEFINED, .as.string = name};
}

ar_status ar__jlist_make(ar__jvalue *v, ar__jarena *a, ar__jkind kind, size_t capacity) {
    ar__jlist *list = ar__jtake(a, 1, sizeof *list);
    if (!list) return AR_ERR_MEMORY;
    list->capacity = capacity;
    if (capacity) list->items = ar__jtake(a, capacity, sizeof *list->items);
    if (capacity && !list->items) return AR_ERR_MEMORY;
    *v = (ar__jvalue){.kind = kind, .as.list = list};
    return AR_OK;
}

ar_status ar__jlist_push(ar__jvalue *v, ar__jarena *a, ar__jvalue item) {
    ar__jlist *list = v->as.list;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 8;
        ar__jvalue *grown = ar__jtake(a, capacity, sizeof *grown);
        if (!grown) return AR_ERR_MEMORY;
        if (list->count) memcpy(grown, list->items, list->count * sizeof *grown);
        list->items = grown;
        list->capacity = capacity;
    }
    list->items[list->count++] = item;
    return AR_OK;
}

ar_status ar__jdict_make(ar__jvalue *v, ar__jarena *a, ar__jkind kind, size_t capacity) {
    ar__jdict *dict = ar__jtake(a, 1, sizeof *dict);
    if (!dict) return AR_ERR_MEMORY;
    dict->capacity = capacity;
    if (capacity) dict->pairs = ar__jtake(a, capacity, sizeof *dict->pairs);
    if (capacity && !dict->pairs) return AR_ERR_MEMORY;
    *v = (ar__jvalue){.kind = kind, .as.dict = dict};
    return AR_OK;
}

bool ar__jstring_equal(ar__jstring a, ar__jstring b) {
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.data, b.data, a.bytes) == 0);
}

/* Keys are strings, numbers, truths or none, so this is all of a key's equality. */
static bool same_key(const ar__jvalue *a, const ar__jvalue *b) {
    if (a->kind == AR__J_STRING)
        return b->kind == AR__J_STRING && ar__jstring_equal(a->as.string, b->as.string);
    if (ar__jis_number(a)) return ar__jis_number(b) && ar__jnumber(a) == ar__jnumber(b);
    return a->kind == b->kind;
}

ar__jvalue *ar__jdict_key(const ar__jdict *dict, const ar__jvalue *key, uint64_t *touched) {
    for (size_t i = 0; i < dict->count; i++) {
        const ar__jvalue *one = &dict->pairs[i].key;
        bool texts = key->kind == AR__J_STRING && one->kind == AR__J_STRING;
        *touched += 8; /* texts of different lengths are told apart by them */
        if (texts && key->as.string.bytes == one->as.string.bytes) *touched += key->as.string.bytes;
        if (same_key(one, key)) return &dict->pairs[i].value;
    }
    return NULL;
}

ar_status ar__jdict_put(ar__jvalue *v, ar__jarena *a, ar__jvalue key, ar__jvalue value) {
    ar__jdict *dict = v->as.dict;
    ar__jvalue *there = ar__jdict_key(dict, &key, &a->touched);
    if (there) {
        *there = value;
        return AR_OK;
    }
    if (dict->count == dict->capacity) {
        size_t capacity = dict->capacity ? 2 * dict->capacity : 8;
        ar__jpair *grown = ar__jtake(a, capacity, sizeof *grown);
        if (!grown) return AR_ERR_MEMORY;
        if (dict->count) memcpy(grown, dict->pairs, dict->count * sizeof *grown);
        dict->pairs = grown;
        dict->capacity = capacity;
    }
    dict->pairs[dict->count++] = (ar__jpair){key, value};
    return AR_OK;
}

/* ---- asking them ---- */

const char *ar__jkind_name(ar__jkind kind) {
    static const char *const names[] = {"an undefined value", "None",   "a bool",  "an int",      "a float",
                                        "a string",           "a list", "a tuple", "an iterator", "a dict",
                                        "a namespace",        "a loop", "a macro", "a function",  "a method"};
    return names[kind];
}

bool ar__jis(ar__jstring s, const char *text) {
    size_t n = strlen(text);
    return s.bytes == n && memcmp(s.data, text, n) == 0;
}

bool ar__jis_number(const ar__jvalue *v) {
    return v->kind == AR__J_BOOL || v->kind == AR__J_INT || v->kind == AR__J_FLOAT;
}

int64_t ar__jinteger(const ar__jvalue *v) { return v->kind == AR__J_BOOL ? v->as.truth : v->as.integer; }

double ar__jnumber(const ar__jvalue *v) {
    return v->kind == AR__J_FLOAT ? v->as.real : (double)ar__jinteger(v);
}

/* ---- arguments ---- */

ar_status ar__jargs_make(ar__jargs *args, ar__jrun *r) {
    AR_TRY(ar__jlist_make(&args->given, &r->arena, AR__J_LIST, 0));
    return ar__jdict_make(&args->named, &r->arena, AR__J_DICT, 0);
}

ar__jvalue ar__jarg(const ar__jargs *args, size_t i, const char *name, ar__jvalue fallback) {
    const ar__jdict *named = args->named.as.dict;
    if (i < args->given.as.list->count) return args->given.as.list->items[i];
    for (size_t k = 0; k < named->count; k++)
        if (ar__jis(named->pairs[k].key.as.string, name)) return named->pairs[k].value;
    return fallback;
}

ar_status ar__jargs_check(const ar__jrun *r, const ar__jargs *args, ar__jstring called, size_t least,
                          size_t most, const char *names) {
    char quote[AR__QUOTE_BYTES];
    const ar__jdict *named = args->named.as.dict;
    size_t given = args->given.as.list->count;
    ar__quote(quote, called.data, called.bytes);
    if (given + named->count < least || given > most)
        return ar__jfail(r, AR_ERR_FORMAT, "%s: found %zu arguments, expected %zu to %zu", quote, given,
                         least, most);
    for (size_t i = 0; i < named->count; i++) {
        ar__jstring name = named->pairs[i].key.as.string;
        const char *p = names;
        for (size_t n = 0; *p; p += n + (p[n] == ' ')) {
            n = strcspn(p, " ");
            if (n == name.bytes && memcmp(p, name.data, n) == 0) break;
        }
        if (*p) continue;
        char other[AR__QUOTE_BYTES];
        return ar__jfail(r, AR_ERR_FORMAT, "%s: found the argument %s, expected one of: %s", quote,
                         ar__quote(other, name.data, name.bytes), names);
    }
    return AR_OK;
}
