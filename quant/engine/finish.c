/* A whole model's loss behind its last block, and the steps along its gradient: the divergence of its logits
 * from the float model's, or the text's cross-entropy. What moves is the goal's (finish.h). Samples go
 * through all blocks, a step's or fewer at a time, and each block is recorded once more for its gradients
 * (ar_graph_recompute): of activations the device holds what stands between blocks and what one block makes.
 */
#include "finish.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BATCH   4
#define WARM_UP 10
#define LOOKS   8 /* at the samples held out, besides the one before the first step */

/* ---- recording ---- */

typedef struct pass {
    const ar__finish *f;
    int32_t block;
    bool gradients;
} pass;

static ar_status record_block(ar_graph *g, ar_tensor **y, ar_tensor *x, const void *ctx) {
    const pass *p = ctx;
    return p->f->goal->block(p->f->ctx, p->f, g, y, x, p->block, p->gradients);
}

/* *loss: the mean of the samples' positions, the last of each among them, of which nothing is predicted. */
static ar_status record_loss(const ar__finish *f, ar_graph *g, ar_tensor **loss, bool gradients) {
    ar_tensor *x = f->in, *y = NULL, *logits = NULL, *ref = NULL, *each = NULL, *top = NULL;
    for (int32_t b = 0; b < f->model->block_count; b++, x = y) {
        const pass p = {f, b, gradients};
        AR_TRY(gradients ? ar_graph_recompute(g, &y, x, record_block, &p, sizeof p)
                         : record_block(g, &y, x, &p));
    }
    if (f->desc->loss == AR_FINISH_KL) AR_TRY(ar_head_record(&f->head, g, &ref, f->to));
    AR_TRY(ar_head_record(&f->head, g, &logits, x));
    AR_TRY(ref ? ar_op_kl(g, &each, ref, logits) : ar_op_nll(g, &each, &top, logits, f->labels));
    return ar_op_mean(g, loss, each);
}

static ar_status record_part(ar__finish *f) {
    ar_tensor *loss = NULL;
    AR_TRY(ar_graph_create(&f->part, f->device));
    AR_TRY(record_loss(f, f->part, &loss, true));
    AR_TRY(ar_graph_backward(f->part, loss));
    return ar_graph_build(f->part);
}

static ar_status record_update(ar__finish *f) {
    AR_TRY(ar_graph_create(&f->update, f->device));
    AR_TRY(f->goal->update(f->ctx, f, f->update));
    AR_TRY(ar_op_advance(f->update, f->step));
    return ar_graph_build(f->update);
}

static ar_status record_look(ar__finish *f) {
    ar_tensor *loss = NULL, *sum = NULL;
    AR_TRY(ar_graph_create_in(&f->look, f->device, f->part));
    AR_TRY(record_loss(f, f->look, &loss, false));
    AR_TRY(ar_op_add(f->look, &sum, f->sum, loss));
    AR_TRY(ar_op_copy(f->look, f->sum, sum));
    return ar_graph_build(f->look);
}

static ar_status record_choice(ar__finish *f) {
    ar_tensor *improved = NULL;
    AR_TRY(ar_graph_create(&f->choose, f->device));
    AR_TRY(ar_op_best(f->choose, &improved, f->best, f->history, f->sum, f->held_at));
    AR_TRY(f->goal->keep(f->ctx, f, f->choose, improved));
    AR_TRY(ar_op_fill(f->choose, f->sum, 0));
    AR_TRY(ar_op_advance(f->choose, f->held_at));
    return ar_graph_build(f->choose);
}

/* ---- on the device ---- */

static ar_status make_rates(ar__finish *f) {
    float *rates = ar__alloc((size_t)f->steps, 2 * sizeof *rates);
    double rate = f->desc->rate > 0.0 ? f->desc->rate : f->goal->rate;
    double power1 = 1.0, power2 = 1.0;
    if (!rates) return AR_ERR_MEMORY;
    for (int32_t t = 0; t < f->steps; t++) {
        power1 *= 0.9;
        power2 *= 0.999;
        double now = rate * fmin(1.0, (t + 1.0) / WARM_UP) * (1.0 - (double)t / f->steps);
        rates[2 * t] = (float)(now / (1.0 - power1));
        rates[2 * t + 1] = (float)(1.0 / (1.0 - power2));
    }
    ar_status status = ar_tensor_create(&f->rates, f->device, AR_F32, 2, (const int64_t[]){f->steps, 2});
    if (status == AR_OK) status = ar_tensor_write(f->rates, rates, 0, (int64_t)f->steps * 2);
    free(rates);
    return status;
}

