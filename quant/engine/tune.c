/* The tuning engine: signed gradient descent (or Adam) on the rounding offsets V and the min/max coefficients
 * of one block (SignRound, arXiv 2309.05516; autoround.md 1.2-1.8) against a cached float target.
 *
 * A step is recorded once and replayed:
 *   gather batch -> W' = fake_quant(W) -> block -> mse -> keep best -> backward -> per weight: dW -> (dV,
 * dmm) -> step The update of a weight is recorded where its gradient becomes complete, so that only one dW
 * lives at a time. Where the budget holds no whole batch, micro graphs accumulate dW and one update graph
 * finishes the step. Activations are resident on the device when both chains fit a third of the free budget,
 * else the host writes each batch before it runs (same batches, same bits). */
#include "engine.h"
#include "optimizer.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COUNTED 16777216.0f /* whole numbers up to here are exact in f32 */

typedef struct tuner {
    ar_device *device;
    const ar_quant_desc *desc;
    const ar__tune_unit *unit;
    const ar_block *block;
    int32_t iters, T, batch, train, held, micro, micro_count;
    int32_t held_part; /* held-out samples of one pass: a divisor of held, at most micro */
    bool resident;
    ar_select select;
    ar_dtype state_dtype;
    ar_fq_desc fq[AR_MAX_LINEARS];
    ar__optimizer optimizer;
    ar__moments v_moments[AR_MAX_LINEARS], mm_moments[AR_MAX_LINEARS];
    int32_t *order; /* (iters, batch) */
    float *mask;    /* (count, T), host */
    /* device tensors, per linear and for the whole unit */
    ar_tensor *range[AR_MAX_LINEARS], *acc[AR_MAX_LINEARS];
    ar_fq_state state[AR_MAX_LINEARS], kept[AR_MAX_LINEARS];
    ar_tensor *x_all, *y_all, *mask_all, *sched, *micro_step, *step, *best, *history, *loss_sum;
    ar_tensor *held_sched, *held_step, *held_best, *held_history, *held_sum, *held_at;
    ar_tensor *x_in, *y_in, *mask_in;       /* streamed mode: one micro-batch, */
    ar_tensor *x_held, *y_held, *mask_held; /* and the held-out slice where it is smaller */
    ar_graph *micro_graph, *update_graph, *held_graph, *held_end;
} tuner;

/* Context of the fake-quantizing hook while one graph is recorded. */
typedef struct recording {
    tuner *t;
    ar_tensor *sz[AR_MAX_LINEARS];
    bool gradients; /* record the updates as gradients complete */
} recording;

typedef struct grad_site {
    recording *r;
    int32_t i;
} grad_site;

static const ar_tensor *weight(const tuner *t, int32_t i) { return t->unit->weights->linears[i]; }

/* ---- recording ---- */

/* dW of weight i -> its gradients -> state. V is not bounded: the schedule bounds sign steps. */
static ar_status record_update(tuner *t, ar_graph *g, int32_t i, const ar_tensor *dW, const ar_tensor *sz) {
    ar_tensor *dv = NULL, *dmm = NULL;
    AR_TRY(ar_op_fq_grad(g, &dv, &dmm, dW, weight(t, i), t->range[i], sz, &t->state[i], &t->fq[i]));
    if (t->state[i].v)
        AR_TRY(ar__optimizer_step(&t->optimizer, g, t->state[i].v, dv, &t->v_moments[i], -COUNTED, COUNTED));
    bool super = t->fq[i].scheme.super != AR_SUPER_NONE;
    float low = -floorf((super ? 0.5f : 1.0f) * t->fq[i].m_div), high = super ? -low : 0.0f;
    if (t->state[i].mm)
        AR_TRY(ar__optimizer_step(&t->optimizer, g, t->state[i].mm, dmm, &t->mm_moments[i], low, high));
    return AR_OK;
}

