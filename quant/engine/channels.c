/* Scales between norms and linears: where they start, and what becomes of them. channels_learn.c moves them.
 * See channels.h. */
#include "channels.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_CHANGE 1e-3 /* of what a block gives, root mean square against root mean square */

void ar__channels_deinit(ar__channels *c) {
    for (int32_t j = 0; j < AR_MAX_NORMS; j++) free(c->alpha[j]);
    *c = (ar__channels){0};
}

/* What divides linear i; NULL = nothing: blocks that are not tuned have no scales. */
static const float *alpha_of(const ar__channels *c, int32_t i) {
    return c->of[i] >= 0 ? c->alpha[c->of[i]] : NULL;
}

/* ---- into the weights ---- */

static ar_status fold_vector(ar_tensor *t, const float *alpha) {
    int64_t I = ar_tensor_count(t);
    float *values = ar__alloc((size_t)I, sizeof *values);
    if (!values) return AR_ERR_MEMORY;
    ar_status status = ar_tensor_read(t, values, 0, I);
    for (int64_t i = 0; i < I; i++) values[i] *= alpha[i];
    if (status == AR_OK) status = ar_tensor_write(t, values, 0, I);
    free(values);
    return status;
}

static ar_status fold_matrix(ar_tensor *t, const float *alpha) {
    int64_t O = ar_tensor_dim(t, 0), I = ar_tensor_dim(t, 1), step = ((int64_t)16 << 20) / (4 * I) + 1;
    if (step > O) step = O;
    float *values = ar__alloc((size_t)step, (size_t)I * sizeof *values);
    ar_status status = values ? AR_OK : AR_ERR_MEMORY;
    for (int64_t o = 0; status == AR_OK && o < O; o += step) {
        int64_t n = O - o < step ? O - o : step;
        status = ar_tensor_read(t, values, o * I, n * I);
        for (int64_t k = 0; k < n * I; k++) values[k] /= alpha[k % I];
        if (status == AR_OK) status = ar_tensor_write(t, values, o * I, n * I);
    }
    free(values);
    return status;
}

ar_status ar__channels_fold(const ar__channels *c, const ar_block_weights *w) {
    for (int32_t j = 0; j < w->block->norm_count; j++) {
        if (!c->alpha[j]) continue;
        AR_TRY(fold_vector(w->norms[j], c->alpha[j]));
        if (w->norm_biases[j]) AR_TRY(fold_vector(w->norm_biases[j], c->alpha[j]));
    }
    for (int32_t i = 0; i < w->block->linear_count; i++)
        if (alpha_of(c, i)) AR_TRY(fold_matrix(w->linears[i], alpha_of(c, i)));
    return AR_OK;
}

ar_status ar__channels_check(const ar_chain *target, const ar_chain *found, const ar_block *block) {
    double error = 0.0, power = 0.0;
    for (int64_t k = 0; k < target->rows * target->width; k++) {
        double d = (double)found->data[k] - (double)target->data[k];
        error += d * d;
        power += (double)target->data[k] * (double)target->data[k];
    }
    if (error <= MOST_CHANGE * MOST_CHANGE * power) return AR_OK;
    return ar__fail(AR_ERR_CHECK,
                    "%s: scales between norms and linears changed what it gives by %.3g of it, expected at "
                    "most %.3g",
                    block->name, sqrt(error / power), MOST_CHANGE);
}

ar_status ar__channels_deliver(const ar__channels *c, ar_qlinear *const *list, const ar_block *block) {
    for (int32_t i = 0; i < block->linear_count; i++)
        if (list[i] && alpha_of(c, i))
            AR_TRY(ar_qlinear_add_extra(list[i], AR_SCALE_EXTRA, AR_F32, 1, &block->linears[i].I,
                                        alpha_of(c, i)));
    return AR_OK;
}
