/* The tuning engine: lowers a loss of a unit of blocks by what a trainable puts in the weights' place
 * (SignRound's offsets and ranges, arXiv 2309.05516, are the first), against a cached float target.
 * A step is recorded once and replayed: batch -> W' of the tuned blocks -> tuned blocks -> frozen blocks
 *   -> loss -> keep best -> backward -> per weight: dW -> step
 * The update of a weight is recorded where its gradient becomes complete, so that only one dW lives at a
 * time. Where the budget holds no whole batch, micro graphs accumulate dW and one update graph finishes the
 * step. Knows no trainable, loss or arrangement of data by name. */
#include "data.h"
#include "loss.h"
#include "optimizer.h"
#include "trainable.h"
#include <math.h>
#include <stdlib.h>

/* One linear of a tuned block; state NULL = it stays float. */
typedef struct site {
    ar__site site;
    ar_qlinear *q;
    const ar_qlinear *before; /* where an earlier unit left it; NULL = nowhere */
    bool goes_on;
    void *state;
    ar_tensor *acc; /* micro-batches: the sum of dW */
} site;

typedef struct tuner {
    ar_device *device;
    const ar__tune_unit *unit;
    const ar__goal *goal;
    const ar_block *first; /* of the tuned blocks: names the unit */
    ar_select select;
    int32_t iters, site_count;
    ar__data data;
    ar__training training;
    ar__optimizer optimizer;
    site *sites; /* (tuned_count, AR_MAX_LINEARS) */
    ar_tensor *step, *best, *history, *loss_sum, *held_best, *held_history, *held_sum, *held_at;
    ar_graph *micro_graph, *update_graph, *held_graph, *held_end;
    bool is_nearest; /* while it is recorded: weights rounded to nearest stand in their place */
    float nearest;   /* what the held-out passes add up to then; 0 = not known */
} tuner;

/* Context of one tuned block's hook while one graph is recorded. */
typedef struct recording {
    tuner *t;
    int32_t k;      /* of unit->tuned */
    bool gradients; /* record the updates as gradients complete */
    const ar_tensor *position_weight;
    ar_tensor **local; /* the sum of the linears' own losses so far, if the loss is of those; NULL = none */
} recording;

typedef struct grad_site {
    const tuner *t;
    site *site;
    ar_tensor *memo;
} grad_site;

/* ---- recording ---- */

/* Called by the graph where the gradient of what stands in a weight's place is complete. */
static ar_status on_grad(ar_graph *g, ar_tensor *W, ar_tensor *dW, const void *ctx) {
    const grad_site *at = ctx;
    (void)W;
    if (at->t->data.micro_count == 1) return at->t->goal->trainable->update(at->site->state, g, dW, at->memo);
    return ar__record_sum(g, at->site->acc, dW);
}

/* The same where that gradient would be one product, which is not recorded yet. */
static ar_status on_product(ar_graph *g, bool *taken, const ar_tensor *dy, const ar_tensor *x,
                            const void *ctx) {
    const grad_site *at = ctx;
    const ar__trainable *trainable = at->t->goal->trainable;
    if (at->t->data.micro_count > 1 || !trainable->update_product) return AR_OK;
    return trainable->update_product(at->site->state, g, taken, dy, x, at->memo);
}

/* Adds the loss of one linear, y against what its float weights give of x, and cuts y off: what follows sees
 * its values alone. */
static ar_status record_local(const recording *r, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x) {
    const ar_block_weights *w = r->t->unit->tuned[r->k].weights;
    ar_tensor *target = NULL, *loss = NULL, *sum = NULL, *cut = NULL;
    const int64_t dims[] = {ar_tensor_dim(*y, 0), ar_tensor_dim(*y, 1)};
    AR_TRY(ar_op_linear(g, &target, x, w->linears[i], w->biases[i]));
    AR_TRY(r->t->goal->loss->record(g, &loss, *y, target, r->position_weight));
    if (*r->local) AR_TRY(ar_op_add(g, &sum, *r->local, loss));
    *r->local = sum ? sum : loss;
    AR_TRY(ar_graph_temp(g, &cut, AR_F32, 2, dims));
    AR_TRY(ar_op_copy(g, cut, *y));
    *y = cut;
    return AR_OK;
}