/* Called by the graph where the gradient of W'_i is complete. */
static ar_status on_grad(ar_graph *g, ar_tensor *Wq, ar_tensor *dW, const void *ctx) {
    const grad_site *site = ctx;
    tuner *t = site->r->t;
    (void)Wq;
    if (t->micro_count == 1) return record_update(t, g, site->i, dW, site->r->sz[site->i]);
    ar_tensor *sum = NULL;
    AR_TRY(ar_op_add(g, &sum, t->acc[site->i], dW));
    return ar_op_copy(g, t->acc[site->i], sum);
}

static ar_status tuned_linear(void *ctx, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x) {
    recording *r = ctx;
    tuner *t = r->t;
    const ar_block_weights *w = t->unit->weights;
    if (t->unit->skip[i]) return ar_op_linear(g, y, x, w->linears[i], w->biases[i]);
    ar_tensor *Wq = NULL;
    AR_TRY(ar_op_fake_quant(g, &Wq, &r->sz[i], w->linears[i], t->range[i], &t->state[i], &t->fq[i]));
    if (r->gradients) {
        grad_site site = {r, i};
        AR_TRY(ar_graph_on_grad(g, Wq, on_grad, &site, sizeof site));
    }
    return ar_op_linear(g, y, x, Wq, w->biases[i]);
}

static ar_status float_norm(void *ctx, ar_graph *g, ar_tensor **y, int32_t j, ar_tensor *x) {
    const ar_hook *hook = &((recording *)ctx)->t->unit->weights->hook;
    return hook->norm(hook->ctx, g, y, j, x);
}

/* x, target and mask of `count` samples: gathered by sched[step] on the device, or the streamed inputs. */
static ar_status record_batch(tuner *t, ar_graph *g, ar_tensor **x, ar_tensor **y, ar_tensor **mask,
                              const ar_tensor *sched, const ar_tensor *step, int32_t count) {
    if (t->resident) {
        AR_TRY(ar_op_gather(g, x, t->x_all, sched, step, count));
        AR_TRY(ar_op_gather(g, y, t->y_all, sched, step, count));
        return ar_op_gather(g, mask, t->mask_all, sched, step, count);
    }
    bool part = count < t->micro;
    *x = part ? t->x_held : t->x_in;
    *y = part ? t->y_held : t->y_in;
    *mask = part ? t->mask_held : t->mask_in;
    return AR_OK;
}

/* Batch -> block -> loss. */
static ar_status record_loss(recording *r, ar_graph *g, ar_tensor **loss, const ar_tensor *sched,
                             const ar_tensor *step, int32_t count) {
    ar_tensor *x = NULL, *target = NULL, *mask = NULL, *y = NULL;
    ar_hook hook = {.linear = tuned_linear, .norm = float_norm, .ctx = r};
    AR_TRY(record_batch(r->t, g, &x, &target, &mask, sched, step, count));
    AR_TRY(r->t->block->forward(r->t->block, g, &y, x, r->t->T, &hook));
    return ar_op_mse(g, loss, y, target, mask);
}

/* kept = state where improved. */
static ar_status record_keep(tuner *t, ar_graph *g, const ar_tensor *improved) {
    for (int32_t i = 0; i < t->block->linear_count; i++) {
        if (t->kept[i].v) AR_TRY(ar_op_copy_if(g, t->kept[i].v, t->state[i].v, improved));
        if (t->kept[i].mm) AR_TRY(ar_op_copy_if(g, t->kept[i].mm, t->state[i].mm, improved));
    }
    return AR_OK;
}

/* history[step] = loss, and in batch selection the snapshot: after the loss, before the update. */
static ar_status record_history(tuner *t, ar_graph *g, const ar_tensor *loss) {
    ar_tensor *improved = NULL;
    AR_TRY(ar_op_best(g, &improved, t->best, t->history, loss, t->step));
    return t->select == AR_SELECT_BATCH ? record_keep(t, g, improved) : AR_OK;
}

