/* Tensors: shape, device memory, host access. Graph tensors get their memory from ar_graph_build. */
#include "graph.h"
#include <assert.h>
#include <stdlib.h>

uint64_t ar__tensor_bytes(const ar_tensor *t) {
    return ((uint64_t)ar_tensor_count(t) * ar_dtype_bytes(t->dtype) + 63) / 64 * 64;
}

ar_status ar__clear_padding(const ar_tensor *t) {
    static const char zeros[64];
    if (!t->device->plan.clear_padding) return AR_OK;
    uint64_t used = (uint64_t)ar_tensor_count(t) * ar_dtype_bytes(t->dtype);
    return t->device->driver->write(t->device->drv, t->slice.buffer, t->slice.offset + used, zeros,
                                    ar__tensor_bytes(t) - used);
}

static ar_status check_shape(ar_dtype dtype, int32_t dim_count, const int64_t *dims) {
    if (dtype < 0 || dtype >= AR_DTYPE_COUNT)
        return ar__fail(AR_ERR_ARG, "tensor: unknown dtype %d", (int)dtype);
    if (dim_count < 1 || dim_count > AR_MAX_DIMS)
        return ar__fail(AR_ERR_ARG, "tensor: %d dimensions, expected 1 to %d", dim_count, AR_MAX_DIMS);
    int64_t count = 1;
    for (int32_t i = 0; i < dim_count; i++) {
        if (dims[i] < 0 || dims[i] > INT32_MAX)
            return ar__fail(AR_ERR_ARG, "tensor: dimension %d is %lld", i, (long long)dims[i]);
        if (dims[i] > 0 && count > INT64_MAX / 16 / dims[i])
            return ar__fail(AR_ERR_ARG, "tensor: too many elements");
        count *= dims[i];
    }
    return AR_OK;
}

ar_status ar__tensor_make(ar_tensor **out, ar_device *device, ar_graph *graph, ar_dtype dtype,
                          int32_t dim_count, const int64_t *dims) {
    *out = NULL;
    AR_TRY(check_shape(dtype, dim_count, dims));
    ar_tensor *t = ar__alloc(1, sizeof *t);
    if (!t) return AR_ERR_MEMORY;
    t->device = device;
    t->graph = graph;
    t->dtype = dtype;
    t->dim_count = dim_count;
    for (int32_t i = 0; i < dim_count; i++) t->dims[i] = dims[i];
    t->id = t->first = t->last = -1;
    *out = t;
    return AR_OK;
}

ar_status ar_tensor_create(ar_tensor **t, ar_device *device, ar_dtype dtype, int32_t dim_count,
                           const int64_t *dims) {
    ar_tensor *made = NULL;
    *t = NULL;
    AR_TRY(ar__tensor_make(&made, device, NULL, dtype, dim_count, dims));
    uint64_t bytes = ar__tensor_bytes(made);
    ar_status status = bytes ? ar__memory_alloc(device, &made->slice, bytes) : AR_OK;
    if (status == AR_OK && bytes) status = ar__clear_padding(made);
    if (status != AR_OK) {
        ar_tensor_destroy(made);
        return status;
    }
    *t = made;
    return AR_OK;
}

void ar__leaf_forget(ar_tensor *t) {
    ar_graph *g = t->grad->graph;
    for (int32_t i = 0; i < g->leaf_count; i++)
        if (g->leaves[i] == t) g->leaves[i--] = g->leaves[--g->leaf_count];
    t->grad = NULL;
    t->grad_written = false;
}

void ar_tensor_destroy(ar_tensor *t) {
    if (!t) return;
    assert(!t->graph && "graph tensors die with their graph");
    if (t->grad) ar__leaf_forget(t);
    if (t->slice.buffer) ar__memory_free(t->device, &t->slice);
    free(t);
}

ar_status ar__expect(const char *name, const ar_tensor *t, ar_dtype dtype, int32_t dim_count,
                     const int64_t *dims) {
    if (!t) return ar__fail(AR_ERR_ARG, "%s: missing", name);
    if (t->dtype != dtype)
        return ar__fail(AR_ERR_DTYPE, "%s: %s, expected %s", name, ar_dtype_name(t->dtype),
                        ar_dtype_name(dtype));
    if (t->dim_count != dim_count)
        return ar__fail(AR_ERR_SHAPE, "%s: %d dimensions, expected %d", name, t->dim_count, dim_count);
    for (int32_t i = 0; i < dim_count; i++)
        if (dims[i] >= 0 && t->dims[i] != dims[i])
            return ar__fail(AR_ERR_SHAPE, "%s: dimension %d is %lld, expected %lld", name, i,
                            (long long)t->dims[i], (long long)dims[i]);
    return AR_OK;
}

static ar_status check_access(const ar_tensor *t, int64_t offset, int64_t count, const char *what) {
    int64_t total = ar_tensor_count(t);
    if (offset < 0 || count < 0 || offset > total || count > total - offset)
        return ar__fail(AR_ERR_ARG, "%s: elements %lld + %lld of a tensor of %lld", what, (long long)offset,
                        (long long)count, (long long)total);
    if (t->graph && !t->keep) return ar__fail(AR_ERR_ARG, "%s: a graph tensor that is not kept", what);
    if (count > 0 && !t->slice.buffer) return ar__fail(AR_ERR_ARG, "%s: the graph is not built", what);
    return AR_OK;
}

ar_status ar_tensor_write(ar_tensor *t, const void *src, int64_t offset, int64_t count) {
    AR_TRY(check_access(t, offset, count, "tensor write"));
    uint64_t each = ar_dtype_bytes(t->dtype);
    if (count == 0) return AR_OK;
    return t->device->driver->write(t->device->drv, t->slice.buffer,
                                    t->slice.offset + (uint64_t)offset * each, src, (uint64_t)count * each);
}

ar_status ar_tensor_read(const ar_tensor *t, void *dst, int64_t offset, int64_t count) {
    AR_TRY(check_access(t, offset, count, "tensor read"));
    uint64_t each = ar_dtype_bytes(t->dtype);
    if (count == 0) return AR_OK;
    return t->device->driver->read(t->device->drv, t->slice.buffer, t->slice.offset + (uint64_t)offset * each,
                                   dst, (uint64_t)count * each);
}

ar_dtype ar_tensor_dtype(const ar_tensor *t) { return t->dtype; }
int32_t ar_tensor_dim_count(const ar_tensor *t) { return t->dim_count; }
int64_t ar_tensor_dim(const ar_tensor *t, int32_t i) { return i >= 0 && i < t->dim_count ? t->dims[i] : 1; }

int64_t ar_tensor_count(const ar_tensor *t) {
    int64_t count = 1;
    for (int32_t i = 0; i < t->dim_count; i++) count *= t->dims[i];
    return count;
}

void ar_tensor_set_needs_grad(ar_tensor *t, bool needs) {
    assert(t->dtype == AR_F32);
    t->needs_grad = needs;
}

ar_tensor *ar_tensor_grad(const ar_tensor *t) { return t->grad; }
