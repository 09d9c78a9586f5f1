/* The scales of a whole quantized model along the gradient of the divergence of its logits from the float
 * model's; codes stay (docs/frozen.md, scales at the end). Samples go through all blocks, a step's or fewer
 * at a time, and each block is recorded once more for its gradients (ar_graph_recompute): of activations the
 * device holds what stands between blocks and what one block makes; of weights their codes, and W' of one
 * block. */
#include "engine.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STEPS   60
#define BATCH   4
#define RATE    2e-3
#define WARM_UP 10
#define LOOKS   8 /* at the samples held out, besides the one before the first step */

typedef struct site {
    ar_qlinear *q; /* NULL = it is float */
    ar_coded w;
    ar_tensor *codes, *grid, *ab, *dab, *mean, *square, *kept;
} site;

typedef struct finish {
    const ar_model *model;
    ar_device *device;
    const ar_samples *samples;
    site *sites;               /* (block_count, AR_MAX_LINEARS) */
    ar_block_weights *weights; /* (block_count): norms, biases and what is float */
    ar_head head;
    ar_chain input, target;
    int32_t train, held, steps, batch; /* held: the last samples */
    int32_t at_once;                   /* samples: divides batch and those looked at */
    ar_tensor *in, *to, *step, *rates, *sum, *best, *history, *held_at;
    ar_graph *part, *update, *look, *choose;
} finish;

/* ---- recording ---- */

typedef struct pass {
    const finish *f;
    int32_t block;
    bool gradients;
} pass;

static ar_status on_grad(ar_graph *g, ar_tensor *W, ar_tensor *dW, const void *ctx) {
    const site *s = *(site *const *)ctx;
    (void)W;
    return ar_op_scale_grad(g, s->dab, &s->w, dW);
}

static ar_status coded_linear(void *ctx, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x) {
    const pass *p = ctx;
    const ar_block_weights *w = &p->f->weights[p->block];
    const site *s = &p->f->sites[p->block * AR_MAX_LINEARS + i];
    ar_tensor *W = NULL;
    if (!s->q) return ar_op_linear(g, y, x, w->linears[i], w->biases[i]);
    AR_TRY(ar_op_scale_quant(g, &W, &s->w, p->gradients));
    if (p->gradients) AR_TRY(ar_graph_on_grad(g, W, on_grad, &s, sizeof s));
    return ar_op_linear(g, y, x, W, w->biases[i]);
}

static ar_status float_norm(void *ctx, ar_graph *g, ar_tensor **y, int32_t j, ar_tensor *x) {
    const pass *p = ctx;
    const ar_hook *hook = &p->f->weights[p->block].hook;
    return hook->norm(hook->ctx, g, y, j, x);
}

static ar_status record_block(ar_graph *g, ar_tensor **y, ar_tensor *x, const void *ctx) {
    pass p = *(const pass *)ctx;
    const ar_block *block = &p.f->model->blocks[p.block];
    ar_hook hook = {.linear = coded_linear, .norm = float_norm, .ctx = &p};
    return block->forward(block, g, y, x, p.f->samples->T, &hook);
}

/* *loss: the mean divergence of the sample's positions. */
static ar_status record_loss(const finish *f, ar_graph *g, ar_tensor **loss, bool gradients) {
    ar_tensor *x = f->in, *y = NULL, *logits = NULL, *ref = NULL, *kl = NULL;
    for (int32_t b = 0; b < f->model->block_count; b++, x = y) {
        const pass p = {f, b, gradients};
        AR_TRY(gradients ? ar_graph_recompute(g, &y, x, record_block, &p, sizeof p)
                         : record_block(g, &y, x, &p));
    }
    AR_TRY(ar_head_record(&f->head, g, &ref, f->to));
    AR_TRY(ar_head_record(&f->head, g, &logits, x));
    AR_TRY(ar_op_kl(g, &kl, ref, logits));
    return ar_op_mean(g, loss, kl);
}

static ar_status record_part(finish *f) {
    ar_tensor *loss = NULL;
    AR_TRY(ar_graph_create(&f->part, f->device));
    AR_TRY(record_loss(f, f->part, &loss, true));
    AR_TRY(ar_graph_backward(f->part, loss));
    return ar_graph_build(f->part);
}

static ar_status record_update(finish *f) {
    AR_TRY(ar_graph_create(&f->update, f->device));
    for (int32_t i = 0; i < f->model->block_count * AR_MAX_LINEARS; i++) {
        const site *s = &f->sites[i];
        if (!s->q) continue;
        AR_TRY(ar_op_adam_step(f->update, s->ab, s->dab, s->mean, s->square, f->step, f->rates, 0.5f, 2.0f));
        AR_TRY(ar_op_fill(f->update, s->dab, 0));
    }
    AR_TRY(ar_op_advance(f->update, f->step));
    return ar_graph_build(f->update);
}

