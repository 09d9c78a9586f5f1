/* Learning the scales between norms and linears of one block (Quadapter's first phase, arXiv 2211.16912, as
 * docs/quadapter.md reconstructs it): theta = log alpha moves along the gradient of the block's error,
 * weights stay. SmoothQuant's closed form (arXiv 2211.10438) is where it may start. */
#include "channels.h"
#include "data.h"
#include "loss.h"
#include "optimizer.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEAST 1e-5f /* of maxima: SmoothQuant's code */

typedef struct learner {
    ar__channels *c;
    const ar__tune_unit *unit;
    const ar__tuned_block *tuned;
    const ar__tune_desc *desc;
    ar_device *device;
    ar__data data;
    ar__optimizer adam;
    ar_tensor *theta[AR_MAX_NORMS], *step, *best, *history, *held_sum;
    ar__moments moments[AR_MAX_NORMS];
    ar_graph *step_graph, *held_graph;
    float *kept[AR_MAX_NORMS]; /* theta of the least held-out loss */
    double held_first, held_best;
    int32_t held_step;
} learner;

static const ar_block *block_of(const learner *l) { return l->tuned->weights->block; }

/* ---- which channels, and where they start ---- */

/* A norm is scaled if a linear behind it is quantized. */
static ar_status list_channels(learner *l) {
    const ar_block *block = block_of(l);
    AR_TRY(ar_block_feeds(l->c->of, block, l->device));
    for (int32_t j = 0; j < block->norm_count; j++) {
        bool counts = false;
        for (int32_t i = 0; i < block->linear_count; i++)
            counts = counts || (l->c->of[i] == j && !l->tuned->skip[i]);
        for (int32_t i = 0; i < block->linear_count && !counts; i++)
            if (l->c->of[i] == j) l->c->of[i] = -1;
        if (!counts) continue;
        l->c->alpha[j] = ar__alloc((size_t)block->norms[j].I, sizeof *l->c->alpha[j]);
        if (!l->c->alpha[j]) return AR_ERR_MEMORY;
        for (int64_t i = 0; i < block->norms[j].I; i++) l->c->alpha[j][i] = 1.0f;
    }
    return AR_OK;
}

/* The largest |x| of every channel of the norms' outputs so far, and the tensors that show them. */
typedef struct watch {
    const learner *l;
    ar_tensor *out[AR_MAX_NORMS];
    float *most[AR_MAX_NORMS];
} watch;

static ar_status watch_norm(void *ctx, ar_graph *g, ar_tensor **y, int32_t j, ar_tensor *x) {
    watch *w = ctx;
    AR_TRY(ar_hook_norm(&w->l->tuned->weights->hook, g, y, j, x));
    if (w->l->c->alpha[j]) ar_graph_keep(g, w->out[j] = *y);
    return AR_OK;
}

static void take_most(float *most, const float *x, int64_t count, int64_t I) {
    for (int64_t k = 0; k < count; k++) most[k % I] = fmaxf(most[k % I], fabsf(x[k]));
}

/* One sample at a time through the float block. */
static ar_status watch_inputs(watch *w) {
    ar_status status = AR_OK;
    const learner *l = w->l;
    const ar_block *block = block_of(l);
    int64_t T = l->unit->samples->T, each = T * block->hidden;
    ar_hook hook = {.norm = watch_norm, .ctx = w, .base = &l->tuned->weights->hook};
    ar_graph *g = NULL;
    ar_tensor *x = NULL, *y = NULL;
    float *rows = NULL;
    AR_GO(ar_tensor_create(&x, l->device, AR_F32, 2, (const int64_t[]){T, block->hidden}));
    AR_GO(ar_graph_create(&g, l->device));
    AR_GO(block->forward(block, g, &y, x, (int32_t)T, &hook));
    AR_GO(ar_graph_build(g));
    for (int32_t s = 0; s < l->unit->samples->count; s++) {
        AR_GO(ar_tensor_write(x, l->unit->input->data + s * each, 0, each));
        AR_GO(ar_graph_run(g));
        for (int32_t j = 0; j < block->norm_count; j++) {
            if (!w->out[j]) continue;
            int64_t I = block->norms[j].I;
            free(rows);
            rows = ar__alloc((size_t)T, (size_t)I * sizeof *rows);
            if (!rows) AR_GO(AR_ERR_MEMORY);
            AR_GO(ar_tensor_read(w->out[j], rows, 0, T * I));
            take_most(w->most[j], rows, T * I, I);
        }
    }
done:
    free(rows);
    ar_graph_destroy(g);
    ar_tensor_destroy(x);
    return status;
}

