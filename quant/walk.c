/* The walk over a model's blocks that every block-by-block method shares: float chain, quantized chain, the
 * method's work on each block, delivery to the sink, resuming. One block is on the device at a time. */
#include "methods.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct walk {
    const ar_model *model;
    ar_device *device;
    const ar_samples *samples;     /* NULL: no activations are needed */
    const ar_quant_desc *desc;
    const ar_sink *sink;
    const ar_observer *observer;
    ar__block_method method;
    ar_chain x_float, x_quant, target; /* inputs of the current block; its float output */
    float *history;
    int32_t batch;
} walk;

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool cancelled(const ar_observer *o) { return o && o->cancelled && o->cancelled(o->ctx); }

/* W' of every finished linear replaces the float weight on the device. */
static ar_status replace_weights(ar_block_weights *w, ar_qlinear *const *q) {
    for (int32_t i = 0; i < w->block->linear_count; i++) {
        if (!q[i]) continue;
        float *dense = ar__alloc((size_t)q[i]->O, (size_t)q[i]->I * sizeof *dense);
        if (!dense) return AR_ERR_MEMORY;
        ar_qlinear_dequant(dense, q[i]);
        ar_status status = ar_tensor_write(w->linears[i], dense, 0, q[i]->O * q[i]->I);
        free(dense);
        AR_TRY(status);
    }
    return AR_OK;
}

/* The codes of one block: from an earlier run, by the method, or round to nearest past block_limit. */
static ar_status quantize_block(walk *w, const ar_block *block, ar_block_weights *weights, ar_qlinear *q, ar_qlinear **list,
                                ar_block_report *report) {
    const ar_quant_desc *d = w->desc;
    bool skip[AR_MAX_LINEARS] = {0};
    ar_scheme schemes[AR_MAX_LINEARS];
    for (int32_t i = 0; i < block->linear_count; i++) {
        schemes[i] = d->scheme;
        skip[i] = d->choose && !d->choose(d->choose_ctx, block, i, &schemes[i]);
        if (skip[i]) continue;
        AR_TRY(ar_qlinear_init(&q[i], &schemes[i], block->linears[i].O, block->linears[i].I));
        list[i] = &q[i];
    }
    bool tuned = w->method && (d->block_limit <= 0 || block->index < d->block_limit);
    if (!tuned) return ar__rtn_block(q, weights, skip, w->device);
    ar__tune_unit unit = {block, weights, d->no_quantized_input ? &w->x_float : &w->x_quant, &w->target, w->samples, skip, schemes};
    return w->method(q, report, w->history, &unit, w->device, d, w->observer);
}

/* Moves both chains past the block. */
static ar_status advance_chains(walk *w, const ar_block *block, ar_block_weights *weights, ar_qlinear *const *list) {
    if (!w->desc->no_quantized_input) {
        AR_TRY(replace_weights(weights, list));
        AR_TRY(ar_chain_forward(&w->x_quant, &w->x_quant, w->device, block, &weights->hook, w->samples->T, w->batch));
    }
    ar_chain swap = w->x_float;
    w->x_float = w->target;
    w->target = swap;
    return AR_OK;
}

static ar_status walk_block(walk *w, int32_t b) {
    ar_status status = AR_OK;
    const ar_block *block = &w->model->blocks[b];
    ar_block_weights weights = {0};
    ar_qlinear q[AR_MAX_LINEARS], *list[AR_MAX_LINEARS] = {0};
    ar_block_report report = {.block = b};
    double start = now_s();
    memset(q, 0, sizeof q);
    bool done_before = w->sink->finished && w->sink->finished(w->sink->ctx, b);
    if (done_before && !w->samples) return AR_OK;
    AR_GO(ar_block_weights_init(&weights, block, w->device));
    if (w->samples) AR_GO(ar_chain_forward(&w->target, &w->x_float, w->device, block, &weights.hook, w->samples->T, w->batch));
    if (done_before)
        AR_GO(w->sink->load(w->sink->ctx, block, list));
    else
        AR_GO(quantize_block(w, block, &weights, q, list, &report));
    if (w->samples && b + 1 < w->model->block_count) AR_GO(advance_chains(w, block, &weights, list));
    if (!done_before) {
        ar_memory_stats memory;
        ar_device_memory(w->device, &memory);
        report.device_bytes = memory.high_water;
        report.seconds = now_s() - start;
        AR_GO(w->sink->block(w->sink->ctx, block, list, &report));
    }
done:
    ar_block_weights_deinit(&weights);
    for (int32_t i = 0; i < AR_MAX_LINEARS; i++) {
        if (done_before && list[i]) {
            ar_qlinear_deinit(list[i]);
            free(list[i]);
        }
        ar_qlinear_deinit(&q[i]);
    }
    return status;
}

static ar_status init_chains(walk *w) {
    const ar_quant_desc *d = w->desc;
    int64_t rows = (int64_t)w->samples->count * w->samples->T;
    AR_TRY(ar_chain_init(&w->x_float, rows, w->model->hidden, d->spill_dir, d->spill_above_bytes));
    AR_TRY(ar_chain_init(&w->target, rows, w->model->hidden, d->spill_dir, d->spill_above_bytes));
    AR_TRY(ar_chain_embed(&w->x_float, w->model, w->samples));
    if (d->no_quantized_input) return AR_OK;
    AR_TRY(ar_chain_init(&w->x_quant, rows, w->model->hidden, d->spill_dir, d->spill_above_bytes));
    memcpy(w->x_quant.data, w->x_float.data, (size_t)rows * (size_t)w->model->hidden * sizeof(float));
    return AR_OK;
}

ar_status ar__walk_blocks(const ar_model *model, ar_device *device, const ar_samples *samples, const ar_quant_desc *desc,
                          const ar_sink *sink, const ar_observer *observer, ar__block_method method) {
    ar_status status = AR_OK;
    walk w = {.model = model, .device = device, .samples = samples, .desc = desc, .sink = sink, .observer = observer,
              .method = method, .batch = desc->batch > 0 ? desc->batch : 8};
    w.x_float.fd = w.x_quant.fd = w.target.fd = -1;
    if (desc->iters > 0 && !(w.history = ar__alloc((size_t)desc->iters, sizeof *w.history))) return AR_ERR_MEMORY;
    if (samples) AR_GO(init_chains(&w));
    for (int32_t b = 0; b < model->block_count; b++) {
        if (cancelled(observer)) AR_GO(ar__fail(AR_ERR_INTERRUPTED, "interrupted before block %d", (int)b));
        AR_GO(walk_block(&w, b));
        if (observer && observer->progress)
            observer->progress(observer->ctx, &(ar_progress_event){.stage = "block", .block = b + 1, .block_count = model->block_count});
    }
done:
    ar_chain_deinit(&w.x_float);
    ar_chain_deinit(&w.x_quant);
    ar_chain_deinit(&w.target);
    free(w.history);
    return status;
}