static ar_status record_sum(ar_graph *g, ar_tensor *sum, ar_tensor *loss) {
    ar_tensor *total = NULL;
    AR_TRY(ar_op_add(g, &total, sum, loss));
    return ar_op_copy(g, sum, total);
}

/* One step, or with micro-batches one part of it. */
static ar_status record_micro(tuner *t) {
    recording r = {.t = t, .gradients = true};
    ar_tensor *loss = NULL;
    AR_TRY(ar_graph_create(&t->micro_graph, t->device));
    AR_TRY(record_loss(&r, t->micro_graph, &loss, t->sched, t->micro_step, t->micro));
    if (t->micro_count == 1)
        AR_TRY(record_history(t, t->micro_graph, loss));
    else
        AR_TRY(record_sum(t->micro_graph, t->loss_sum, loss));
    AR_TRY(ar_graph_backward(t->micro_graph, loss));
    AR_TRY(ar_op_advance(t->micro_graph, t->micro_step));
    if (t->micro_count == 1) AR_TRY(ar_op_advance(t->micro_graph, t->step));
    return ar_graph_build(t->micro_graph);
}

/* The end of a micro-batched step: keep best, update from the accumulated gradients, clear them. */
static ar_status record_step_end(tuner *t) {
    if (t->micro_count == 1) return AR_OK;
    ar_graph *g = NULL;
    AR_TRY(ar_graph_create(&t->update_graph, t->device));
    g = t->update_graph;
    AR_TRY(record_history(t, g, t->loss_sum));
    for (int32_t i = 0; i < t->block->linear_count; i++) {
        if (t->unit->skip[i]) continue;
        ar_tensor *Wq = NULL, *sz = NULL;
        AR_TRY(ar_op_fake_quant(g, &Wq, &sz, weight(t, i), t->range[i], &t->state[i], &t->fq[i]));
        AR_TRY(record_update(t, g, i, t->acc[i], sz));
        AR_TRY(ar_op_fill(g, t->acc[i], 0));
    }
    AR_TRY(ar_op_fill(g, t->loss_sum, 0));
    AR_TRY(ar_op_advance(g, t->step));
    return ar_graph_build(g);
}

/* The held-out slice: forward only, then the snapshot if its loss is the smallest yet. */
static ar_status record_heldout(tuner *t) {
    if (t->select != AR_SELECT_HELDOUT) return AR_OK;
    recording r = {.t = t};
    ar_tensor *loss = NULL, *improved = NULL;
    AR_TRY(ar_graph_create(&t->held_graph, t->device));
    AR_TRY(record_loss(&r, t->held_graph, &loss, t->held_sched, t->held_step, t->held_part));
    AR_TRY(record_sum(t->held_graph, t->held_sum, loss));
    AR_TRY(ar_op_advance(t->held_graph, t->held_step));
    AR_TRY(ar_graph_build(t->held_graph));
    AR_TRY(ar_graph_create(&t->held_end, t->device));
    AR_TRY(ar_op_best(t->held_end, &improved, t->held_best, t->held_history, t->held_sum, t->held_at));
    AR_TRY(record_keep(t, t->held_end, improved));
    AR_TRY(ar_op_fill(t->held_end, t->held_sum, 0));
    AR_TRY(ar_op_fill(t->held_end, t->held_step, 0));
    AR_TRY(ar_op_advance(t->held_end, t->held_at));
    return ar_graph_build(t->held_end);
}

static ar_status record_ranges(tuner *t) {
    ar_graph *g = NULL;
    ar_status status = ar_graph_create(&g, t->device);
    for (int32_t i = 0; status == AR_OK && i < t->block->linear_count; i++)
        if (t->unit->skip[i])
            continue;
        else if (t->fq[i].scheme.super != AR_SUPER_NONE)
            status =
                ar_op_super_start(g, t->range[i], weight(t, i), t->unit->importance[i], &t->fq[i].scheme);
        else
            status = ar_op_group_range(g, t->range[i], weight(t, i), &t->fq[i].scheme);
    if (status == AR_OK) status = ar_graph_build(g);
    if (status == AR_OK) status = ar_graph_run(g);
    if (status == AR_OK) status = ar_device_wait(t->device);
    ar_graph_destroy(g);
    return status;
}

