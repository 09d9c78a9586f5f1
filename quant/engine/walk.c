/* The walk over a model's blocks that every block-by-block method shares: float chain, quantized chain, the
 * method's work on a window of blocks, delivery to the sink, resuming. Only the window's blocks are on the
 * device. */
#include "engine.h"
#include <stdlib.h>
#include <string.h>

typedef struct walk {
    const ar_model *model;
    ar_device *device;
    const ar_samples *samples; /* NULL: no activations are needed */
    const ar__tune_desc *desc;
    const ar_sink *sink;
    const ar_observer *observer;
    ar__block_method method;
    ar__window window;
    ar_chain x_float, x_quant,
        target;    /* inputs of the window's first block; the float chain behind its last */
    ar_chain next; /* the float chain where the next window begins, if inside this one */
    float *history;
    int32_t batch;
} walk;

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

/* One block of a window: its weights, and what is done with every linear where it is tuned. */
typedef struct slot {
    const ar_block *block;
    ar_block_weights weights;
    bool skip[AR_MAX_LINEARS];        /* stays float */
    uint32_t taps_of[AR_MAX_LINEARS]; /* what is taken of its inputs */
    ar_scheme schemes[AR_MAX_LINEARS];
    ar__taps taps;
    ar_qlinear q[AR_MAX_LINEARS], *list[AR_MAX_LINEARS];
    bool loaded; /* list is the sink's, not q */
} slot;

/* The window that begins at block `first`. */
typedef struct span {
    int32_t first, count, ahead, done; /* blocks at work, frozen behind them, delivered by this window */
    bool tuned, finished;              /* by the method, else round to nearest; in an earlier run */
    slot *slots;                       /* (count + ahead) */
} span;

static bool is_finished(const walk *w, int32_t b) {
    return w->sink->finished && w->sink->finished(w->sink->ctx, b);
}

/* A window ends before a block that is finished, or that is not tuned. */
static void plan_span(span *s, const walk *w, int32_t first) {
    int32_t blocks = w->model->block_count, limit = w->desc->block_limit;
    int32_t end = limit > 0 && limit < blocks ? limit : blocks;
    *s = (span){.first = first, .count = 1, .done = 1, .finished = is_finished(w, first)};
    s->tuned = w->method && first < end && !s->finished;
    if (!s->tuned) return;
    while (s->count < w->window.blocks && first + s->count < end && !is_finished(w, first + s->count))
        s->count++;
    s->ahead = blocks - first - s->count;
    if (s->ahead > w->window.ahead) s->ahead = w->window.ahead;
    /* nothing lies behind a window that could not be filled: it delivers all it has */
    s->done = s->count < w->window.blocks || first + s->count == end ? s->count : w->window.stride;
}

static void plan_slot(slot *t, const walk *w, const span *s, const ar_block *block) {
    const ar__tune_desc *d = w->desc;
    t->block = block;
    for (int32_t i = 0; i < block->linear_count; i++) {
        t->schemes[i] = d->scheme;
        t->skip[i] = d->choose && !d->choose(d->choose_ctx, block, i, &t->schemes[i]);
        if (s->tuned && !t->skip[i])
            t->taps_of[i] = ar__taps_of(d->taps, d->searches ? NULL : &t->schemes[i]);
    }
}

static ar_status init_slots(span *s, const walk *w) {
    s->slots = ar__alloc((size_t)(s->count + s->ahead), sizeof *s->slots);
    if (!s->slots) return AR_ERR_MEMORY;
    for (int32_t k = 0; k < s->count + s->ahead; k++) {
        slot *t = &s->slots[k];
        const ar_block *block = &w->model->blocks[s->first + k];
        t->block = block;
        if (k >= s->count) {
            AR_TRY(ar_block_weights_init(&t->weights, block, w->device));
            continue;
        }
        plan_slot(t, w, s, block);
        AR_TRY(ar__block_weights_init_checked(&t->weights, block, w->device, t->skip, t->schemes));
    }
    return AR_OK;
}

static void deinit_slots(span *s) {
    for (int32_t k = 0; s->slots && k < s->count + s->ahead; k++) {
        slot *t = &s->slots[k];
        ar__taps_deinit(&t->taps);
        ar_block_weights_deinit(&t->weights);
        for (int32_t i = 0; i < AR_MAX_LINEARS; i++) {
            if (t->loaded) ar_qlinear_free(t->list[i]);
            ar_qlinear_deinit(&t->q[i]);
        }
    }
    free(s->slots);
    s->slots = NULL;
}

