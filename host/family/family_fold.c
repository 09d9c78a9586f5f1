/* Scales between norms and linears, in a model's weights; see family.h. */
#include "ar_error.h"
#include "family.h"
#include "weights.h"
#include <stdlib.h>
#include <string.h>

static ar_status take(ar__weight_scale *to, const float *alpha, int64_t I, bool divides, bool along_rows) {
    float *by = ar__alloc((size_t)I, sizeof *by);
    if (!by) return AR_ERR_MEMORY;
    memcpy(by, alpha, (size_t)I * sizeof *by);
    *to = (ar__weight_scale){by, divides, along_rows};
    return AR_OK;
}

static ar_status fold_block(ar__weight_scale *list, const ar_block *b, const int32_t *of,
                            float *const *alpha) {
    ar__places at = ar__family_places(b);
    for (int32_t j = 0; j < b->norm_count; j++) {
        if (!alpha[j]) continue;
        AR_TRY(take(&list[at.norms[j]], alpha[j], b->norms[j].I, false, false));
        if (b->norms[j].has_bias)
            AR_TRY(take(&list[at.norm_biases[j]], alpha[j], b->norms[j].I, false, false));
    }
    for (int32_t i = 0; i < b->linear_count; i++)
        if (of[i] >= 0 && alpha[of[i]])
            AR_TRY(take(&list[at.linears[i]], alpha[of[i]], b->linears[i].I, true,
                        ar__family_is_transposed(b, i)));
    return AR_OK;
}

ar_status ar__family_fold(ar_open_model *m, const int32_t (*of)[AR_MAX_LINEARS], float *const *alpha) {
    int64_t count = m->weights.vtable->count(m->weights.impl);
    ar__weight_scale *list = ar__alloc((size_t)count, sizeof *list);
    ar_status status = list ? AR_OK : AR_ERR_MEMORY;
    for (int32_t b = 0; status == AR_OK && b < m->model.block_count; b++)
        status = fold_block(list, &m->model.blocks[b], of[b], alpha + (int64_t)b * AR_MAX_NORMS);
    if (status == AR_OK) status = ar__weights_scale(&m->weights, list);
    if (status == AR_OK) return AR_OK;
    for (int64_t i = 0; list && i < count; i++) free(list[i].by);
    free(list);
    return status;
}