/* ---- device state ---- */

static ar_status make(tuner *t, ar_tensor **out, ar_dtype dtype, int32_t dims, const int64_t *dim,
                      const void *init) {
    AR_TRY(ar_tensor_create(out, t->device, dtype, dims, dim));
    return init ? ar_tensor_write(*out, init, 0, ar_tensor_count(*out)) : AR_OK;
}

static ar_status make_weight_state(tuner *t, int32_t i) {
    const ar_linear *lin = &t->block->linears[i];
    int64_t groups = ar_scheme_groups(&t->fq[i].scheme, lin->I);
    int64_t v_dims[] = {lin->O, lin->I}, mm_dims[] = {lin->O, groups, 2};
    int64_t each = t->fq[i].scheme.super != AR_SUPER_NONE ? 4 : 2;
    AR_TRY(make(t, &t->range[i], AR_F32, 3, (const int64_t[]){lin->O, groups, each}, NULL));
    AR_TRY(ar__zeros(&t->state[i].v, t->device, t->state_dtype, 2, v_dims));
    if (t->select != AR_SELECT_LAST) AR_TRY(ar__zeros(&t->kept[i].v, t->device, t->state_dtype, 2, v_dims));
    AR_TRY(ar__moments_init(&t->v_moments[i], &t->optimizer, t->device, 2, v_dims));
    if (t->fq[i].m_div > 0.0f) {
        AR_TRY(ar__moments_init(&t->mm_moments[i], &t->optimizer, t->device, 3, mm_dims));
        AR_TRY(ar__zeros(&t->state[i].mm, t->device, t->state_dtype, 3, mm_dims));
        if (t->select != AR_SELECT_LAST)
            AR_TRY(ar__zeros(&t->kept[i].mm, t->device, t->state_dtype, 3, mm_dims));
    }
    if (t->micro_count > 1) AR_TRY(ar__zeros(&t->acc[i], t->device, AR_F32, 2, v_dims));
    return AR_OK;
}

static ar_status make_streamed(tuner *t, ar_tensor **x, ar_tensor **y, ar_tensor **mask, int32_t count) {
    int64_t rows = (int64_t)count * t->T, width = t->block->hidden;
    AR_TRY(make(t, x, AR_F32, 2, (const int64_t[]){rows, width}, NULL));
    AR_TRY(make(t, y, AR_F32, 2, (const int64_t[]){rows, width}, NULL));
    return make(t, mask, AR_F32, 1, &rows, NULL);
}

static ar_status make_activations(tuner *t) {
    const ar_chain *in = t->unit->input, *target = t->unit->target;
    int64_t width = t->block->hidden, count = t->unit->samples->count;
    if (!t->resident) {
        AR_TRY(make_streamed(t, &t->x_in, &t->y_in, &t->mask_in, t->micro));
        bool smaller = t->select == AR_SELECT_HELDOUT && t->held_part < t->micro;
        return smaller ? make_streamed(t, &t->x_held, &t->y_held, &t->mask_held, t->held_part) : AR_OK;
    }
    AR_TRY(make(t, &t->x_all, AR_F32, 3, (const int64_t[]){count, t->T, width}, in->data));
    AR_TRY(make(t, &t->y_all, AR_F32, 3, (const int64_t[]){count, t->T, width}, target->data));
    return make(t, &t->mask_all, AR_F32, 2, (const int64_t[]){count, t->T}, t->mask);
}