static ar_status record_look(finish *f) {
    ar_tensor *loss = NULL, *sum = NULL;
    AR_TRY(ar_graph_create(&f->look, f->device));
    AR_TRY(record_loss(f, f->look, &loss, false));
    AR_TRY(ar_op_add(f->look, &sum, f->sum, loss));
    AR_TRY(ar_op_copy(f->look, f->sum, sum));
    return ar_graph_build(f->look);
}

static ar_status record_choice(finish *f) {
    ar_tensor *improved = NULL;
    AR_TRY(ar_graph_create(&f->choose, f->device));
    AR_TRY(ar_op_best(f->choose, &improved, f->best, f->history, f->sum, f->held_at));
    for (int32_t i = 0; i < f->model->block_count * AR_MAX_LINEARS; i++)
        if (f->sites[i].q) AR_TRY(ar_op_copy_if(f->choose, f->sites[i].kept, f->sites[i].ab, improved));
    AR_TRY(ar_op_fill(f->choose, f->sum, 0));
    AR_TRY(ar_op_advance(f->choose, f->held_at));
    return ar_graph_build(f->choose);
}

/* ---- on the device ---- */

static ar_status write_codes(site *s, ar_device *device) {
    const ar_qlinear *q = s->q;
    int64_t words = (q->I + 3) / 4;
    uint8_t *bytes = ar__alloc((size_t)q->O, (size_t)words * 4);
    if (!bytes) return AR_ERR_MEMORY;
    for (int64_t o = 0; o < q->O; o++) memcpy(bytes + o * words * 4, q->codes + o * q->I, (size_t)q->I);
    ar_status status = ar_tensor_create(&s->codes, device, AR_I32, 2, (const int64_t[]){q->O, words});
    if (status == AR_OK) status = ar_tensor_write(s->codes, bytes, 0, q->O * words);
    free(bytes);
    return status;
}

static ar_status write_grid(site *s, ar_device *device) {
    int64_t count = s->q->O * s->q->groups;
    float *grid = ar__alloc((size_t)count, 2 * sizeof *grid);
    if (!grid) return AR_ERR_MEMORY;
    ar__qlinear_grid(grid, s->q);
    ar_status status =
        ar_tensor_create(&s->grid, device, AR_F32, 3, (const int64_t[]){s->q->O, s->q->groups, 2});
    if (status == AR_OK) status = ar_tensor_write(s->grid, grid, 0, count * 2);
    free(grid);
    return status;
}

static ar_status make_factors(ar_tensor **t, ar_device *device, int64_t O, int64_t units) {
    float *ones = ar__alloc((size_t)(O * units), 2 * sizeof *ones);
    if (!ones) return AR_ERR_MEMORY;
    for (int64_t i = 0; i < O * units * 2; i++) ones[i] = 1.0f;
    ar_status status = ar_tensor_create(t, device, AR_F32, 3, (const int64_t[]){O, units, 2});
    if (status == AR_OK) status = ar_tensor_write(*t, ones, 0, O * units * 2);
    free(ones);
    return status;
}

static ar_status make_site(site *s, ar_device *device) {
    const int64_t dims[] = {s->q->O, s->q->d ? s->q->supers : s->q->groups, 2};
    if (s->q->extra_count > 0)
        return ar__fail(AR_ERR_UNSUPPORTED,
                        "scales at the end: found tensors beside the codes, expected codes "
                        "alone");
    AR_TRY(write_codes(s, device));
    AR_TRY(write_grid(s, device));
    AR_TRY(make_factors(&s->ab, device, dims[0], dims[1]));
    AR_TRY(make_factors(&s->kept, device, dims[0], dims[1]));
    AR_TRY(ar__zeros(&s->dab, device, AR_F32, 3, dims));
    AR_TRY(ar__zeros(&s->mean, device, AR_F32, 3, dims));
    AR_TRY(ar__zeros(&s->square, device, AR_F32, 3, dims));
    s->w = (ar_coded){&s->q->scheme, s->codes, s->grid, s->ab, s->q->I};
    return AR_OK;
}

static ar_status make_rates(finish *f) {
    float *rates = ar__alloc((size_t)f->steps, 2 * sizeof *rates);
    double power1 = 1.0, power2 = 1.0;
    if (!rates) return AR_ERR_MEMORY;
    for (int32_t t = 0; t < f->steps; t++) {
        power1 *= 0.9;
        power2 *= 0.999;
        double now = RATE * fmin(1.0, (t + 1.0) / WARM_UP) * (1.0 - (double)t / f->steps);
        rates[2 * t] = (float)(now / (1.0 - power1));
        rates[2 * t + 1] = (float)(1.0 / (1.0 - power2));
    }
    ar_status status = ar_tensor_create(&f->rates, f->device, AR_F32, 2, (const int64_t[]){f->steps, 2});
    if (status == AR_OK) status = ar_tensor_write(f->rates, rates, 0, (int64_t)f->steps * 2);
    free(rates);
    return status;
}