static ar_status make_state(ar__finish *f) {
    const int64_t one[] = {1}, two[] = {2}, looks[] = {f->steps + 2};
    const float start[] = {INFINITY, -1.0f};
    AR_TRY(ar__zeros(&f->step, f->device, AR_I32, 1, one));
    AR_TRY(ar__zeros(&f->held_at, f->device, AR_I32, 1, one));
    AR_TRY(ar__zeros(&f->sum, f->device, AR_F32, 1, one));
    AR_TRY(ar__zeros(&f->history, f->device, AR_F32, 1, looks));
    AR_TRY(ar_tensor_create(&f->best, f->device, AR_F32, 1, two));
    AR_TRY(ar_tensor_write(f->best, start, 0, 2));
    AR_TRY(make_rates(f));
    return ar_head_init(&f->head, f->model, f->device);
}

/* ---- the float model ---- */

static ar_status check_cancelled(const ar__finish *f, const ar_observer *o) {
    bool is = o && o->cancelled && o->cancelled(o->ctx);
    return is ? ar__fail(AR_ERR_INTERRUPTED, "interrupted while %s were tuned", f->goal->what) : AR_OK;
}

/* The float chain to the last block's end, where the loss asks for it; of every block stays what the goal
 * wants of it. */
static ar_status prepare_blocks(ar__finish *f, const ar_observer *observer) {
    int64_t rows = (int64_t)f->samples->count * f->samples->T;
    const ar_finish_desc *d = f->desc;
    bool is_float = d->loss == AR_FINISH_KL;
    AR_TRY(ar_chain_init(&f->input, rows, f->model->hidden, d->spill_dir, d->spill_above_bytes));
    AR_TRY(ar_chain_embed(&f->input, f->model, f->samples));
    if (is_float) {
        AR_TRY(ar_chain_init(&f->target, rows, f->model->hidden, d->spill_dir, d->spill_above_bytes));
        memcpy(f->target.data, f->input.data, (size_t)rows * (size_t)f->model->hidden * sizeof(float));
    }
    for (int32_t b = 0; b < f->model->block_count; b++) {
        const ar_block *block = &f->model->blocks[b];
        ar_block_weights *w = &f->weights[b];
        AR_TRY(check_cancelled(f, observer));
        AR_TRY(ar_block_weights_init(w, block, f->device));
        if (is_float)
            AR_TRY(ar_chain_forward(&f->target, &f->target, f->device, block, &w->hook, f->samples->T, 8));
        AR_TRY(f->goal->take(f->ctx, f, b));
    }
    return AR_OK;
}

/* ---- running ---- */

static int32_t first_looked_at(const ar__finish *f) { return f->held > 0 ? f->train : 0; }

static ar_status record(ar__finish *f) {
    const int64_t rows[] = {(int64_t)f->at_once * f->samples->T, f->model->hidden};
    AR_TRY(ar_tensor_create(&f->in, f->device, AR_F32, 2, rows));
    if (f->desc->loss == AR_FINISH_KL)
        AR_TRY(ar_tensor_create(&f->to, f->device, AR_F32, 2, rows));
    else
        AR_TRY(ar_tensor_create(&f->labels, f->device, AR_I32, 1, rows));
    AR_TRY(record_part(f));
    AR_TRY(record_look(f));
    AR_TRY(record_update(f));
    return record_choice(f);
}

static void drop_graphs(ar__finish *f) {
    ar_graph **graphs[] = {&f->choose, &f->look, &f->update, &f->part}; /* the last one lends */
    for (size_t i = 0; i < sizeof graphs / sizeof *graphs; i++) {
        ar_graph_destroy(*graphs[i]);
        *graphs[i] = NULL;
    }
    ar_tensor_destroy(f->in);
    ar_tensor_destroy(f->to);
    ar_tensor_destroy(f->labels);
    f->in = f->to = f->labels = NULL;
}