static ar_status make_state(tuner *t) {
    const int64_t one[] = {1}, two[] = {2}, steps[] = {t->iters};
    const float start[] = {INFINITY, -1.0f};
    AR_TRY(ar__zeros(&t->step, t->device, AR_I32, 1, one));
    AR_TRY(ar__optimizer_init(&t->optimizer, t->device, t->desc->optimizer, t->iters, t->step));
    for (int32_t i = 0; i < t->block->linear_count; i++)
        if (!t->unit->skip[i]) AR_TRY(make_weight_state(t, i));
    AR_TRY(make_activations(t));
    AR_TRY(make(t, &t->sched, AR_I32, 2, (const int64_t[]){(int64_t)t->iters * t->micro_count, t->micro},
                t->order));
    AR_TRY(ar__zeros(&t->micro_step, t->device, AR_I32, 1, one));
    AR_TRY(make(t, &t->best, AR_F32, 1, two, start));
    AR_TRY(ar__zeros(&t->history, t->device, AR_F32, 1, steps));
    AR_TRY(ar__zeros(&t->loss_sum, t->device, AR_F32, 1, one));
    if (t->select != AR_SELECT_HELDOUT) return AR_OK;
    int32_t *held = ar__alloc((size_t)t->held, sizeof *held);
    if (!held) return AR_ERR_MEMORY;
    for (int32_t i = 0; i < t->held; i++) held[i] = t->train + i;
    ar_status status =
        make(t, &t->held_sched, AR_I32, 2, (const int64_t[]){t->held / t->held_part, t->held_part}, held);
    free(held);
    AR_TRY(status);
    AR_TRY(ar__zeros(&t->held_step, t->device, AR_I32, 1, one));
    AR_TRY(ar__zeros(&t->held_at, t->device, AR_I32, 1, one));
    AR_TRY(ar__zeros(&t->held_sum, t->device, AR_F32, 1, one));
    AR_TRY(make(t, &t->held_best, AR_F32, 1, two, start));
    return ar__zeros(&t->held_history, t->device, AR_F32, 1, (const int64_t[]){t->iters + 2});
}

static void drop_device(tuner *t) {
    ar_graph **graphs[] = {&t->micro_graph, &t->update_graph, &t->held_graph, &t->held_end};
    for (size_t i = 0; i < sizeof graphs / sizeof *graphs; i++) {
        ar_graph_destroy(*graphs[i]);
        *graphs[i] = NULL;
    }
    ar_tensor **tensors[] = {&t->x_all,     &t->y_all,     &t->mask_all,     &t->sched,    &t->micro_step,
                             &t->step,      &t->best,      &t->history,      &t->loss_sum, &t->held_sched,
                             &t->held_step, &t->held_best, &t->held_history, &t->held_sum, &t->held_at,
                             &t->x_in,      &t->y_in,      &t->mask_in,      &t->x_held,   &t->y_held,
                             &t->mask_held};
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        ar_tensor_destroy(*tensors[i]);
        *tensors[i] = NULL;
    }
    for (int32_t i = 0; i < AR_MAX_LINEARS; i++) {
        ar_tensor **each[] = {&t->range[i],    &t->acc[i],    &t->state[i].v,
                              &t->state[i].mm, &t->kept[i].v, &t->kept[i].mm};
        for (size_t k = 0; k < sizeof each / sizeof *each; k++) {
            ar_tensor_destroy(*each[k]);
            *each[k] = NULL;
        }
        ar__moments_deinit(&t->v_moments[i]);
        ar__moments_deinit(&t->mm_moments[i]);
    }
    ar__optimizer_deinit(&t->optimizer);
}

/* ---- configuration ---- */