static ar_status make_state(finish *f) {
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

static ar_status check_cancelled(const ar_observer *o) {
    bool is = o && o->cancelled && o->cancelled(o->ctx);
    return is ? ar__fail(AR_ERR_INTERRUPTED, "interrupted while scales were tuned") : AR_OK;
}

/* The float chain to the last block's end; of every block stays what is not in codes. */
static ar_status prepare_blocks(finish *f, ar_qlinear *const *linears, const ar_finish_desc *d,
                                const ar_observer *observer) {
    int64_t rows = (int64_t)f->samples->count * f->samples->T;
    AR_TRY(ar_chain_init(&f->input, rows, f->model->hidden, d->spill_dir, d->spill_above_bytes));
    AR_TRY(ar_chain_init(&f->target, rows, f->model->hidden, d->spill_dir, d->spill_above_bytes));
    AR_TRY(ar_chain_embed(&f->input, f->model, f->samples));
    memcpy(f->target.data, f->input.data, (size_t)rows * (size_t)f->model->hidden * sizeof(float));
    for (int32_t b = 0; b < f->model->block_count; b++) {
        const ar_block *block = &f->model->blocks[b];
        ar_block_weights *w = &f->weights[b];
        AR_TRY(check_cancelled(observer));
        AR_TRY(ar_block_weights_init(w, block, f->device));
        AR_TRY(ar_chain_forward(&f->target, &f->target, f->device, block, &w->hook, f->samples->T, 8));
        for (int32_t i = 0; i < block->linear_count; i++) {
            site *s = &f->sites[b * AR_MAX_LINEARS + i];
            s->q = linears[b * AR_MAX_LINEARS + i];
            if (!s->q) continue;
            ar_tensor_destroy(w->linears[i]);
            w->linears[i] = NULL;
            AR_TRY(make_site(s, f->device));
        }
    }
    return AR_OK;
}

/* ---- running ---- */

static int32_t first_looked_at(const finish *f) { return f->held > 0 ? f->train : 0; }

static ar_status record(finish *f) {
    const int64_t rows[] = {(int64_t)f->at_once * f->samples->T, f->model->hidden};
    AR_TRY(ar_tensor_create(&f->in, f->device, AR_F32, 2, rows));
    AR_TRY(ar_tensor_create(&f->to, f->device, AR_F32, 2, rows));
    AR_TRY(record_part(f));
    AR_TRY(record_look(f));
    AR_TRY(record_update(f));
    return record_choice(f);
}

static void drop_graphs(finish *f) {
    ar_graph **graphs[] = {&f->part, &f->update, &f->look, &f->choose};
    for (size_t i = 0; i < sizeof graphs / sizeof *graphs; i++) {
        ar_graph_destroy(*graphs[i]);
        *graphs[i] = NULL;
    }
    ar_tensor_destroy(f->in);
    ar_tensor_destroy(f->to);
    f->in = f->to = NULL;
}

/* As many samples at once as the budget holds. */
static ar_status record_within_budget(finish *f) {
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

static ar_status feed(const finish *f, int32_t place, int32_t sample) {
    int64_t count = f->samples->T * f->model->hidden, at = sample * count;
    AR_TRY(ar_tensor_write(f->in, f->input.data + at, place * count, count));
    return ar_tensor_write(f->to, f->target.data + at, place * count, count);
}

static ar_status look(const finish *f) {
    for (int32_t i = first_looked_at(f); i < f->samples->count; i += f->at_once) {
        for (int32_t k = 0; k < f->at_once; k++) AR_TRY(feed(f, k, i + k));
        AR_TRY(ar_graph_run(f->look));
    }
    return ar_graph_run(f->choose);
}

static ar_status run_steps(const finish *f, const int32_t *order, const ar_observer *o) {
    int32_t every = f->steps / LOOKS < 1 ? 1 : f->steps / LOOKS;
    for (int32_t t = 0; t < f->steps; t++) {
        AR_TRY(check_cancelled(o));
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

static ar_status fill_report(ar_finish_report *r, const finish *f, double start) {
    int32_t every = f->steps / LOOKS < 1 ? 1 : f->steps / LOOKS,
            looked = (f->samples->count - first_looked_at(f)) / f->at_once;
    float first, best[2];
    ar_memory_stats memory;
    AR_TRY(ar_tensor_read(f->history, &first, 0, 1));
    AR_TRY(ar_tensor_read(f->best, best, 0, 2));
    ar_device_memory(f->device, &memory);
    *r = (ar_finish_report){.kl_first = (double)first / looked,
                            .kl_best = (double)best[0] / looked,
                            .step_count = f->steps,
                            .best_step =
                                (int32_t)best[1] * every < f->steps ? (int32_t)best[1] * every : f->steps,
                            .seconds = ar__now_s() - start,
                            .device_bytes = memory.high_water};
    if (isfinite(r->kl_first) && best[1] >= 0.0f) return AR_OK;
    return ar__fail(AR_ERR_FORMAT, "scales at the end: found a divergence of %g, expected finite logits",
                    r->kl_first);
}

/* ---- delivery ---- */

static void scale_halves(uint16_t *h, const float *ab, int64_t count, int which) {
    for (int64_t i = 0; h && i < count; i++) {
        float v = ar_f16_to_f32(h[i]);
        if (v != 0.0f) h[i] = ar_f32_to_f16(v * ab[2 * i + which]);
    }
}

static ar_status deliver(const finish *f) {
    char name[AR__WEIGHT_NAME];
    for (int32_t k = 0; k < f->model->block_count * AR_MAX_LINEARS; k++) {
        const site *s = &f->sites[k];
        if (!s->q) continue;
        int64_t count = ar_tensor_count(s->kept) / 2;
        float *ab = ar__alloc((size_t)count, 2 * sizeof *ab);
        if (!ab) return AR_ERR_MEMORY;
        ar_status status = ar_tensor_read(s->kept, ab, 0, count * 2);
        if (status == AR_OK) {
            scale_halves(s->q->d ? s->q->d : s->q->scales, ab, count, 0);
            scale_halves(s->q->d ? s->q->dmin : s->q->mins, ab, count, 1);
            ar__weight_name(name, &f->model->blocks[k / AR_MAX_LINEARS], k % AR_MAX_LINEARS);
            status = ar_qlinear_check_scales(s->q, name, 0);
        }
        free(ab);
        AR_TRY(status);
    }
    return AR_OK;
}

/* ---- all of it ---- */

static void deinit(finish *f) {
    drop_graphs(f);
    ar_tensor *tensors[] = {f->step, f->rates, f->sum, f->best, f->history, f->held_at};
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) ar_tensor_destroy(tensors[i]);
    for (int32_t k = 0; f->sites && k < f->model->block_count * AR_MAX_LINEARS; k++) {
        const site *s = &f->sites[k];
        ar_tensor *own[] = {s->codes, s->grid, s->ab, s->dab, s->mean, s->square, s->kept};
        for (size_t i = 0; i < sizeof own / sizeof *own; i++) ar_tensor_destroy(own[i]);
    }
    for (int32_t b = 0; f->weights && b < f->model->block_count; b++) ar_block_weights_deinit(&f->weights[b]);
    ar_head_deinit(&f->head);
    ar_chain_deinit(&f->input);
    ar_chain_deinit(&f->target);
    free(f->sites);
    free(f->weights);
}

ar_status ar_finish_scales(ar_finish_report *report, ar_qlinear *const *linears, const ar_model *model,
                           ar_device *device, const ar_samples *samples, const ar_finish_desc *desc,
                           const ar_observer *observer) {
    ar_status status = AR_OK;
    int32_t *order = NULL, held = samples->count / 8;
    double start = ar__now_s();
    finish f = {.model = model, .device = device, .samples = samples, .input.fd = -1, .target.fd = -1};
    f.steps = desc->steps > 0 ? desc->steps : STEPS;
    f.held = samples->count < 2 ? 0 : held < 1 ? 1 : held > 8 ? 8 : held;
    f.train = samples->count - f.held;
    f.batch = BATCH < f.train ? BATCH : f.train;
    if (samples->count < 1) return ar__fail(AR_ERR_ARG, "scales at the end need samples: found none");
    f.sites = ar__alloc((size_t)model->block_count * AR_MAX_LINEARS, sizeof *f.sites);
    f.weights = ar__alloc((size_t)model->block_count, sizeof *f.weights);
    order = ar__alloc((size_t)f.steps, (size_t)f.batch * sizeof *order);
    if (!f.sites || !f.weights || !order) AR_GO(AR_ERR_MEMORY);
    AR_GO(ar__sample_order(order, f.steps, f.batch, f.train, desc->seed, model->block_count));
    AR_GO(prepare_blocks(&f, linears, desc, observer));
    AR_GO(make_state(&f));
    AR_GO(record_within_budget(&f));
    AR_GO(run_steps(&f, order, observer));
    AR_GO(fill_report(report, &f, start));
    AR_GO(deliver(&f));
done:
    free(order);
    deinit(&f);
    return status;
}