static ar_status tuned_linear(void *ctx, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x) {
    recording *r = ctx;
    const ar__tuned_block *b = &r->t->unit->tuned[r->k];
    const ar_block_weights *w = b->weights;
    site *s = &r->t->sites[r->k * AR_MAX_LINEARS + i];
    if (!s->state) return ar_op_linear(g, y, x, w->linears[i], w->biases[i]);
    ar_tensor *W = NULL, *seen = x;
    grad_site at = {r->t, s, NULL};
    AR_TRY(r->t->is_nearest ? ar__record_nearest(g, &W, &s->site)
                            : r->t->goal->trainable->replace(s->state, g, &W, &at.memo, !r->gradients));
    if (r->gradients) AR_TRY(ar_graph_on_product(g, W, on_product, on_grad, &at, sizeof at));
    AR_TRY(ar_acts_record(b->acts, g, &seen, i));
    AR_TRY(ar_op_linear(g, y, seen, W, w->biases[i]));
    return r->local ? record_local(r, g, y, i, x) : AR_OK;
}

static ar_status float_norm(void *ctx, ar_graph *g, ar_tensor **y, int32_t j, ar_tensor *x) {
    const recording *r = ctx;
    const ar_hook *hook = &r->t->unit->tuned[r->k].weights->hook;
    return hook->norm(hook->ctx, g, y, j, x);
}

/* Batch -> tuned blocks -> frozen blocks -> loss. */
static ar_status record_loss(tuner *t, ar_graph *g, ar_tensor **loss, bool held) {
    const ar__tune_unit *u = t->unit;
    ar__batch b = {0};
    ar_tensor *local = NULL;
    bool is_local = t->goal->loss->is_local;
    AR_TRY(ar__data_record(&t->data, g, &b, held));
    for (int32_t k = 0; k < u->tuned_count; k++) {
        const ar_block *block = u->tuned[k].weights->block;
        recording r = {t, k, !held, b.weight, is_local ? &local : NULL};
        ar_hook hook = {.linear = tuned_linear, .norm = float_norm, .ctx = &r};
        ar_tensor *y = NULL;
        AR_TRY(block->forward(block, g, &y, b.x, t->data.T, &hook));
        b.x = y;
    }
    for (int32_t k = 0; k < u->frozen_count; k++) {
        const ar_block *block = u->frozen[k]->block;
        ar_tensor *y = NULL;
        AR_TRY(block->forward(block, g, &y, b.x, t->data.T, &u->frozen[k]->hook));
        b.x = y;
    }
    *loss = local;
    AR_TRY(is_local ? AR_OK : ar__data_record_target(&t->data, g, &b, held));
    return is_local ? AR_OK : t->goal->loss->record(g, loss, b.x, b.target, b.weight);
}

static ar_status record_keep(tuner *t, ar_graph *g, const ar_tensor *improved) {
    for (int32_t i = 0; i < t->site_count; i++)
        if (t->sites[i].state) AR_TRY(t->goal->trainable->keep(t->sites[i].state, g, improved));
    return AR_OK;
}

/* history[step] = loss, and in batch selection the snapshot: after the loss, before the update. */
static ar_status record_history(tuner *t, ar_graph *g, const ar_tensor *loss) {
    ar_tensor *improved = NULL;
    AR_TRY(ar_op_best(g, &improved, t->best, t->history, loss, t->step));
    return t->select == AR_SELECT_BATCH ? record_keep(t, g, improved) : AR_OK;
}

