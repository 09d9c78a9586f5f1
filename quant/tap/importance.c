/* How much each input of a linear counts: the mean square it has on the calibration data, taken by a hook
 * while the float chain passes a block. llama.cpp calls the same numbers an importance matrix. */
#include "importance.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const float least = 0x1p-20f; /* an input that never fires still keeps its group's fit determined */

static ar_status tap_linear(void *ctx, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x) {
    const ar__importance *m = ctx;
    if (m->list[i]) AR_TRY(ar_op_square_sums(g, m->list[i], x));
    return m->weights->hook.linear(m->weights->hook.ctx, g, y, i, x);
}

static ar_status tap_norm(void *ctx, ar_graph *g, ar_tensor **y, int32_t j, ar_tensor *x) {
    const ar_hook *hook = &((const ar__importance *)ctx)->weights->hook;
    return hook->norm(hook->ctx, g, y, j, x);
}

ar_status ar__importance_init(ar__importance *m, ar_device *device, const ar_block_weights *weights,
                              const bool *wanted) {
    *m = (ar__importance){.weights = weights, .hook = {.linear = tap_linear, .norm = tap_norm, .ctx = m}};
    for (int32_t i = 0; i < weights->block->linear_count; i++) {
        int64_t I = weights->block->linears[i].I;
        if (!wanted[i]) continue;
        AR_TRY(ar_tensor_create(&m->list[i], device, AR_F32, 1, &I));
        float *zeros = ar__alloc((size_t)I, sizeof *zeros);
        if (!zeros) return AR_ERR_MEMORY;
        ar_status status = ar_tensor_write(m->list[i], zeros, 0, I);
        free(zeros);
        AR_TRY(status);
    }
    return AR_OK;
}

static void normalize(float *sums, int64_t I) {
    double mean = 0.0;
    for (int64_t i = 0; i < I; i++) mean += (double)sums[i] / (double)I;
    for (int64_t i = 0; i < I; i++) {
        float x = mean > 0.0 && isfinite(mean) ? (float)((double)sums[i] / mean) : 1.0f;
        sums[i] = x > least ? x : least;
    }
}

ar_status ar__importance_finish(ar__importance *m) {
    for (int32_t i = 0; i < m->weights->block->linear_count; i++) {
        if (!m->list[i]) continue;
        int64_t I = ar_tensor_count(m->list[i]);
        float *sums = ar__alloc((size_t)I, sizeof *sums);
        if (!sums) return AR_ERR_MEMORY;
        ar_status status = ar_tensor_read(m->list[i], sums, 0, I);
        if (status == AR_OK) {
            normalize(sums, I);
            status = ar_tensor_write(m->list[i], sums, 0, I);
        }
        free(sums);
        AR_TRY(status);
    }
    return AR_OK;
}

void ar__importance_deinit(ar__importance *m) {
    for (int32_t i = 0; i < AR_MAX_LINEARS; i++) ar_tensor_destroy(m->list[i]);
    memset(m, 0, sizeof *m);
}