/* 1 for every position that counts: not the last of a sample, nor a trailing run of one token. */
static ar_status make_mask(tuner *t) {
    const ar_samples *s = t->unit->samples;
    t->mask = ar__alloc((size_t)s->count * (size_t)t->T, sizeof *t->mask);
    if (!t->mask) return AR_ERR_MEMORY;
    for (int32_t i = 0; i < s->count; i++) {
        const int32_t *ids = s->ids + (size_t)i * (size_t)t->T;
        int32_t end = t->T - 1;
        while (end > 0 && ids[end - 1] == ids[t->T - 1]) end--;
        for (int32_t p = 0; p < end; p++) t->mask[(size_t)i * (size_t)t->T + (size_t)p] = 1.0f;
    }
    return AR_OK;
}

/* Multiples of lr / iters that make up 1: v_div = iters / lr, exact for the default rates. */
static float unit_count(const ar_quant_desc *d, float lr, int32_t bits) {
    double n = d->iters, scale = d->iters >= 1000 && bits <= 3 ? 2.0 : 1.0;
    return (float)(lr > 0.0f ? n / (double)lr : n * n / scale);
}

/* The multiples of a double-quantized structure start where a search left them and are whole numbers: at the
 * rate of the offsets they leave that place faster than anything is learned (docs/methods.md). */
ar_fq_desc ar__linear_units(const ar_quant_desc *d, const ar_scheme *scheme) {
    bool slow = scheme->super != AR_SUPER_NONE && !(d->minmax_lr > 0.0f);
    float m_div = unit_count(d, d->minmax_lr > 0.0f ? d->minmax_lr : d->lr, scheme->bits);
    return (ar_fq_desc){*scheme, unit_count(d, d->lr, scheme->bits),
                        d->no_minmax ? 0.0f
                        : slow       ? 16.0f * m_div
                                     : m_div};
}

static ar_status configure(tuner *t) {
    const ar_quant_desc *d = t->desc;
    ar_sample_split split;
    AR_TRY(ar_sample_split_make(&split, d, t->unit->samples->count));
    t->iters = d->iters;
    t->T = t->unit->samples->T;
    t->select = split.select;
    t->held = split.held;
    t->train = split.train;
    t->batch = split.batch;
    for (int32_t i = 0; i < t->block->linear_count; i++)
        if (!t->unit->skip[i]) t->fq[i] = ar__linear_units(d, &t->unit->schemes[i]);
    double reach = 0.5 * t->iters * (t->iters + 1.0);
    bool fits = reach <= 32767.0;
    if (reach > (double)COUNTED)
        return ar__fail(AR_ERR_USAGE, "iters: found %d, expected at most 5792 (24-bit counts)",
                        (int)t->iters);
    if (d->state == AR_STATE_I16 && !fits)
        return ar__fail(AR_ERR_USAGE, "16-bit state: %d iterations reach %.0f, expected at most 32767",
                        (int)t->iters, reach);
    if (d->optimizer == AR_OPTIMIZER_ADAM && d->state != AR_STATE_AUTO && d->state != AR_STATE_F32)
        return ar__fail(AR_ERR_USAGE, "integer state: Adam's steps are no whole multiples, expected f32");
    t->state_dtype = d->state == AR_STATE_F32 || d->optimizer == AR_OPTIMIZER_ADAM ? AR_F32
                     : d->state == AR_STATE_I32 || !fits                           ? AR_I32
                                                                                   : AR_I16;
    t->order = ar__alloc((size_t)t->iters * (size_t)t->batch, sizeof *t->order);
    if (!t->order) return AR_ERR_MEMORY;
    if (!d->order) return ar__sample_order(t->order, t->iters, t->batch, t->train, d->seed, t->block->index);
    memcpy(t->order, d->order, (size_t)t->iters * (size_t)t->batch * sizeof *t->order);
    return AR_OK;
}

/* The largest divisor of n, n >= 0, that is less than `below`, or 1. */
static int32_t largest_divisor_below(int32_t n, int32_t below) {
    for (int32_t m = n < below - 1 ? n : below - 1; m > 1; m--)
        if (n % m == 0) return m;
    return 1;
}