/* One step, or with micro-batches one part of it. */
static ar_status record_micro(tuner *t) {
    ar_tensor *loss = NULL;
    bool whole = t->data.micro_count == 1;
    AR_TRY(ar_graph_create(&t->micro_graph, t->device));
    AR_TRY(record_loss(t, t->micro_graph, &loss, false));
    AR_TRY(whole ? record_history(t, t->micro_graph, loss)
                 : ar__record_sum(t->micro_graph, t->loss_sum, loss));
    AR_TRY(ar_graph_backward(t->micro_graph, loss));
    AR_TRY(ar__data_record_next(&t->data, t->micro_graph, false));
    if (whole) AR_TRY(ar_op_advance(t->micro_graph, t->step));
    return ar_graph_build(t->micro_graph);
}

/* The end of a micro-batched step: keep best, update from the accumulated gradients, clear them. */
static ar_status record_step_end(tuner *t) {
    const ar__trainable *trainable = t->goal->trainable;
    if (t->data.micro_count == 1) return AR_OK;
    AR_TRY(ar_graph_create_in(&t->update_graph, t->device, t->micro_graph));
    ar_graph *g = t->update_graph;
    AR_TRY(record_history(t, g, t->loss_sum));
    for (int32_t i = 0; i < t->site_count; i++) {
        site *s = &t->sites[i];
        ar_tensor *W = NULL, *memo = NULL;
        if (!s->state) continue;
        AR_TRY(trainable->replace(s->state, g, &W, &memo, false));
        AR_TRY(trainable->update(s->state, g, s->acc, memo));
        AR_TRY(ar_op_fill(g, s->acc, 0));
    }
    AR_TRY(ar_op_fill(g, t->loss_sum, 0));
    AR_TRY(ar_op_advance(g, t->step));
    return ar_graph_build(g);
}

static ar_status record_pass(tuner *t, ar_graph **g) {
    ar_tensor *loss = NULL;
    AR_TRY(ar_graph_create_in(g, t->device, t->micro_graph));
    AR_TRY(record_loss(t, *g, &loss, true));
    AR_TRY(ar__record_sum(*g, t->held_sum, loss));
    AR_TRY(ar__data_record_next(&t->data, *g, true));
    return ar_graph_build(*g);
}

/* The held-out slice: forward only, then the snapshot if its loss is the smallest yet. */
static ar_status record_heldout(tuner *t) {
    if (t->select != AR_SELECT_HELDOUT) return AR_OK;
    ar_tensor *improved = NULL;
    AR_TRY(record_pass(t, &t->held_graph));
    AR_TRY(ar_graph_create_in(&t->held_end, t->device, t->micro_graph));
    AR_TRY(ar_op_best(t->held_end, &improved, t->held_best, t->held_history, t->held_sum, t->held_at));
    AR_TRY(record_keep(t, t->held_end, improved));
    AR_TRY(ar_op_fill(t->held_end, t->held_sum, 0));
    AR_TRY(ar__data_record_rewind(&t->data, t->held_end));
    AR_TRY(ar_op_advance(t->held_end, t->held_at));
    return ar_graph_build(t->held_end);
}

/* What the trainable computes before the first step, or where an earlier unit left it. */
static ar_status run_start(tuner *t) {
    ar_status status = AR_OK;
    ar_graph *g = NULL;
    AR_GO(ar_graph_create(&g, t->device));
    for (int32_t i = 0; i < t->site_count; i++)
        if (t->sites[i].state) AR_GO(t->goal->trainable->start(t->sites[i].state, g));
    AR_GO(ar_graph_build(g));
    AR_GO(ar_graph_run(g));
    AR_GO(ar_device_wait(t->device));
    for (int32_t i = 0; i < t->site_count; i++) {
        if (t->sites[i].state && t->sites[i].site.start) AR_GO(t->goal->trainable->adopt(t->sites[i].state));
        if (t->sites[i].before) AR_GO(t->goal->trainable->resume(t->sites[i].state, t->sites[i].before));
    }
done:
    ar_graph_destroy(g);
    return status;
}