/* As many samples at once as the budget holds. */
static ar_status record_within_budget(ar__finish *f) {
    int32_t looked = f->samples->count - first_looked_at(f);
    for (f->at_once = f->batch; looked % f->at_once || f->batch % f->at_once;) f->at_once--;
    for (;;) {
        ar_status status = record(f);
        if (status != AR_ERR_DEVICE_MEMORY || f->at_once == 1) return status;
        drop_graphs(f);
        do f->at_once--;
        while (looked % f->at_once || f->batch % f->at_once);
    }
}

/* What follows each token; nothing follows the last. */
static ar_status feed_labels(const ar__finish *f, int32_t place, int32_t sample) {
    int32_t T = f->samples->T, *next = ar__alloc((size_t)T, sizeof *next);
    if (!next) return AR_ERR_MEMORY;
    memcpy(next, f->samples->ids + (int64_t)sample * T + 1, (size_t)(T - 1) * sizeof *next);
    next[T - 1] = -1;
    ar_status status = ar_tensor_write(f->labels, next, (int64_t)place * T, T);
    free(next);
    return status;
}

static ar_status feed(const ar__finish *f, int32_t place, int32_t sample) {
    int64_t count = f->samples->T * f->model->hidden, at = sample * count;
    AR_TRY(ar_tensor_write(f->in, f->input.data + at, place * count, count));
    return f->labels ? feed_labels(f, place, sample)
                     : ar_tensor_write(f->to, f->target.data + at, place * count, count);
}

static ar_status look(const ar__finish *f) {
    for (int32_t i = first_looked_at(f); i < f->samples->count; i += f->at_once) {
        for (int32_t k = 0; k < f->at_once; k++) AR_TRY(feed(f, k, i + k));
        AR_TRY(ar_graph_run(f->look));
    }
    return ar_graph_run(f->choose);
}

static ar_status run_steps(const ar__finish *f, const int32_t *order, const ar_observer *o) {
    int32_t every = f->steps / LOOKS < 1 ? 1 : f->steps / LOOKS;
    for (int32_t t = 0; t < f->steps; t++) {
        AR_TRY(check_cancelled(f, o));
        if (t % every == 0) AR_TRY(look(f));
        for (int32_t i = 0; i < f->batch; i += f->at_once) {
            for (int32_t k = 0; k < f->at_once; k++) AR_TRY(feed(f, k, order[t * f->batch + i + k]));
            AR_TRY(ar_graph_run(f->part));
        }
        AR_TRY(ar_graph_run(f->update));
        const ar_progress_event e = {.stage = "scales", .step = t + 1, .step_count = f->steps};
        if (o && o->progress) o->progress(o->ctx, &e);
    }
    return look(f);
}

static ar_status fill_report(ar_finish_report *r, const ar__finish *f, double start) {
    int32_t every = f->steps / LOOKS < 1 ? 1 : f->steps / LOOKS,
            looked = (f->samples->count - first_looked_at(f)) / f->at_once;
    float first, best[2];
    ar_memory_stats memory;
    AR_TRY(ar_tensor_read(f->history, &first, 0, 1));
    AR_TRY(ar_tensor_read(f->best, best, 0, 2));
    ar_device_memory(f->device, &memory);
    double all = f->labels ? (double)looked * (f->samples->T - 1) / f->samples->T : looked;
    *r = (ar_finish_report){.loss_first = (double)first / all,
                            .loss_best = (double)best[0] / all,
                            .step_count = f->steps,
                            .best_step =
                                (int32_t)best[1] * every < f->steps ? (int32_t)best[1] * every : f->steps,
                            .seconds = ar__now_s() - start,
                            .device_bytes = memory.high_water};
    if (isfinite(r->loss_first) && best[1] >= 0.0f) return AR_OK;
    return ar__fail(AR_ERR_FORMAT, "%s at the end: found a loss of %g, expected finite logits", f->goal->what,
                    r->loss_first);
}

/* ---- what it takes ---- */