static ar_status check_scales(ar_qlinear *const *list, const ar_block *block) {
    char name[AR__WEIGHT_NAME];
    for (int32_t i = 0; i < block->linear_count; i++) {
        ar__weight_name(name, block, i);
        if (list[i]) AR_TRY(ar_qlinear_check_scales(list[i], name, 0));
    }
    return AR_OK;
}

/* ---- the float chain ---- */

/* out = block(in) on floats, and on the way what the method wants to see of it. */
static ar_status float_block(const walk *w, ar_chain *out, const ar_chain *in, slot *t) {
    AR_TRY(ar__taps_init(&t->taps, w->device, t->block, &t->weights.hook, t->taps_of));
    AR_TRY(ar_chain_forward(out, in, w->device, t->block, ar__taps_hook(&t->taps), w->samples->T, w->batch));
    return ar__taps_finish(&t->taps);
}

/* target = the float chain behind the window; next = where the next one begins, where that lies before. */
static ar_status float_chain(walk *w, span *s) {
    if (!w->samples) return AR_OK;
    int32_t total = s->count + s->ahead;
    if (s->done < total && !w->next.data)
        AR_TRY(ar_chain_init(&w->next, w->target.rows, w->target.width, w->desc->spill_dir,
                             w->desc->spill_above_bytes));
    for (int32_t k = 0; k < total; k++) {
        AR_TRY(float_block(w, &w->target, k ? &w->target : &w->x_float, &s->slots[k]));
        if (k + 1 == s->done && s->done < total)
            memcpy(w->next.data, w->target.data,
                   (size_t)w->target.rows * (size_t)w->target.width * sizeof(float));
    }
    return AR_OK;
}

/* ---- the blocks' codes ---- */

static ar_status init_results(slot *t) {
    for (int32_t i = 0; i < t->block->linear_count; i++) {
        const ar_linear *lin = &t->block->linears[i];
        if (t->skip[i]) continue;
        AR_TRY(ar_qlinear_init(&t->q[i], &t->schemes[i], lin->O, lin->I));
        t->list[i] = &t->q[i];
    }
    return AR_OK;
}

static ar_status run_method(walk *w, span *s, ar_block_report *report) {
    ar_status status = AR_OK;
    ar__tuned_block *tuned = ar__alloc((size_t)s->count, sizeof *tuned);
    const ar_block_weights **frozen = ar__alloc((size_t)s->ahead + 1, sizeof *frozen);
    if (!tuned || !frozen) AR_GO(AR_ERR_MEMORY);
    for (int32_t k = 0; k < s->count; k++) {
        slot *t = &s->slots[k];
        tuned[k] = (ar__tuned_block){&t->weights, t->skip, t->schemes, &t->taps, t->q};
    }
    for (int32_t k = 0; k < s->ahead; k++) frozen[k] = &s->slots[s->count + k].weights;
    ar__tune_unit unit = {.tuned = tuned,
                          .frozen = frozen,
                          .tuned_count = s->count,
                          .frozen_count = s->ahead,
                          .input = w->desc->no_quantized_input ? &w->x_float : &w->x_quant,
                          .target = &w->target,
                          .block_count = w->model->block_count,
                          .samples = w->samples,
                          .float_input = &w->x_float};
    AR_GO(w->method(report, w->history, &unit, w->device, w->desc, w->observer));
done:
    free(tuned);
    free(frozen);
    return status;
}

/* The codes of a window: by the method, or round to nearest past block_limit. Whose scales fp16 does not hold
 * when rounded to nearest is refused before the tuning, whose ranges are never wider: it would only meet
 * losses that are not finite. */
static ar_status quantize_span(walk *w, span *s, ar_block_report *report) {
    for (int32_t k = 0; k < s->count; k++) {
        slot *t = &s->slots[k];
        AR_TRY(init_results(t));
        AR_TRY(s->tuned ? ar__check_scales(&t->weights, t->skip, t->schemes, w->device)
                        : ar__rtn_block(t->q, &t->weights, t->skip, w->device));
    }
    if (s->tuned) AR_TRY(run_method(w, s, report));
    for (int32_t k = 0; k < s->count; k++) AR_TRY(check_scales(s->slots[k].list, s->slots[k].block));
    return AR_OK;
}