/* Whether tuning starts from round to nearest, beside which results are told. */
static bool starts_nearest(const tuner *t) {
    for (int32_t i = 0; i < t->site_count; i++) {
        const site *s = &t->sites[i];
        if (s->state && (s->before || !ar__starts_nearest(t->goal->trainable, &s->site))) return false;
    }
    return true;
}

/* One pass over the held-out slice, before all else is recorded: this one's memory is free by then. */
static ar_status measure_nearest(tuner *t) {
    ar_graph *g = NULL;
    t->is_nearest = true;
    ar_status status = record_pass(t, &g);
    t->is_nearest = false;
    if (status == AR_OK) status = ar__data_run_held(&t->data, g);
    if (status == AR_OK) status = ar_tensor_read(t->held_sum, &t->nearest, 0, 1);
    ar_graph_destroy(g);
    AR_TRY(status);
    if (t->training.desc->probe) t->training.desc->probe->more_passes = 1;
    AR_TRY(ar_tensor_write(t->held_sum, &(float){0}, 0, 1));
    return ar__data_rewind(&t->data);
}

/* ---- device state ---- */

static ar_status make_best(tuner *t, ar_tensor **best) {
    AR_TRY(ar_tensor_create(best, t->device, AR_F32, 1, (const int64_t[]){2}));
    return ar_tensor_write(*best, (const float[]){INFINITY, -1.0f}, 0, 2);
}

static ar_status make_sites(tuner *t) {
    for (int32_t i = 0; i < t->site_count; i++) {
        site *s = &t->sites[i];
        if (!s->q) continue;
        AR_TRY(t->goal->trainable->create(&s->state, &t->training, &s->site));
        const int64_t dims[] = {ar_tensor_dim(s->site.weight, 0), ar_tensor_dim(s->site.weight, 1)};
        if (t->data.micro_count > 1) AR_TRY(ar__zeros(&s->acc, t->device, AR_F32, 2, dims));
    }
    return AR_OK;
}

static ar_status make_state(tuner *t) {
    const int64_t one[] = {1}, steps[] = {t->iters}, passes[] = {t->iters + 2};
    AR_TRY(ar__zeros(&t->step, t->device, AR_I32, 1, one));
    AR_TRY(ar__optimizer_init(&t->optimizer, t->device, t->training.desc->optimizer, t->iters, t->step));
    AR_TRY(make_sites(t));
    AR_TRY(make_best(t, &t->best));
    AR_TRY(ar__zeros(&t->history, t->device, AR_F32, 1, steps));
    AR_TRY(ar__zeros(&t->loss_sum, t->device, AR_F32, 1, one));
    if (t->select != AR_SELECT_HELDOUT) return AR_OK;
    AR_TRY(ar__zeros(&t->held_at, t->device, AR_I32, 1, one));
    AR_TRY(ar__zeros(&t->held_sum, t->device, AR_F32, 1, one));
    AR_TRY(make_best(t, &t->held_best));
    return ar__zeros(&t->held_history, t->device, AR_F32, 1, passes);
}

static void drop_device(tuner *t) {
    ar_graph **graphs[] = {&t->held_end, &t->held_graph, &t->update_graph, &t->micro_graph};
    for (size_t i = 0; i < sizeof graphs / sizeof *graphs; i++) {
        ar_graph_destroy(*graphs[i]);
        *graphs[i] = NULL;
    }
    ar_tensor **tensors[] = {&t->step,      &t->best,         &t->history,  &t->loss_sum,
                             &t->held_best, &t->held_history, &t->held_sum, &t->held_at};
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        ar_tensor_destroy(*tensors[i]);
        *tensors[i] = NULL;
    }
    for (int32_t i = 0; t->sites && i < t->site_count; i++) {
        ar_tensor_destroy(t->sites[i].acc);
        if (t->sites[i].state) t->goal->trainable->destroy(t->sites[i].state);
        t->sites[i].acc = NULL, t->sites[i].state = NULL;
    }
    ar__optimizer_deinit(&t->optimizer);
    ar__data_drop(&t->data);
}

