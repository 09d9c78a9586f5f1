/* Argument checks and group sizes shared by the op files. */
#include "op.h"

ar_status ar__op_check(const char *op, const char *name, const ar_tensor *t, ar_dtype dtype, int64_t rows,
                       int64_t cols) {
    if (!t) return ar__fail(AR_ERR_ARG, "%s: %s is missing", op, name);
    if (t->dtype != dtype)
        return ar__fail(AR_ERR_DTYPE, "%s: %s is %s, expected %s", op, name, ar_dtype_name(t->dtype),
                        ar_dtype_name(dtype));
    int32_t dims = cols == 0 ? 1 : 2;
    if (t->dim_count != dims)
        return ar__fail(AR_ERR_SHAPE, "%s: %s has %d dimensions, expected %d", op, name, t->dim_count, dims);
    if (rows >= 0 && t->dims[0] != rows)
        return ar__fail(AR_ERR_SHAPE, "%s: %s has %lld rows, expected %lld", op, name, (long long)t->dims[0],
                        (long long)rows);
    if (dims == 2 && cols >= 0 && t->dims[1] != cols)
        return ar__fail(AR_ERR_SHAPE, "%s: %s has %lld columns, expected %lld", op, name,
                        (long long)t->dims[1], (long long)cols);
    if (dims == 2 && t->dims[1] == 0) return ar__fail(AR_ERR_SHAPE, "%s: %s has no columns", op, name);
    return AR_OK;
}

uint32_t ar__row_group(const ar_device *device) {
    uint32_t wanted = device->facts.kind == AR_DEVICE_CPU ? 8 : device->plan.wg, group = 1;
    while (group * 2 <= wanted && group < 128) group *= 2;
    return group;
}
