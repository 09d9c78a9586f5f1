/* Named tensors of a model, whatever file they come from: what all readers share. */
#include "weights.h"
#include "ar_error.h"
#include <stdlib.h>
#include <string.h>

void ar_weights_close(ar_weights *w) {
    if (w->vtable) w->vtable->close(w->impl);
    ar_notes_deinit(&w->notes);
    *w = (ar_weights){0};
}

int64_t ar_weights_find(const ar_weights *w, const char *name) {
    int64_t count = w->vtable->count(w->impl);
    for (int64_t i = 0; i < count; i++)
        if (strcmp(w->vtable->at(w->impl, i)->name, name) == 0) return i;
    return -1;
}

/* ---- many of them ---- */

struct ar__weight_name {
    const char *name;
    int64_t index;
};

static int by_name_then_index(const void *a, const void *b) {
    const struct ar__weight_name *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order != 0 ? order : x->index < y->index ? -1 : x->index > y->index;
}

ar_status ar__weight_names_init(ar__weight_names *n, const ar_weights *w) {
    int64_t count = w->vtable->count(w->impl);
    *n = (ar__weight_names){.list = ar__alloc((size_t)count, sizeof *n->list)};
    if (!n->list) return AR_ERR_MEMORY;
    for (; n->count < count; n->count++)
        n->list[n->count] = (struct ar__weight_name){w->vtable->at(w->impl, n->count)->name, n->count};
    qsort(n->list, (size_t)count, sizeof *n->list, by_name_then_index);
    return AR_OK;
}

void ar__weight_names_deinit(ar__weight_names *n) {
    free(n->list);
    *n = (ar__weight_names){0};
}

int64_t ar__weight_names_find(const ar__weight_names *n, const char *name) {
    int64_t low = 0, high = n->count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (strcmp(n->list[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n->count && strcmp(n->list[low].name, name) == 0 ? n->list[low].index : -1;
}

/* ---- some of the tensors of others ---- */

typedef struct some {
    const ar_weights_vtable *vtable;
    void *impl;
    ar_weights_vtable own; /* NULL where theirs is */
    int64_t count;
    int64_t *index; /* theirs */
} some;

/* Out of range stays so. */
static int64_t index_of(const some *s, int64_t i) { return i >= 0 && i < s->count ? s->index[i] : -1; }

static void close_some(void *impl) {
    some *s = impl;
    s->vtable->close(s->impl);
    free(s->index);
    free(s);
}

static int64_t count_some(const void *impl) { return ((const some *)impl)->count; }

static const ar_weight *at_some(const void *impl, int64_t i) {
    const some *s = impl;
    return s->vtable->at(s->impl, index_of(s, i));
}

static ar_status read_some(const void *impl, float *dst, int64_t i, int64_t row, int64_t rows) {
    const some *s = impl;
    return s->vtable->read(s->impl, dst, index_of(s, i), row, rows);
}

static ar_status read_some_codes(const void *impl, ar_qlinear *q, int64_t i) {
    const some *s = impl;
    return s->vtable->read_codes(s->impl, q, index_of(s, i));
}

static ar_status raw_some(const void *impl, ar_qtype *type, const uint8_t **blocks, uint64_t *row_stride,
                          int64_t i) {
    const some *s = impl;
    return s->vtable->raw(s->impl, type, blocks, row_stride, index_of(s, i));
}

static int64_t raw_some_row(const void *impl, int64_t i, int64_t row) {
    const some *s = impl;
    return s->vtable->raw_row(s->impl, index_of(s, i), row);
}

ar_status ar__weights_drop(ar_weights *w, const bool *drop) {
    int64_t count = w->vtable->count(w->impl);
    some *s = ar__alloc(1, sizeof *s);
    if (s) s->index = ar__alloc((size_t)count, sizeof *s->index);
    if (!s || !s->index) {
        free(s);
        return AR_ERR_MEMORY;
    }
    for (int64_t i = 0; i < count; i++)
        if (!drop[i]) s->index[s->count++] = i;
    s->vtable = w->vtable;
    s->impl = w->impl;
    s->own = (ar_weights_vtable){.close = close_some,
                                 .count = count_some,
                                 .at = at_some,
                                 .read = read_some,
                                 .read_codes = w->vtable->read_codes ? read_some_codes : NULL,
                                 .raw = w->vtable->raw ? raw_some : NULL,
                                 .raw_row = w->vtable->raw_row ? raw_some_row : NULL};
    w->vtable = &s->own;
    w->impl = s;
    return AR_OK;
}