/* ---- configuration ---- */

/* *any: something is to be tuned. */
static ar_status list_sites(tuner *t, bool *any) {
    const ar__tune_unit *u = t->unit;
    *any = false;
    t->site_count = u->tuned_count * AR_MAX_LINEARS;
    t->sites = ar__alloc((size_t)t->site_count, sizeof *t->sites);
    if (!t->sites) return AR_ERR_MEMORY;
    for (int32_t k = 0; k < u->tuned_count; k++) {
        const ar__tuned_block *b = &u->tuned[k];
        for (int32_t i = 0; i < b->weights->block->linear_count; i++) {
            if (b->skip[i]) continue;
            const ar_tensor *importance = ar__taps_at(b->taps, AR__TAP_importance, i);
            t->sites[k * AR_MAX_LINEARS + i] = (site){
                .site = {b->weights->linears[i], importance, b->schemes[i], b->start ? b->start[i] : NULL},
                .q = &b->q[i],
                .before = b->before ? b->before[i] : NULL,
                .goes_on = b->goes_on};
            *any = true;
        }
    }
    return AR_OK;
}

/* Everything on the device for one arrangement of the data. */
static ar_status prepare(tuner *t, const ar__arrangement *a) {
    AR_TRY(ar__data_place(&t->data, a));
    AR_TRY(make_state(t));
    AR_TRY(run_start(t));
    if (t->select == AR_SELECT_HELDOUT && !starts_nearest(t)) AR_TRY(measure_nearest(t));
    AR_TRY(record_micro(t));
    AR_TRY(record_step_end(t));
    return record_heldout(t);
}

/* The largest arrangement that fits the budget: resident, streamed, then ever smaller micro-batches. */
static ar_status prepare_within_budget(tuner *t) {
    ar__arrangement a = ar__data_largest(&t->data);
    for (;;) {
        ar_status status = prepare(t, &a);
        if (status != AR_ERR_DEVICE_MEMORY) return status;
        drop_device(t);
        if (!ar__data_smaller(&t->data, &a)) return status;
    }
}

/* ---- running ---- */

static ar_status run_heldout(tuner *t) {
    AR_TRY(ar__data_run_held(&t->data, t->held_graph));
    return ar_graph_run(t->held_end);
}

static ar_status begin_step(tuner *t, int32_t step) {
    const ar__trainable *trainable = t->goal->trainable;
    for (int32_t i = 0; trainable->before_step && i < t->site_count; i++)
        if (t->sites[i].state) AR_TRY(trainable->before_step(t->sites[i].state, step));
    return AR_OK;
}

static ar_status run_step(tuner *t, int32_t step) {
    AR_TRY(begin_step(t, step));
    for (int32_t m = 0; m < t->data.micro_count; m++) {
        AR_TRY(ar__data_feed(&t->data, step, m));
        AR_TRY(ar_graph_run(t->micro_graph));
    }
    return t->update_graph ? ar_graph_run(t->update_graph) : AR_OK;
}

static ar_status tell(tuner *t, const ar_observer *o, int32_t done, float *history, double start) {
    if (!o || !o->progress) return AR_OK;
    AR_TRY(ar_tensor_read(t->history, history, 0, done));
    float best = INFINITY;
    for (int32_t i = 0; i < done; i++) best = history[i] < best ? history[i] : best;
    ar_memory_stats memory;
    ar_device_memory(t->device, &memory);
    double seconds = ar__now_s() - start, scale = 1.0 / t->data.micro_count;
    ar_progress_event e = {.stage = "tune",
                           .block = t->first->index,
                           .block_count = t->unit->block_count,
                           .step = done,
                           .step_count = t->iters,
                           .loss_first = history[0] * scale,
                           .loss_best = best * scale,
                           .loss_last = history[done - 1] * scale,
                           .tokens_per_s = (double)done * t->data.split.batch * t->data.T / seconds,
                           .seconds = seconds,
                           .device_bytes = memory.current,
                           .window = t->unit->window,
                           .window_count = t->unit->window_count,
                           .tuned_count = t->unit->tuned_count};
    o->progress(o->ctx, &e);
    return AR_OK;
}

