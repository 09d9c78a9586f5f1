/* Scales that a method delivered, put into the model that is written. */
#include "family.h"
#include "quantize_job.h"
#include <stdlib.h>
#include <string.h>

typedef struct folding {
    int64_t count; /* of scales */
    int32_t (*of)[AR_MAX_LINEARS];
    float **alpha; /* (block_count, AR_MAX_NORMS) */
} folding;

static ar_status take_scale(folding *f, const ar_extra *e, int32_t b, int32_t i) {
    int32_t j = f->of[b][i];
    float **alpha = &f->alpha[b * AR_MAX_NORMS + j];
    if (j < 0)
        return ar__fail(AR_ERR_CHECK, "block %d: linear %d: found scales, but no norm in front of it", (int)b,
                        (int)i);
    if (*alpha) return AR_OK;
    *alpha = ar__alloc(1, ar_extra_bytes(e));
    if (!*alpha) return AR_ERR_MEMORY;
    memcpy(*alpha, e->data, ar_extra_bytes(e));
    f->count += e->dims[0];
    return AR_OK;
}

static ar_status take_scales(folding *f, const ar_write_source *src, ar_device *device) {
    const ar_model *m = &src->model->model;
    for (int32_t b = 0; b < m->block_count; b++) {
        AR_TRY(ar_block_feeds(f->of[b], &m->blocks[b], device));
        for (int32_t i = 0; i < m->blocks[b].linear_count; i++) {
            ar_qlinear *q = NULL;
            AR_TRY(src->linear(src->ctx, &q, b, i));
            const ar_extra *e = q ? ar_qlinear_extra(q, AR_SCALE_EXTRA) : NULL;
            ar_status status = e ? take_scale(f, e, b, i) : AR_OK;
            ar_qlinear_free(q);
            AR_TRY(status);
        }
    }
    return AR_OK;
}

ar_status ar__quantize_fold(int64_t *count, ar_open_model *m, const ar_write_source *src, ar_device *device) {
    int32_t blocks = m->model.block_count;
    folding f = {.of = ar__alloc((size_t)blocks + 1, sizeof *f.of),
                 .alpha = ar__alloc(((size_t)blocks + 1) * AR_MAX_NORMS, sizeof *f.alpha)};
    ar_status status = f.of && f.alpha ? AR_OK : AR_ERR_MEMORY;
    if (status == AR_OK) status = take_scales(&f, src, device);
    if (status == AR_OK && f.count > 0) status = ar__family_fold(m, f.of, f.alpha);
    for (int32_t k = 0; f.alpha && k < blocks * AR_MAX_NORMS; k++) free(f.alpha[k]);
    *count = f.count;
    free(f.alpha);
    free(f.of);
    return status;
}