/* Everything on the device for `micro` samples at a time. */
static ar_status prepare(tuner *t, int32_t micro, bool resident) {
    t->micro = micro;
    t->micro_count = t->batch / micro;
    t->resident = resident;
    t->held_part = largest_divisor_below(t->held, micro + 1);
    AR_TRY(make_state(t));
    AR_TRY(record_ranges(t));
    AR_TRY(record_micro(t));
    AR_TRY(record_step_end(t));
    return record_heldout(t);
}

/* The largest arrangement that fits the budget: resident, streamed, then ever smaller micro-batches. */
static ar_status prepare_within_budget(tuner *t) {
    ar_memory_stats memory;
    ar_device_memory(t->device, &memory);
    uint64_t chains = 2 * (uint64_t)t->unit->input->rows * (uint64_t)t->unit->input->width * 4;
    bool resident = chains <= (memory.budget - memory.current) / 3;
    for (int32_t micro = t->batch;;) {
        ar_status status = prepare(t, micro, resident);
        if (status != AR_ERR_DEVICE_MEMORY) return status;
        drop_device(t);
        if (!resident && micro == 1) return status;
        if (resident)
            resident = false;
        else
            micro = largest_divisor_below(t->batch, micro);
    }
}

/* ---- running ---- */

/* Streamed mode: the next micro-batch goes to the device. */
static ar_status stream_in(tuner *t, const int32_t *index, int32_t count) {
    if (t->resident) return AR_OK;
    bool part = count < t->micro;
    ar_tensor *x = part ? t->x_held : t->x_in, *y = part ? t->y_held : t->y_in,
              *mask = part ? t->mask_held : t->mask_in;
    int64_t rows = t->T, row = (int64_t)t->T * t->block->hidden;
    for (int32_t b = 0; b < count; b++) {
        AR_TRY(ar_tensor_write(x, t->unit->input->data + index[b] * row, b * row, row));
        AR_TRY(ar_tensor_write(y, t->unit->target->data + index[b] * row, b * row, row));
        AR_TRY(ar_tensor_write(mask, t->mask + index[b] * rows, b * rows, rows));
    }
    return AR_OK;
}

static ar_status run_heldout(tuner *t) {
    int32_t index[AR_MAX_HELDOUT];
    for (int32_t first = 0; first < t->held; first += t->held_part) {
        for (int32_t b = 0; b < t->held_part; b++) index[b] = t->train + first + b;
        AR_TRY(stream_in(t, index, t->held_part));
        AR_TRY(ar_graph_run(t->held_graph));
    }
    return ar_graph_run(t->held_end);
}

static ar_status run_step(tuner *t, int32_t step) {
    for (int32_t m = 0; m < t->micro_count; m++) {
        AR_TRY(stream_in(t, t->order + (size_t)step * (size_t)t->batch + (size_t)m * (size_t)t->micro,
                         t->micro));
        AR_TRY(ar_graph_run(t->micro_graph));
    }
    return t->update_graph ? ar_graph_run(t->update_graph) : AR_OK;
}