/* The largest |W| of every column of the linears behind norm j. */
static ar_status watch_weights(float *most, const learner *l, int32_t j) {
    for (int32_t i = 0; i < block_of(l)->linear_count; i++) {
        const ar_tensor *W = l->tuned->weights->linears[i];
        if (l->c->of[i] != j) continue;
        int64_t count = ar_tensor_count(W);
        float *values = ar__alloc((size_t)count, sizeof *values);
        if (!values) return AR_ERR_MEMORY;
        ar_status status = ar_tensor_read(W, values, 0, count);
        if (status == AR_OK) take_most(most, values, count, ar_tensor_dim(W, 1));
        free(values);
        AR_TRY(status);
    }
    return AR_OK;
}

/* alpha = sqrt(max |W| / max |x|), channel by channel: SmoothQuant with an exponent of one half. */
static ar_status start_smooth(learner *l) {
    ar_status status = AR_OK;
    watch w = {.l = l};
    float *weights = NULL;
    for (int32_t j = 0; j < block_of(l)->norm_count; j++) {
        if (!l->c->alpha[j]) continue;
        w.most[j] = ar__alloc((size_t)block_of(l)->norms[j].I, sizeof *w.most[j]);
        if (!w.most[j]) AR_GO(AR_ERR_MEMORY);
    }
    AR_GO(watch_inputs(&w));
    for (int32_t j = 0; j < block_of(l)->norm_count; j++) {
        int64_t I = block_of(l)->norms[j].I;
        if (!l->c->alpha[j]) continue;
        free(weights);
        weights = ar__alloc((size_t)I, sizeof *weights);
        if (!weights) AR_GO(AR_ERR_MEMORY);
        AR_GO(watch_weights(weights, l, j));
        for (int64_t i = 0; i < I; i++)
            l->c->alpha[j][i] = sqrtf(fmaxf(weights[i], LEAST) / fmaxf(w.most[j][i], LEAST));
    }
done:
    free(weights);
    for (int32_t j = 0; j < AR_MAX_NORMS; j++) free(w.most[j]);
    return status;
}

/* ---- recording ---- */

static ar_status record_loss(learner *l, ar_graph *g, ar_tensor **loss, bool held) {
    const ar__tuned_block *t = l->tuned;
    ar__channels_hook hook = {.weights = t->weights,
                              .of = l->c->of,
                              .theta = l->theta,
                              .skip = t->skip,
                              .schemes = t->schemes,
                              .acts = l->desc->acts};
    const ar_block *block = block_of(l);
    ar__batch b = {0};
    ar_tensor *y = NULL;
    AR_TRY(ar__data_record(&l->data, g, &b, held));
    AR_TRY(block->forward(block, g, &y, b.x, l->data.T, ar__channels_hook_init(&hook)));
    AR_TRY(ar__data_record_target(&l->data, g, &b, held));
    return ar__loss_block_mse.record(g, loss, y, b.target, b.weight);
}

typedef struct mover {
    const learner *l;
    int32_t j;
} mover;

static ar_status move(ar_graph *g, ar_tensor *theta, ar_tensor *d, const void *ctx) {
    const mover *m = ctx;
    return ar__optimizer_step(&m->l->adam, g, theta, d, &m->l->moments[m->j], -INFINITY, INFINITY);
}

static ar_status record_step(learner *l) {
    ar_tensor *loss = NULL, *improved = NULL;
    AR_TRY(ar_graph_create(&l->step_graph, l->device));
    ar_graph *g = l->step_graph;
    for (int32_t j = 0; j < AR_MAX_NORMS; j++) {
        mover m = {l, j};
        if (l->theta[j]) AR_TRY(ar_graph_on_grad(g, l->theta[j], move, &m, sizeof m));
    }
    AR_TRY(record_loss(l, g, &loss, false));
    AR_TRY(ar_op_best(g, &improved, l->best, l->history, loss, l->step));
    AR_TRY(ar_graph_backward(g, loss));
    AR_TRY(ar__data_record_next(&l->data, g, false));
    AR_TRY(ar_op_advance(g, l->step));
    return ar_graph_build(g);
}

static ar_status record_held(learner *l) {
    ar_tensor *loss = NULL, *sum = NULL;
    if (l->data.split.select != AR_SELECT_HELDOUT) return AR_OK;
    AR_TRY(ar_graph_create_in(&l->held_graph, l->device, l->step_graph));
    AR_TRY(record_loss(l, l->held_graph, &loss, true));
    AR_TRY(ar_op_add(l->held_graph, &sum, l->held_sum, loss));
    AR_TRY(ar_op_copy(l->held_graph, l->held_sum, sum));
    AR_TRY(ar__data_record_next(&l->data, l->held_graph, true));
    return ar_graph_build(l->held_graph);
}

