/* OpenCL: kernels that are wanted together, built as one program where that takes less. PoCL reads its own
 * declarations anew for every program, 0.13 s of a processor, and a step of tuning has thirty kernels. Each
 * text stands between definitions of its own: the specialization values, and other names for the kernel and
 * for what the text defines. The binary is kept in one cache file, and a small one for each kernel says where
 * it is, so that other kernels wanted together find it too. */
#include "driver_cl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ar__cl_set {
    ar__cl_set *next; /* of the device's */
    cl_program program;
    uint64_t hash;       /* of its kernels' texts and options */
    int32_t users;       /* pipelines */
    bool is_kept, tried; /* in the cache; whether keeping was tried */
    char *options;       /* what its kernels have in common */
};

/* The cache file of one kernel. */
typedef struct place {
    uint64_t set;
    uint32_t member, zero;
} place;

/* ---- the text ---- */

typedef struct text {
    char *data;
    size_t used, capacity;
    bool failed;
} text;

static void put(text *t, const char *data, size_t bytes) {
    if (!t->failed && t->used + bytes + 1 > t->capacity) {
        size_t capacity = 2 * t->capacity + bytes + 4096;
        char *grown = realloc(t->data, capacity);
        t->failed = !grown;
        if (grown) t->data = grown, t->capacity = capacity;
    }
    if (t->failed) return;
    memcpy(t->data + t->used, data, bytes);
    t->used += bytes;
    t->data[t->used] = '\0';
}

static void put_text(text *t, const char *data) { put(t, data, strlen(data)); }

static void rename_one(text *t, const char *name, size_t bytes, const char *suffix, bool is_end) {
    put_text(t, is_end ? "#undef " : "#define ");
    put(t, name, bytes);
    if (!is_end) {
        put_text(t, " ");
        put(t, name, bytes);
        put_text(t, suffix);
    }
    put_text(t, "\n");
}

static void rename_all(text *t, const ar__kernel *kernel, int32_t member, bool is_end) {
    char suffix[16];
    snprintf(suffix, sizeof suffix, "_%d", (int)member);
    rename_one(t, kernel->name, strlen(kernel->name), suffix, is_end);
    for (const char *at = kernel->cl_own; *at;) {
        size_t bytes = strcspn(at, " ");
        rename_one(t, at, bytes, suffix, is_end);
        at += bytes + (at[bytes] == ' ');
    }
}

#define DEFINE "#define "

/* Forgets the macros that a text has defined, as it has each at the beginning of a line. */
static void forget_macros(text *t, const char *source) {
    for (const char *at = source; (at = strstr(at, DEFINE)) != NULL;) {
        bool is_line = at == source || at[-1] == '\n';
        at += sizeof DEFINE - 1;
        size_t bytes = strcspn(at, " (\n");
        if (!is_line) continue;
        put_text(t, "#undef ");
        put(t, at, bytes);
        put_text(t, "\n");
    }
}

static void put_member(text *t, const ar__pipeline *p, int32_t member) {
    const ar__kernel *k = p->kernel;
    char line[120];
    for (int32_t i = 0; i < k->spec_count; i++) {
        snprintf(line, sizeof line, DEFINE "%s %uu\n", k->spec_names[i], p->specs[i]);
        put_text(t, line);
    }
    rename_all(t, k, member, false);
    put_text(t, k->cl_source);
    put_text(t, "\n");
    rename_all(t, k, member, true);
    forget_macros(t, k->cl_source);
    for (int32_t i = 0; i < k->spec_count; i++) {
        snprintf(line, sizeof line, "#undef %s\n", k->spec_names[i]);
        put_text(t, line);
    }
}

/* ---- sets ---- */

static ar__cl_set *add_set(ar__drv *drv, cl_program program, uint64_t hash, const char *options) {
    ar__cl_set *s = calloc(1, sizeof *s);
    if (s) s->options = malloc(strlen(options) + 1);
    if (!s || !s->options) {
        free(s);
        drv->cl.ReleaseProgram(program);
        return NULL;
    }
    strcpy(s->options, options);
    s->program = program;
    s->hash = hash;
    s->next = drv->sets;
    drv->sets = s;
    return s;
}