static double now_s(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static ar_status tell(tuner *t, const ar_observer *o, int32_t done, float *history, double start) {
    if (!o || !o->progress) return AR_OK;
    AR_TRY(ar_tensor_read(t->history, history, 0, done));
    float best = INFINITY;
    for (int32_t i = 0; i < done; i++) best = history[i] < best ? history[i] : best;
    ar_memory_stats memory;
    ar_device_memory(t->device, &memory);
    double seconds = now_s() - start, scale = 1.0 / t->micro_count;
    ar_progress_event e = {.stage = "tune",
                           .block = t->block->index,
                           .step = done,
                           .step_count = t->iters,
                           .loss_first = history[0] * scale,
                           .loss_best = best * scale,
                           .loss_last = history[done - 1] * scale,
                           .tokens_per_s = (double)done * t->batch * t->T / seconds,
                           .seconds = seconds,
                           .device_bytes = memory.current};
    o->progress(o->ctx, &e);
    return AR_OK;
}

static ar_status run_steps(tuner *t, float *history, const ar_observer *o) {
    int32_t every = t->iters / 16 < 1 ? 1 : t->iters / 16, show = t->iters / 50 < 1 ? 1 : t->iters / 50;
    double start = now_s();
    for (int32_t step = 0; step < t->iters; step++) {
        if (o && o->cancelled && o->cancelled(o->ctx)) {
            AR_TRY(ar_device_wait(t->device));
            return ar__fail(AR_ERR_INTERRUPTED, "interrupted in block %d at step %d", (int)t->block->index,
                            (int)step);
        }
        if (t->select == AR_SELECT_HELDOUT && step % every == 0) AR_TRY(run_heldout(t));
        AR_TRY(run_step(t, step));
        if ((step + 1) % show == 0) AR_TRY(tell(t, o, step + 1, history, start));
    }
    return t->select == AR_SELECT_HELDOUT ? run_heldout(t) : AR_OK;
}

/* Losses of the report: means over the batch, whatever the micro-batches. */
static ar_status fill_report(tuner *t, ar_block_report *report, float *history) {
    float best[2], held[2], held_first;
    AR_TRY(ar_tensor_read(t->history, history, 0, t->iters));
    AR_TRY(ar_tensor_read(t->best, best, 0, 2));
    bool any = false;
    for (int32_t i = 0; i < t->iters; i++) {
        history[i] /= (float)t->micro_count;
        any = any || isfinite(history[i]);
    }
    if (!any)
        return ar__fail(
            AR_ERR_FORMAT,
            "%s: found a loss of %g in the first of %d steps and none better, expected activations "
            "whose squares are finite",
            t->block->name, (double)history[0], (int)t->iters);
    report->history = history;
    report->step_count = t->iters;
    report->loss_first = history[0];
    report->loss_best = (double)best[0] / t->micro_count;
    report->best_step = t->select == AR_SELECT_LAST ? t->iters : (int32_t)best[1];
    if (t->select != AR_SELECT_HELDOUT) return AR_OK;
    int32_t passes = t->held / t->held_part, every = t->iters / 16 < 1 ? 1 : t->iters / 16;
    AR_TRY(ar_tensor_read(t->held_best, held, 0, 2));
    AR_TRY(ar_tensor_read(t->held_history, &held_first, 0, 1));
    report->heldout_first = (double)held_first / passes;
    report->heldout_best = (double)held[0] / passes;
    report->best_step = (int32_t)held[1] * every < t->iters ? (int32_t)held[1] * every : t->iters;
    return AR_OK;
}

static void tuner_deinit(tuner *t) {
    drop_device(t);
    free(t->order);
    free(t->mask);
}

ar_status ar__tune_block(ar_qlinear *q, ar_block_report *report, float *history, const ar__tune_unit *unit,
                         ar_device *device, const ar_quant_desc *desc, const ar_observer *observer) {
    ar_status status = AR_OK;
    tuner t = {.device = device, .desc = desc, .unit = unit, .block = unit->block};
    bool any = false;
    for (int32_t i = 0; i < unit->block->linear_count; i++) any = any || !unit->skip[i];
    if (!any) return AR_OK;
    AR_GO(configure(&t));
    AR_GO(make_mask(&t));
    AR_GO(prepare_within_budget(&t));
    AR_GO(run_steps(&t, history, observer));
    AR_GO(fill_report(&t, report, history));
    for (int32_t i = 0; i < unit->block->linear_count; i++) {
        const ar_fq_state *st = t.select == AR_SELECT_LAST ? &t.state[i] : &t.kept[i];
        if (!unit->skip[i]) AR_GO(ar__read_codes(&q[i], device, weight(&t, i), t.range[i], st, &t.fq[i]));
    }
done:
    tuner_deinit(&t);
    return status;
}