/* ---- state ---- */

/* Adam whose first step is lr long, falling to nothing. */
static ar_status make_adam(learner *l) {
    int32_t T = l->desc->iters;
    float *rates = ar__alloc((size_t)T * 2, sizeof *rates);
    if (!rates) return AR_ERR_MEMORY;
    ar_adam_rates(rates, T);
    for (int32_t t = 0; t < T; t++) rates[2 * t] *= l->desc->lr / (float)T;
    l->adam = (ar__optimizer){.kind = AR_OPTIMIZER_ADAM, .iters = T, .step = l->step};
    ar_status status = ar_tensor_create(&l->adam.rates, l->device, AR_F32, 2, (const int64_t[]){T, 2});
    if (status == AR_OK) status = ar_tensor_write(l->adam.rates, rates, 0, (int64_t)T * 2);
    free(rates);
    return status;
}

static ar_status make_theta(learner *l, int32_t j) {
    int64_t I = block_of(l)->norms[j].I;
    l->kept[j] = ar__alloc((size_t)I, sizeof *l->kept[j]);
    if (!l->kept[j]) return AR_ERR_MEMORY;
    for (int64_t i = 0; i < I; i++) l->kept[j][i] = logf(l->c->alpha[j][i]);
    AR_TRY(ar_tensor_create(&l->theta[j], l->device, AR_F32, 1, &I));
    AR_TRY(ar_tensor_write(l->theta[j], l->kept[j], 0, I));
    ar_tensor_set_needs_grad(l->theta[j], true);
    return ar__moments_init(&l->moments[j], &l->adam, l->device, 1, &I);
}

static ar_status prepare(learner *l, const ar__arrangement *at) {
    const int64_t one[] = {1}, two[] = {2}, steps[] = {l->desc->iters};
    AR_TRY(ar__data_place(&l->data, at));
    AR_TRY(ar__zeros(&l->step, l->device, AR_I32, 1, one));
    AR_TRY(ar__zeros(&l->held_sum, l->device, AR_F32, 1, one));
    AR_TRY(ar__zeros(&l->history, l->device, AR_F32, 1, steps));
    AR_TRY(ar_tensor_create(&l->best, l->device, AR_F32, 1, two));
    AR_TRY(ar_tensor_write(l->best, (const float[]){INFINITY, -1.0f}, 0, 2));
    AR_TRY(make_adam(l));
    for (int32_t j = 0; j < AR_MAX_NORMS; j++)
        if (l->c->alpha[j]) AR_TRY(make_theta(l, j));
    AR_TRY(record_step(l));
    return record_held(l);
}

static void drop(learner *l) {
    ar_tensor **tensors[] = {&l->step, &l->best, &l->history, &l->held_sum};
    ar_graph_destroy(l->held_graph); /* borrows */
    ar_graph_destroy(l->step_graph);
    l->step_graph = l->held_graph = NULL;
    for (size_t k = 0; k < sizeof tensors / sizeof *tensors; k++) {
        ar_tensor_destroy(*tensors[k]);
        *tensors[k] = NULL;
    }
    for (int32_t j = 0; j < AR_MAX_NORMS; j++) {
        ar_tensor_destroy(l->theta[j]);
        ar__moments_deinit(&l->moments[j]);
        free(l->kept[j]);
        l->theta[j] = NULL;
        l->kept[j] = NULL;
    }
    ar__optimizer_deinit(&l->adam);
    ar__data_drop(&l->data);
}

/* Both chains on the device, or each batch written to it: whole batches, since ranges are theirs. */
static ar_status prepare_within_budget(learner *l) {
    ar__arrangement at = ar__data_largest(&l->data);
    ar_status status = prepare(l, &at);
    if (status != AR_ERR_DEVICE_MEMORY || !at.resident) return status;
    drop(l);
    at.resident = false;
    return prepare(l, &at);
}

/* ---- running ---- */

static ar_status keep_theta(learner *l) {
    for (int32_t j = 0; j < AR_MAX_NORMS; j++)
        if (l->theta[j]) AR_TRY(ar_tensor_read(l->theta[j], l->kept[j], 0, ar_tensor_count(l->theta[j])));
    return AR_OK;
}

