/* Named tensors that a method delivers beside a linear's codes. */
#include "ar_error.h"
#include "ar_quant.h"
#include <stdlib.h>
#include <string.h>

size_t ar_extra_bytes(const ar_extra *e) {
    size_t bytes = ar_dtype_bytes(e->dtype);
    for (int32_t d = 0; d < e->dim_count; d++) bytes *= (size_t)e->dims[d];
    return bytes;
}

ar_status ar_qlinear_add_extra(ar_qlinear *q, const char *name, ar_dtype dtype, int32_t dim_count,
                               const int64_t *dims, const void *data) {
    ar_extra e = {.dtype = dtype, .dim_count = dim_count};
    int64_t elements = 1;
    if (!name[0] || strlen(name) >= sizeof e.name || strchr(name, '.') || ar_qlinear_extra(q, name))
        return ar__fail(AR_ERR_ARG,
                        "extra tensor: found the name '%s', expected a new one of at most %d bytes, no dots",
                        name, AR_EXTRA_NAME - 1);
    if (dim_count < 1 || dim_count > AR_EXTRA_DIMS || (int)dtype < 0 || dtype >= AR_DTYPE_COUNT)
        return ar__fail(AR_ERR_ARG, "extra tensor %s: found %d dimensions, expected 1 to %d of a known type",
                        name, (int)dim_count, AR_EXTRA_DIMS);
    for (int32_t d = 0; d < dim_count; d++) {
        if (dims[d] < 1 || dims[d] > INT32_MAX / elements)
            return ar__fail(AR_ERR_SHAPE, "extra tensor %s: dimension %d is %lld", name, (int)d,
                            (long long)dims[d]);
        elements *= e.dims[d] = dims[d];
    }
    memcpy(e.name, name, strlen(name) + 1);
    ar_extra *list = ar__alloc((size_t)q->extra_count + 1, sizeof *list);
    e.data = ar__alloc((size_t)elements, ar_dtype_bytes(dtype));
    if (!list || !e.data) {
        free(list);
        free(e.data);
        return AR_ERR_MEMORY;
    }
    if (data) memcpy(e.data, data, ar_extra_bytes(&e));
    if (q->extras) memcpy(list, q->extras, (size_t)q->extra_count * sizeof *list);
    free(q->extras);
    list[q->extra_count++] = e;
    q->extras = list;
    return AR_OK;
}

const ar_extra *ar_qlinear_extra(const ar_qlinear *q, const char *name) {
    for (int32_t i = 0; i < q->extra_count; i++)
        if (strcmp(q->extras[i].name, name) == 0) return &q->extras[i];
    return NULL;
}

void ar_qlinear_drop_extras(ar_qlinear *q) {
    for (int32_t i = 0; i < q->extra_count; i++) free(q->extras[i].data);
    free(q->extras);
    q->extras = NULL;
    q->extra_count = 0;
}