static ar_status run_steps(tuner *t, float *history, const ar_observer *o) {
    int32_t every = t->iters / 16 < 1 ? 1 : t->iters / 16, show = t->iters / 50 < 1 ? 1 : t->iters / 50;
    double start = ar__now_s();
    for (int32_t step = 0; step < t->iters; step++) {
        if (o && o->cancelled && o->cancelled(o->ctx)) {
            AR_TRY(ar_device_wait(t->device));
            return ar__fail(AR_ERR_INTERRUPTED, "interrupted in block %d at step %d", (int)t->first->index,
                            (int)step);
        }
        if (t->select == AR_SELECT_HELDOUT && step % every == 0) AR_TRY(run_heldout(t));
        AR_TRY(run_step(t, step));
        if ((step + 1) % show == 0) AR_TRY(tell(t, o, step + 1, history, start));
    }
    return t->select == AR_SELECT_HELDOUT ? run_heldout(t) : AR_OK;
}

/* ---- measuring ---- */

#define PROBE_SECONDS 0.4
#define PROBE_RUNS    64

/* All that tuning needs is in memory now. */
static ar_status tell_measured(const tuner *t, const ar_observer *o) {
    if (!t->training.desc->probe || !o) return AR_OK;
    if (o->progress) o->progress(o->ctx, &(ar_progress_event){.stage = "measure"});
    return o->cancelled && o->cancelled(o->ctx) ? ar__fail(AR_ERR_INTERRUPTED, "interrupted while measuring")
                                                : AR_OK;
}

static ar_status run_one_heldout(tuner *t, int32_t i) {
    (void)i;
    return run_heldout(t);
}

/* Seconds of a run, of as many as take half a second, and what they took is spent. */
static ar_status time_runs(tuner *t, double *each, ar_status (*run)(tuner *t, int32_t i)) {
    ar__probe *p = t->training.desc->probe;
    int32_t most = p->is_timed ? PROBE_RUNS < t->iters ? PROBE_RUNS : t->iters : 1, done = 0;
    double start = ar__now_s(), took = 0.0;
    for (int32_t until = 1; done < most && took < PROBE_SECONDS; until *= 2) {
        for (; done < until && done < most; done++) AR_TRY(run(t, done));
        AR_TRY(ar_device_wait(t->device));
        took = ar__now_s() - start;
    }
    *each = took / done;
    p->spent += took;
    return AR_OK;
}

static ar_status run_probe(tuner *t, const ar_observer *o) {
    ar__probe *p = t->training.desc->probe;
    p->micro_count = t->data.micro_count;
    p->is_resident = t->data.at.resident;
    if (t->select == AR_SELECT_HELDOUT) AR_TRY(time_runs(t, &p->heldout, run_one_heldout));
    AR_TRY(time_runs(t, &p->step, run_step));
    return tell_measured(t, o);
}

