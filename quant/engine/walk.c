/* The walk over a model's blocks that every block-by-block method shares: float chain, quantized chain, the
 * method's work on each block, delivery to the sink, resuming. One block is on the device at a time. */
#include "engine.h"
#include "importance.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct walk {
    const ar_model *model;
    ar_device *device;
    const ar_samples *samples; /* NULL: no activations are needed */
    const ar__tune_desc *desc;
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

/* What is done with every linear of one block. */
typedef struct block_plan {
    bool skip[AR_MAX_LINEARS], counts[AR_MAX_LINEARS]; /* stays float; its inputs' importance is wanted */
    bool tuned, any_counts;
    ar_scheme schemes[AR_MAX_LINEARS];
} block_plan;

static void plan_block(block_plan *p, const walk *w, const ar_block *block) {
    const ar__tune_desc *d = w->desc;
    *p = (block_plan){.tuned = w->method && (d->block_limit <= 0 || block->index < d->block_limit)};
    for (int32_t i = 0; i < block->linear_count; i++) {
        p->schemes[i] = d->scheme;
        p->skip[i] = d->choose && !d->choose(d->choose_ctx, block, i, &p->schemes[i]);
        p->counts[i] = p->tuned && !p->skip[i] && p->schemes[i].super != AR_SUPER_NONE;
        p->any_counts = p->any_counts || p->counts[i];
    }
}

static ar_status check_scales(ar_qlinear *const *list, const ar_block *block) {
    char name[AR__WEIGHT_NAME];
    for (int32_t i = 0; i < block->linear_count; i++) {
        ar__weight_name(name, block, i);
        if (list[i]) AR_TRY(ar_qlinear_check_scales(list[i], name, 0));
    }
    return AR_OK;
}

/* The codes of one block: by the method, or round to nearest past block_limit. Whose scales
 * fp16 does not hold when rounded to nearest is refused before the tuning, whose ranges are never wider: it
 * would only meet losses that are not finite. */
static ar_status quantize_block(walk *w, const ar_block *block, const block_plan *p,
                                ar_block_weights *weights, const ar__importance *importance, ar_qlinear *q,
                                ar_qlinear **list, ar_block_report *report) {
    const ar__tune_desc *d = w->desc;
    for (int32_t i = 0; i < block->linear_count; i++) {
        if (p->skip[i]) continue;
        AR_TRY(ar_qlinear_init(&q[i], &p->schemes[i], block->linears[i].O, block->linears[i].I));
        list[i] = &q[i];
    }
    if (!p->tuned) {
        AR_TRY(ar__rtn_block(q, weights, p->skip, w->device));
        return check_scales(list, block);
    }
    AR_TRY(ar__check_scales(weights, p->skip, p->schemes, w->device));
    const ar_chain *input = d->no_quantized_input ? &w->x_float : &w->x_quant;
    ar__tuned_block tuned = {weights, p->skip, p->schemes, importance->list, q};
    ar__tune_unit unit = {
        .tuned = &tuned, .tuned_count = 1, .input = input, .target = &w->target, .samples = w->samples};
    AR_TRY(w->method(report, w->history, &unit, w->device, d, w->observer));
    return check_scales(list, block);
}

/* target = block(x_float), and on the way how much the inputs count. */
static ar_status float_chain(walk *w, const ar_block *block, const ar_block_weights *weights,
                             const block_plan *p, ar__importance *importance) {
    if (!w->samples) return AR_OK;
    if (p->any_counts) AR_TRY(ar__importance_init(importance, w->device, weights, p->counts));
    const ar_hook *hook = p->any_counts ? &importance->hook : &weights->hook;
    AR_TRY(ar_chain_forward(&w->target, &w->x_float, w->device, block, hook, w->samples->T, w->batch));
    return p->any_counts ? ar__importance_finish(importance) : AR_OK;
}