static void join(ar__cl_set *s, ar__pipeline *p, int32_t member) {
    p->set = s;
    p->member = member;
    p->program = s->program;
    snprintf(p->entry, sizeof p->entry, "%s_%d", p->kernel->name, (int)member);
    s->users++;
}

static uint64_t hash_of(ar__pipeline *const *members, int32_t count) {
    uint64_t hash = AR__HASH_START;
    for (int32_t i = 0; i < count; i++) {
        const ar__pipeline *p = members[i];
        hash = ar__hash(hash, p->kernel->name, strlen(p->kernel->name) + 1);
        hash = ar__hash(hash, p->kernel->cl_source, strlen(p->kernel->cl_source) + 1);
        hash = ar__hash(hash, p->options, strlen(p->options) + 1);
    }
    return hash;
}

bool ar__cl_set_build(ar__drv *drv, ar__pipeline *const *members, int32_t count) {
    const cl_table *cl = &drv->cl;
    const char *options = members[0]->base;
    text t = {0};
    cl_int code = CL_OUT_OF_HOST_MEMORY;
    for (int32_t i = 0; i < count; i++) put_member(&t, members[i], i);
    cl_program program =
        t.failed
            ? NULL
            : cl->CreateProgramWithSource(drv->context, 1, (const char **)(uintptr_t)&t.data, NULL, &code);
    free(t.data);
    if (!program || code != CL_SUCCESS) return false;
    if (cl->BuildProgram(program, 1, &drv->device, options, NULL, NULL) != CL_SUCCESS) {
        cl->ReleaseProgram(program);
        return false;
    }
    ar__cl_set *s = add_set(drv, program, hash_of(members, count), options);
    for (int32_t i = 0; s && i < count; i++) join(s, members[i], i);
    return s != NULL;
}

/* ---- kept ---- */

static ar__cache_id set_id(const ar__drv *drv, uint64_t hash, const char *options, char *version) {
    ar__cache_id id = ar__cl_cache_id(drv, NULL, options, version);
    id.source_hash = hash;
    return id;
}

/* The set of that hash: one of the device's, or from the cache. */
static ar__cl_set *find_set(ar__drv *drv, uint64_t hash, const char *options) {
    char version[AR_CL_VERSION_BYTES];
    for (ar__cl_set *s = drv->sets; s; s = s->next)
        if (s->hash == hash && strcmp(s->options, options) == 0) return s;
    ar__cache_id id = set_id(drv, hash, options, version);
    cl_program program = ar__cl_program_cached(drv, "cl-set", &id, options);
    ar__cl_set *s = program ? add_set(drv, program, hash, options) : NULL;
    if (s) s->is_kept = s->tried = true;
    return s;
}

bool ar__cl_set_find(ar__drv *drv, ar__pipeline *p, const ar__cache_id *id) {
    place *at = NULL;
    size_t bytes = 0;
    if (!ar__cache_load(drv->cache_dir, "cl-in", ar__cache_key(id), id, (void **)&at, &bytes)) return false;
    ar__cl_set *s = bytes == sizeof *at && at->member < INT32_MAX ? find_set(drv, at->set, p->base) : NULL;
    if (s) join(s, p, (int32_t)at->member);
    p->is_kept = s != NULL;
    free(at);
    return s != NULL;
}

static void keep(ar__drv *drv, ar__cl_set *s, const ar__pipeline *p) {
    char version[AR_CL_VERSION_BYTES];
    ar__cache_id id = set_id(drv, s->hash, s->options, version);
    if (!s->tried) s->is_kept = ar__cl_program_keep(drv, "cl-set", s->program, &id);
    s->tried = true;
    if (!s->is_kept || p->is_kept) return;
    id = ar__cl_cache_id(drv, p->kernel, p->options, version);
    place at = {.set = s->hash, .member = (uint32_t)p->member};
    ar__cache_store(drv->cache_dir, "cl-in", ar__cache_key(&id), &id, &at, sizeof at);
}

void ar__cl_set_leave(ar__drv *drv, ar__pipeline *p) {
    ar__cl_set *s = p->set;
    keep(drv, s, p);
    if (--s->users > 0) return;
    ar__cl_set **at = &drv->sets;
    while (*at != s) at = &(*at)->next;
    *at = s->next;
    drv->cl.ReleaseProgram(s->program);
    free(s->options);
    free(s);
}