/* Moves both chains past what the window delivers. */
static ar_status advance_chains(walk *w, span *s) {
    for (int32_t k = 0; k < s->done && !w->desc->no_quantized_input; k++) {
        slot *t = &s->slots[k];
        AR_TRY(replace_weights(&t->weights, t->list));
        AR_TRY(ar_chain_forward(&w->x_quant, &w->x_quant, w->device, t->block, &t->weights.hook,
                                w->samples->T, w->batch));
    }
    ar_chain swap = w->x_float, *behind = s->done < s->count + s->ahead ? &w->next : &w->target;
    w->x_float = *behind;
    *behind = swap;
    return AR_OK;
}

/* Each block has the window's losses, and its share of the time. */
static ar_status deliver(walk *w, span *s, ar_block_report *report, double seconds) {
    ar_memory_stats memory;
    ar_device_memory(w->device, &memory);
    report->device_bytes = memory.high_water;
    report->seconds = seconds / s->done;
    for (int32_t k = 0; k < s->done; k++) {
        report->block = s->first + k;
        AR_TRY(w->sink->block(w->sink->ctx, s->slots[k].block, s->slots[k].list, report));
    }
    return AR_OK;
}

/* *done: how many blocks the window was past. */
static ar_status walk_window(walk *w, int32_t first, int32_t *done) {
    ar_status status = AR_OK;
    ar_block_report report = {.block = first};
    span s;
    double start = ar__now_s();
    plan_span(&s, w, first);
    *done = s.done;
    if (s.finished && !w->samples) return AR_OK;
    AR_GO(init_slots(&s, w));
    AR_GO(float_chain(w, &s));
    s.slots[0].loaded = s.finished;
    if (s.finished)
        AR_GO(w->sink->load(w->sink->ctx, s.slots[0].block, s.slots[0].list));
    else
        AR_GO(quantize_span(w, &s, &report));
    if (w->samples && first + s.done < w->model->block_count) AR_GO(advance_chains(w, &s));
    if (!s.finished) AR_GO(deliver(w, &s, &report, ar__now_s() - start));
done:
    deinit_slots(&s);
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

static ar_status check_window(const ar__window *v) {
    if (v->blocks >= 1 && v->stride >= 1 && v->stride <= v->blocks && v->ahead >= 0) return AR_OK;
    return ar__fail(AR_ERR_ARG,
                    "window: found %d blocks, stride %d, %d ahead, expected 1 <= stride <= blocks",
                    (int)v->blocks, (int)v->stride, (int)v->ahead);
}

ar_status ar__walk_windows(const ar_model *model, ar_device *device, const ar_samples *samples,
                           const ar__tune_desc *desc, const ar_sink *sink, const ar_observer *observer,
                           ar__block_method method, const ar__window *window) {
    ar_status status = AR_OK;
    int32_t done = 0;
    AR_TRY(check_window(window));
    walk w = {.model = model,
              .device = device,
              .samples = samples,
              .desc = desc,
              .sink = sink,
              .observer = observer,
              .method = method,
              .window = *window,
              .batch = desc->batch > 0 ? desc->batch : 8};
    w.x_float.fd = w.x_quant.fd = w.target.fd = w.next.fd = -1;
    if (desc->iters > 0 && !(w.history = ar__alloc((size_t)desc->iters, sizeof *w.history)))
        return AR_ERR_MEMORY;
    if (samples) AR_GO(init_chains(&w));
    for (int32_t b = 0; b < model->block_count; b += done) {
        if (desc->block_limit > 0 && b >= desc->block_limit)
            w.samples = NULL; /* rounding needs no activations */
        if (cancelled(observer)) AR_GO(ar__fail(AR_ERR_INTERRUPTED, "interrupted before block %d", (int)b));
        AR_GO(walk_window(&w, b, &done));
        for (int32_t k = 1; k <= done && observer && observer->progress; k++)
            observer->progress(
                observer->ctx,
                &(ar_progress_event){.stage = "block", .block = b + k, .block_count = model->block_count});
    }
done:
    ar_chain_deinit(&w.x_float);
    ar_chain_deinit(&w.x_quant);
    ar_chain_deinit(&w.target);
    ar_chain_deinit(&w.next);
    free(w.history);
    return status;
}

ar_status ar__walk_blocks(const ar_model *model, ar_device *device, const ar_samples *samples,
                          const ar__tune_desc *desc, const ar_sink *sink, const ar_observer *observer,
                          ar__block_method method) {
    return ar__walk_windows(model, device, samples, desc, sink, observer, method, &(ar__window){1, 1, 0});
}