/* Moves both chains past the block. */
static ar_status advance_chains(walk *w, const ar_block *block, ar_block_weights *weights,
                                ar_qlinear *const *list) {
    if (!w->desc->no_quantized_input) {
        AR_TRY(replace_weights(weights, list));
        AR_TRY(ar_chain_forward(&w->x_quant, &w->x_quant, w->device, block, &weights->hook, w->samples->T,
                                w->batch));
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
    ar__importance importance = {0};
    block_plan plan;
    double start = now_s();
    memset(q, 0, sizeof q);
    bool done_before = w->sink->finished && w->sink->finished(w->sink->ctx, b);
    if (done_before && !w->samples) return AR_OK;
    plan_block(&plan, w, block);
    if (done_before) plan.any_counts = false;
    AR_GO(ar__block_weights_init_checked(&weights, block, w->device, plan.skip, plan.schemes));
    AR_GO(float_chain(w, block, &weights, &plan, &importance));
    if (done_before)
        AR_GO(w->sink->load(w->sink->ctx, block, list));
    else
        AR_GO(quantize_block(w, block, &plan, &weights, &importance, q, list, &report));
    if (w->samples && b + 1 < w->model->block_count) AR_GO(advance_chains(w, block, &weights, list));
    if (!done_before) {
        ar_memory_stats memory;
        ar_device_memory(w->device, &memory);
        report.device_bytes = memory.high_water;
        report.seconds = now_s() - start;
        AR_GO(w->sink->block(w->sink->ctx, block, list, &report));
    }
done:
    ar__importance_deinit(&importance);
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
    const ar__tune_desc *d = w->desc;
    int64_t rows = (int64_t)w->samples->count * w->samples->T;
    AR_TRY(ar_chain_init(&w->x_float, rows, w->model->hidden, d->spill_dir, d->spill_above_bytes));
    AR_TRY(ar_chain_init(&w->target, rows, w->model->hidden, d->spill_dir, d->spill_above_bytes));
    AR_TRY(ar_chain_embed(&w->x_float, w->model, w->samples));
    if (d->no_quantized_input) return AR_OK;
    AR_TRY(ar_chain_init(&w->x_quant, rows, w->model->hidden, d->spill_dir, d->spill_above_bytes));
    memcpy(w->x_quant.data, w->x_float.data, (size_t)rows * (size_t)w->model->hidden * sizeof(float));
    return AR_OK;
}

ar_status ar__walk_blocks(const ar_model *model, ar_device *device, const ar_samples *samples,
                          const ar__tune_desc *desc, const ar_sink *sink, const ar_observer *observer,
                          ar__block_method method) {
    ar_status status = AR_OK;
    walk w = {.model = model,
              .device = device,
              .samples = samples,
              .desc = desc,
              .sink = sink,
              .observer = observer,
              .method = method,
              .batch = desc->batch > 0 ? desc->batch : 8};
    w.x_float.fd = w.x_quant.fd = w.target.fd = -1;
    if (desc->iters > 0 && !(w.history = ar__alloc((size_t)desc->iters, sizeof *w.history)))
        return AR_ERR_MEMORY;
    if (samples) AR_GO(init_chains(&w));
    for (int32_t b = 0; b < model->block_count; b++) {
        if (desc->block_limit > 0 && b >= desc->block_limit)
            w.samples = NULL; /* rounding needs no activations */
        if (cancelled(observer)) AR_GO(ar__fail(AR_ERR_INTERRUPTED, "interrupted before block %d", (int)b));
        AR_GO(walk_block(&w, b));
        if (observer && observer->progress)
            observer->progress(
                observer->ctx,
                &(ar_progress_event){.stage = "block", .block = b + 1, .block_count = model->block_count});
    }
done:
    ar_chain_deinit(&w.x_float);
    ar_chain_deinit(&w.x_quant);
    ar_chain_deinit(&w.target);
    free(w.history);
    return status;
}