/* Losses of the report: means over the batch, whatever the micro-batches. */
static ar_status fill_report(tuner *t, ar_block_report *report, float *history) {
    float best[2], held[2], held_first;
    AR_TRY(ar_tensor_read(t->history, history, 0, t->iters));
    AR_TRY(ar_tensor_read(t->best, best, 0, 2));
    bool any = false;
    for (int32_t i = 0; i < t->iters; i++) {
        history[i] /= (float)t->data.micro_count;
        any = any || isfinite(history[i]);
    }
    if (!any)
        return ar__fail(
            AR_ERR_FORMAT,
            "%s: found a loss of %g in the first of %d steps and none better, expected activations "
            "whose squares are finite",
            t->first->name, (double)history[0], (int)t->iters);
    report->history = history;
    report->step_count = t->iters;
    report->loss_first = history[0];
    report->loss_best = (double)best[0] / t->data.micro_count;
    report->best_step = t->select == AR_SELECT_LAST ? t->iters : (int32_t)best[1];
    if (t->select != AR_SELECT_HELDOUT) return AR_OK;
    int32_t passes = t->data.split.held / t->data.held_part, every = t->iters / 16 < 1 ? 1 : t->iters / 16;
    AR_TRY(ar_tensor_read(t->held_best, held, 0, 2));
    AR_TRY(ar_tensor_read(t->held_history, &held_first, 0, 1));
    report->heldout_first = (double)held_first / passes;
    report->heldout_best = (double)held[0] / passes;
    report->heldout_nearest = starts_nearest(t) ? report->heldout_first : (double)t->nearest / passes;
    report->best_step = (int32_t)held[1] * every < t->iters ? (int32_t)held[1] * every : t->iters;
    return AR_OK;
}

/* Losses were finite, so one of them is the least: a device says so unless it does not compute. */
static ar_status check_best(const tuner *t, const ar_block_report *r) {
    bool chosen = t->select != AR_SELECT_LAST;
    if ((!chosen || isfinite(r->loss_best)) && isfinite(r->heldout_best) && r->best_step >= 0) return AR_OK;
    return ar__fail(
        AR_ERR_CHECK,
        "%s: found a best loss of %g, held out %g, at step %d, expected finite losses and a step of "
        "0 to %d: the device computes wrongly",
        t->first->name, r->loss_best, r->heldout_best, (int)r->best_step, (int)t->iters);
}

static ar_status deliver(tuner *t) {
    const ar__trainable *trainable = t->goal->trainable;
    for (int32_t i = 0; i < t->site_count; i++) {
        const site *s = &t->sites[i];
        if (!s->state) continue;
        AR_TRY(trainable->deliver(s->q, s->state));
        if (s->goes_on) AR_TRY(trainable->leave(s->q, s->state));
    }
    return AR_OK;
}

ar_status ar__tune(ar_block_report *report, float *history, const ar__tune_unit *unit, const ar__goal *goal,
                   ar_device *device, const ar__tune_desc *desc, const ar_observer *observer) {
    ar_status status = AR_OK;
    tuner t = {.device = device,
               .unit = unit,
               .goal = goal,
               .first = unit->tuned[0].weights->block,
               .iters = desc->iters};
    bool any;
    AR_GO(list_sites(&t, &any));
    if (!any) goto done;
    AR_GO(goal->trainable->check(desc));
    t.training = (ar__training){device, desc, &t.optimizer, false};
    if (t.iters > 0) {
        double start = ar__now_s();
        AR_GO(ar__data_init(&t.data, device, unit, desc));
        if (desc->probe) desc->probe->data = ar__now_s() - start;
        t.select = t.data.split.select;
        if (t.select == AR_SELECT_BATCH && goal->trainable->is_soft) t.select = AR_SELECT_LAST;
        t.training.keeps_best = t.select != AR_SELECT_LAST;
        AR_GO(prepare_within_budget(&t));
        AR_GO(desc->probe ? run_probe(&t, observer) : run_steps(&t, history, observer));
        AR_GO(fill_report(&t, report, history));
        AR_GO(check_best(&t, report));
    } else {
        AR_GO(make_sites(&t));
        AR_GO(run_start(&t));
        AR_GO(tell_measured(&t, observer));
    }
    AR_GO(deliver(&t));
done:
    drop_device(&t);
    ar__data_deinit(&t.data);
    free(t.sites);
    return status;
}