static ar_status run_held(learner *l, int32_t step) {
    float sum;
    if (!l->held_graph) return AR_OK;
    AR_TRY(ar__data_run_held(&l->data, l->held_graph));
    AR_TRY(ar_tensor_read(l->held_sum, &sum, 0, 1));
    AR_TRY(ar_tensor_write(l->held_sum, &(float){0}, 0, 1));
    AR_TRY(ar__data_rewind(&l->data));
    double loss = (double)sum / (l->data.split.held / l->data.held_part);
    if (step == 0) l->held_first = l->held_best = loss;
    if (!(loss < l->held_best)) return AR_OK;
    l->held_best = loss;
    l->held_step = step;
    return keep_theta(l);
}

/* Losses of batches, as other methods tell them. */
static ar_status tell(const learner *l, const ar_observer *o, int32_t done, float *history, double start) {
    double seconds = ar__now_s() - start;
    float best = INFINITY;
    ar_memory_stats memory;
    if (!o || !o->progress) return AR_OK;
    AR_TRY(ar_tensor_read(l->history, history, 0, done));
    for (int32_t k = 0; k < done; k++) best = fminf(best, history[k]);
    ar_device_memory(l->device, &memory);
    o->progress(o->ctx,
                &(ar_progress_event){.stage = "tune",
                                     .block = block_of(l)->index,
                                     .block_count = l->unit->block_count,
                                     .step = done,
                                     .step_count = l->desc->iters,
                                     .loss_first = (double)history[0],
                                     .loss_best = (double)best,
                                     .loss_last = (double)history[done - 1],
                                     .tokens_per_s = (double)done * l->data.split.batch * l->data.T / seconds,
                                     .seconds = seconds,
                                     .device_bytes = memory.current,
                                     .window = l->unit->window,
                                     .window_count = l->unit->window_count,
                                     .tuned_count = 1});
    return AR_OK;
}

static ar_status run_steps(learner *l, float *history, const ar_observer *o) {
    int32_t T = l->desc->iters, every = T / 16 < 1 ? 1 : T / 16;
    double start = ar__now_s();
    for (int32_t step = 0; step < T; step++) {
        if (o && o->cancelled && o->cancelled(o->ctx)) {
            AR_TRY(ar_device_wait(l->device));
            return ar__fail(AR_ERR_INTERRUPTED, "interrupted in block %d at step %d", (int)block_of(l)->index,
                            (int)step);
        }
        if (step % every == 0) AR_TRY(run_held(l, step));
        AR_TRY(ar__data_feed(&l->data, step, 0));
        AR_TRY(ar_graph_run(l->step_graph));
        if ((step + 1) % every == 0) AR_TRY(tell(l, o, step + 1, history, start));
    }
    return l->held_graph ? run_held(l, T) : keep_theta(l);
}

static ar_status fill_report(learner *l, ar_block_report *report, float *history) {
    int32_t T = l->desc->iters;
    bool any = false;
    float best[2];
    AR_TRY(ar_tensor_read(l->history, history, 0, T));
    AR_TRY(ar_tensor_read(l->best, best, 0, 2));
    for (int32_t k = 0; k < T; k++) any = any || isfinite(history[k]);
    if (!any)
        return ar__fail(AR_ERR_FORMAT,
                        "%s: found a loss of %g in the first of %d steps and none better, expected "
                        "activations whose squares are finite",
                        block_of(l)->name, (double)history[0], (int)T);
    report->history = history;
    report->step_count = T;
    report->loss_first = (double)history[0];
    report->loss_best = (double)best[0];
    report->best_step = l->held_graph ? l->held_step : T;
    report->heldout_first = report->heldout_nearest = l->held_first;
    report->heldout_best = l->held_best;
    return AR_OK;
}

static void take_alpha(learner *l) {
    for (int32_t j = 0; j < AR_MAX_NORMS; j++)
        for (int64_t i = 0; l->c->alpha[j] && i < block_of(l)->norms[j].I; i++)
            l->c->alpha[j][i] = expf(l->kept[j][i]);
}

ar_status ar__channels_learn(ar__channels *c, ar_block_report *report, float *history,
                             const ar__tune_unit *unit, ar_device *device, const ar__tune_desc *desc,
                             const ar_observer *observer) {
    ar_status status = AR_OK;
    learner l = {.c = c, .unit = unit, .tuned = &unit->tuned[0], .desc = desc, .device = device};
    *c = (ar__channels){.of = {0}};
    AR_GO(list_channels(&l));
    if (desc->scaling == AR__SCALING_SMOOTH) AR_GO(start_smooth(&l));
    if (desc->iters == 0) goto done;
    AR_GO(ar__data_init(&l.data, device, unit, desc));
    AR_GO(prepare_within_budget(&l));
    AR_GO(run_steps(&l, history, observer));
    AR_GO(fill_report(&l, report, history));
    take_alpha(&l);
done:
    drop(&l);
    ar__data_deinit(&l.data);
    return status;
}
