/* Weights as if some tensors had other scales; see weights.h. */
#include "weights.h"
#include "ar_error.h"
#include <stdlib.h>

typedef struct scaled {
    const ar_weights_vtable *vtable;
    void *impl;
    ar_weights_vtable own;
    ar__weight_scale *list; /* (count) */
    ar_weight *seen;        /* (count) */
    int64_t count;
} scaled;

static void drop_list(ar__weight_scale *list, int64_t count) {
    for (int64_t i = 0; list && i < count; i++) free(list[i].by);
    free(list);
}

static void close_scaled(void *impl) {
    scaled *s = impl;
    s->vtable->close(s->impl);
    drop_list(s->list, s->count);
    free(s->seen);
    free(s);
}

static int64_t count_scaled(const void *impl) { return ((const scaled *)impl)->count; }

static const ar_weight *at_scaled(const void *impl, int64_t i) {
    const scaled *s = impl;
    return i >= 0 && i < s->count ? &s->seen[i] : s->vtable->at(s->impl, i);
}

static ar_status read_scaled(const void *impl, float *dst, int64_t i, int64_t row, int64_t rows) {
    const scaled *s = impl;
    AR_TRY(s->vtable->read(s->impl, dst, i, row, rows));
    const ar__weight_scale *scale = &s->list[i];
    if (!scale->by) return AR_OK;
    int64_t width = s->seen[i].dims[s->seen[i].dim_count - 1];
    for (int64_t k = 0; k < rows * width; k++) {
        float by = scale->by[scale->along_rows ? row + k / width : k % width];
        dst[k] = scale->divides ? dst[k] / by : dst[k] * by;
    }
    return AR_OK;
}

ar_status ar__weights_scale(ar_weights *w, ar__weight_scale *list) {
    int64_t count = w->vtable->count(w->impl);
    scaled *s = ar__alloc(1, sizeof *s);
    if (s) s->seen = ar__alloc((size_t)count, sizeof *s->seen);
    if (!s || !s->seen) {
        free(s);
        return AR_ERR_MEMORY;
    }
    for (int64_t i = 0; i < count; i++) {
        s->seen[i] = *w->vtable->at(w->impl, i);
        if (list[i].by && s->seen[i].dim_count == 1) s->seen[i].type = "F32";
    }
    s->list = list;
    s->count = count;
    s->vtable = w->vtable;
    s->impl = w->impl;
    s->own = (ar_weights_vtable){
        .close = close_scaled, .count = count_scaled, .at = at_scaled, .read = read_scaled};
    w->vtable = &s->own;
    w->impl = s;
    return AR_OK;
}
