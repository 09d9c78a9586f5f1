/* The table of what can be tuned, round to nearest beside it, and states on their way from one unit to
 * another. */
#include "trainable.h"

static const ar__trainable *const trainables[] = {
#define AR_TRAINABLE(name) &ar__trainable_##name,
#include "trainables.def"
#undef AR_TRAINABLE
};

const ar__trainable *ar__trainable_at(int32_t index) {
    return index >= 0 && index < (int32_t)(sizeof trainables / sizeof *trainables) ? trainables[index] : NULL;
}

bool ar__starts_nearest(const ar__trainable *trainable, const ar__site *site) {
    return trainable->from_nearest && (site->scheme.super == AR_SUPER_NONE || !site->importance);
}

ar_status ar__record_nearest(ar_graph *g, ar_tensor **W, const ar__site *site) {
    const ar_fq_desc fq = {.scheme = site->scheme};
    int64_t O = ar_tensor_dim(site->weight, 0),
            groups = ar_scheme_groups(&site->scheme, ar_tensor_dim(site->weight, 1)),
            each = site->scheme.super != AR_SUPER_NONE ? 4 : 2;
    ar_tensor *range = NULL, *sz = NULL;
    AR_TRY(ar_graph_temp(g, &range, AR_F32, 3, (const int64_t[]){O, groups, each}));
    AR_TRY(ar_op_group_range(g, range, site->weight, &site->scheme));
    return ar_op_fake_quant(g, W, &sz, site->weight, range, &(ar_fq_state){0}, &fq);
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
