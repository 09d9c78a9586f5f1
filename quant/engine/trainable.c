/* The table of what can be tuned, and states on their way from one unit to another. */
#include "trainable.h"

static const ar__trainable *const trainables[] = {
#define AR_TRAINABLE(name) &ar__trainable_##name,
#include "trainables.def"
#undef AR_TRAINABLE
};

const ar__trainable *ar__trainable_at(int32_t index) {
    return index >= 0 && index < (int32_t)(sizeof trainables / sizeof *trainables) ? trainables[index] : NULL;
}

ar_status ar__leave_tensor(ar_qlinear *q, const char *name, const ar_tensor *t) {
    int64_t dims[AR_EXTRA_DIMS];
    int32_t count = ar_tensor_dim_count(t);
    for (int32_t i = 0; i < count; i++) dims[i] = ar_tensor_dim(t, i);
    AR_TRY(ar_qlinear_add_extra(q, name, ar_tensor_dtype(t), count, dims, NULL));
    return ar_tensor_read(t, ar_qlinear_extra(q, name)->data, 0, ar_tensor_count(t));
}

ar_status ar__resume_tensor(ar_tensor *t, const ar_qlinear *q, const char *name) {
    const ar_extra *e = ar_qlinear_extra(q, name);
    size_t bytes = (size_t)ar_tensor_count(t) * ar_dtype_bytes(ar_tensor_dtype(t));
    if (!e || e->dtype != ar_tensor_dtype(t) || ar_extra_bytes(e) != bytes)
        return ar__fail(AR_ERR_FORMAT, "what a window left: %s has %zu bytes, expected %zu", name,
                        e ? ar_extra_bytes(e) : (size_t)0, bytes);
    return ar_tensor_write(t, e->data, 0, ar_tensor_count(t));
}