static int32_t held_of(int32_t samples) {
    int32_t held = samples / 8;
    return samples < 2 ? 0 : held < 1 ? 1 : held > 8 ? 8 : held;
}

static double tuning_seconds(const ar_quant_cost *c, int32_t blocks) {
    double sum = 0.0, lead, step, all;
    ar_window_span s;
    for (int32_t i = 0; ar_window_at(&s, &c->window, blocks, c->tuned_blocks, i) && s.is_tuned; i++) {
        ar_quant_cost_window(&lead, &step, &all, c, &s);
        sum += all;
    }
    return sum;
}

void ar_finish_cost(double *flops, double *seconds, const ar_quant_cost *c, const ar_model *model,
                    const ar_samples *samples, int32_t steps, bool channels) {
    int32_t held = held_of(samples->count), train = samples->count - held,
            batch = BATCH < train ? BATCH : train;
    double blocks = 0.0, head = 2.0 * (double)model->vocab * (double)model->hidden, T = samples->T;
    if (steps <= 0) steps = channels ? AR__CHANNEL_STEPS : AR__SCALE_STEPS;
    int32_t every = steps / LOOKS < 1 ? 1 : steps / LOOKS, looks = (steps + every - 1) / every + 1;
    for (int32_t b = 0; b < model->block_count; b++) blocks += ar__block_flops(&model->blocks[b], samples->T);
    /* a step: forward twice and both gradients; the float head, logits and their gradient */
    *flops = T * (steps * batch * (4.0 * blocks + 3.0 * head) + samples->count * blocks +
                  looks * (held > 0 ? held : samples->count) * (blocks + 2.0 * head));
    *seconds = c->pace > 0.0    ? *flops / c->pace
               : c->flops > 0.0 ? *flops * tuning_seconds(c, model->block_count) / c->flops
                                : 0.0;
}

/* ---- all of it ---- */

static void deinit(ar__finish *f) {
    drop_graphs(f);
    ar_tensor *tensors[] = {f->step, f->rates, f->sum, f->best, f->history, f->held_at};
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) ar_tensor_destroy(tensors[i]);
    for (int32_t b = 0; f->weights && b < f->model->block_count; b++) ar_block_weights_deinit(&f->weights[b]);
    ar_head_deinit(&f->head);
    ar_chain_deinit(&f->input);
    ar_chain_deinit(&f->target);
    free(f->weights);
}

ar_status ar__finish_run(ar_finish_report *report, const ar__finish_goal *goal, void *ctx,
                         const ar_model *model, ar_device *device, const ar_samples *samples,
                         const ar_finish_desc *desc, const ar_observer *observer) {
    ar_status status = AR_OK;
    int32_t *order = NULL;
    double start = ar__now_s();
    ar__finish f = {.goal = goal,
                    .ctx = ctx,
                    .desc = desc,
                    .model = model,
                    .device = device,
                    .samples = samples,
                    .input.fd = -1,
                    .target.fd = -1};
    f.steps = desc->steps > 0 ? desc->steps : goal->steps;
    f.held = held_of(samples->count);
    f.train = samples->count - f.held;
    f.batch = BATCH < f.train ? BATCH : f.train;
    if (samples->count < 1) return ar__fail(AR_ERR_ARG, "%s at the end need samples: found none", goal->what);
    if (desc->loss == AR_FINISH_CE && samples->T < 2)
        return ar__fail(AR_ERR_ARG, "%s at the end: found samples of 1 token, expected 2 or more",
                        goal->what);
    f.weights = ar__alloc((size_t)model->block_count, sizeof *f.weights);
    order = ar__alloc((size_t)f.steps, (size_t)f.batch * sizeof *order);
    if (!f.weights || !order) AR_GO(AR_ERR_MEMORY);
    AR_GO(ar__sample_order(order, f.steps, f.batch, f.train, desc->seed, model->block_count));
    AR_GO(prepare_blocks(&f, observer));
    AR_GO(make_state(&f));
    AR_GO(record_within_budget(&f));
    AR_GO(run_steps(&f, order, observer));
    AR_GO(fill_report(report, &f, start));
    AR_GO(goal->deliver(ctx, &f, report));
done:
    free(order);
    deinit(&f);
    return status;
}
