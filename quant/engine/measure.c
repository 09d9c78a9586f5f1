/* What quantizing takes; see measure.h. Everything is done twice: the first time compiles and warms up. */
#include "measure.h"
#include <stdlib.h>
#include <string.h>

/* Seconds of the walk, as its sink hears them: of the first window, and of the block behind it. */
typedef struct block_times {
    int32_t tuned; /* blocks of the window */
    double seconds[2];
} block_times;

static ar_status hear(void *ctx, const ar_block *block, ar_qlinear *const *linears,
                      const ar_block_report *report) {
    (void)linears;
    block_times *t = ctx;
    if (block->index <= t->tuned) t->seconds[block->index == t->tuned] += report->seconds;
    return AR_OK;
}

/* ---- pieces ---- */

/* The chain of the unit's first `count` samples through its block. */
static ar_status time_forward(double *seconds, const ar__tune_unit *u, ar_device *device, int32_t count,
                              int32_t batch) {
    int32_t T = u->samples->T;
    ar_chain in = *u->input, out = {.fd = -1};
    const ar_block_weights *w = u->tuned[0].weights;
    ar_acts_hook acts;
    in.rows = (int64_t)count * T;
    AR_TRY(ar_chain_init(&out, in.rows, in.width, NULL, 0));
    double start = ar__now_s();
    ar_status status = ar_chain_forward(&out, &in, device, w->block,
                                        ar_acts_hook_init(&acts, u->tuned[0].acts, &w->hook), T, batch);
    *seconds = ar__now_s() - start;
    ar_chain_deinit(&out);
    return status;
}

static uint64_t result_bytes(const ar__tuned_block *b) {
    uint64_t sum = 0;
    for (int32_t i = 0; i < b->weights->block->linear_count; i++) {
        const ar_qlinear *q = &b->q[i];
        if (b->skip[i]) continue;
        sum += (uint64_t)(q->O * q->I) + 4 * (uint64_t)(q->O * q->groups);
        for (int32_t k = 0; k < q->extra_count; k++) sum += ar_extra_bytes(&q->extras[k]);
    }
    return sum;
}

static ar_status tune_probed(ar_block_report *report, float *history, const ar__tune_unit *unit,
                             ar_device *device, const ar__tune_desc *desc, const ar_observer *observer) {
    ar__probe *p = desc->probe;
    for (int32_t k = 0; k < 2 && p->is_timed; k++) {
        int32_t count = (k + 1) * desc->batch;
        if (count > unit->samples->count) count = unit->samples->count;
        AR_TRY(time_forward(&p->forward[k], unit, device, count, desc->batch));
        p->spent += p->forward[k];
    }
    AR_TRY(p->method(report, history, unit, device, desc, observer));
    if (p->goes_on) p->visit_bytes = result_bytes(&unit->tuned[0]);
    return AR_OK;
}

/* ---- the cost of it all ---- */

double ar__block_flops(const ar_block *b, int32_t T) {
    double sum = 2.0 * T * b->heads * b->head_dim;
    for (int32_t i = 0; i < b->linear_count; i++)
        sum += 2.0 * (double)b->linears[i].O * (double)b->linears[i].I;
    return sum;
}

/* Seconds of `count` samples through a block, by those of one batch and of two: recording, and each batch. */
static double forward_of(const ar__probe *p, double count, double batch) {
    double each = p->forward[1] - p->forward[0];
    if (each > p->forward[1] / 2 || p->count < 2 * batch) each = p->forward[1] / 2;
    if (each < p->forward[1] / 4) each = p->forward[1] / 4;
    return p->forward[1] + each * (count / batch - 2.0);
}

typedef struct taken {
    ar_sample_split split;
    ar_window_span window; /* the one that was measured */
    int32_t few;           /* samples measured with */
    double embed;          /* seconds of those */
    block_times times;
    ar__probe probe;
} taken;

/* Of all windows. */
static double flops_of_windows(const taken *t, const ar_model *model, const ar_samples *s,
                               const ar__tune_desc *d, int32_t chains, double passes) {
    double sum = 0.0, steps = (double)d->iters * t->split.batch;
    ar_window_span at;
    for (int32_t i = 0; ar_window_at(&at, &d->window, model->block_count, d->block_limit, i); i++) {
        if (!at.is_tuned) break;
        for (int32_t k = 0; k < at.count + at.ahead; k++) {
            double forwards = s->count + (k < at.done ? (chains - 1.0) * s->count : 0.0);
            forwards += (k < at.count ? 3.0 : 2.0) * steps + passes * t->split.held;
            sum += ar__block_flops(&model->blocks[at.first + k], s->T) * s->T * forwards;
        }
    }
    return sum;
}

static void add_up(ar_quant_cost *c, const taken *t, const ar_model *model, const ar_samples *s,
                   const ar__tune_desc *d) {
    const ar__probe *p = &t->probe;
    int32_t chains = d->no_quantized_input ? 1 : 2, every = d->iters / 16 < 1 ? 1 : d->iters / 16,
            floats = t->window.count + t->window.ahead;
    double batch = t->split.batch, more = s->count - t->few;
    double passes = t->split.select == AR_SELECT_HELDOUT ? (d->iters + every - 1) / every + 1 : 0.0;
    double all = forward_of(p, s->count, batch), few = forward_of(p, t->few, batch);
    double fixed = t->times.seconds[0] - p->spent - (floats + (chains - 1) * t->window.count) * few;
    if (fixed < 0.0) fixed = 0.0;
    *c = (ar_quant_cost){.steps = d->iters,
                         .batch = t->split.batch,
                         .window = d->window,
                         .work = ar_window_work(&t->window),
                         .micro_batches = p->micro_count,
                         .measured = t->few,
                         .is_streamed = !p->is_resident,
                         .other_block = t->times.seconds[1],
                         .start = t->embed * s->count / t->few * chains,
                         .visit_bytes = p->visit_bytes};
    c->tuned_blocks =
        d->block_limit > 0 && d->block_limit < model->block_count ? d->block_limit : model->block_count;
    if (d->iters > 0) c->step = p->step + p->heldout * passes / d->iters;
    c->tuned_lead = fixed + floats * all + p->data * more / t->few;
    c->behind = (chains - 1) * all;
    c->walked_block = t->times.seconds[1] + chains * all;
    c->flops = flops_of_windows(t, model, s, d, chains, passes + p->more_passes);
}

/* Without samples there are no chains: blocks differ by their weights alone. */
static ar_status measure_weights(ar_quant_cost *c, const ar_model *first, ar_device *device,
                                 const ar__tune_desc *desc, ar__block_method method,
                                 const ar_observer *observer) {
    block_times times = {.tuned = 1};
    ar_sink sink = {.block = hear, .ctx = &times};
    for (int32_t i = 0; i < 2; i++) {
        times = (block_times){.tuned = 1};
        AR_TRY(ar__walk_blocks(first, device, NULL, desc, &sink, observer, method));
    }
    *c = (ar_quant_cost){.other_block = times.seconds[first->block_count - 1]};
    return AR_OK;
}

/* One whole window, whatever its stride. */
static ar_status measure_tuned(taken *t, const ar_model *first, ar_device *device, const ar_samples *few,
                               const ar__tune_desc *desc, ar__block_method method,
                               const ar_observer *observer) {
    ar__tune_desc d = *desc;
    ar_sink sink = {.block = hear, .ctx = &t->times};
    ar_chain chain = {.fd = -1};
    d.probe = &t->probe;
    d.window = (ar_window){t->window.count, t->window.count, t->window.ahead};
    d.block_limit = t->window.count;
    d.batch = t->split.batch;
    d.heldout = t->split.held;
    d.select = t->split.select;
    AR_TRY(ar_chain_init(&chain, (int64_t)few->count * few->T, first->hidden, NULL, 0));
    double start = ar__now_s();
    ar_status status = ar_chain_embed(&chain, first, few);
    t->embed = ar__now_s() - start;
    ar_chain_deinit(&chain);
    AR_TRY(status);
    for (int32_t i = 0; i < 2; i++) {
        t->times = (block_times){.tuned = t->window.count};
        t->probe = (ar__probe){.method = method,
                               .count = t->probe.count,
                               .is_timed = i == 1,
                               .goes_on = desc->window.stride < desc->window.blocks};
        AR_TRY(ar__walk_blocks(first, device, few, &d, &sink, observer, tune_probed));
    }
    return AR_OK;
}

/* Its own events and warnings are nobody's business but this one's. */
typedef struct quiet {
    const ar_observer *to;
} quiet;

static void tell_measure(void *ctx, const ar_progress_event *e) {
    const ar_observer *to = ((const quiet *)ctx)->to;
    if (to->progress && strcmp(e->stage, "measure") == 0) to->progress(to->ctx, e);
}

static bool ask_cancelled(void *ctx) {
    const ar_observer *to = ((const quiet *)ctx)->to;
    return to->cancelled && to->cancelled(to->ctx);
}

/* The model's first blocks: as many as a window takes, and one behind them. */
static void first_blocks(ar_model *m, ar_window_span *at, const ar__tune_desc *d) {
    ar_window whole = {d->window.blocks, d->window.blocks, d->window.ahead};
    ar_window_at(at, &whole, m->block_count, d->block_limit, 0);
    int32_t wanted = at->count + (at->ahead > 1 ? at->ahead : 1);
    if (m->block_count > wanted) m->block_count = wanted;
}

ar_status ar__measure(ar_quant_cost *cost, const ar_model *model, ar_device *device,
                      const ar_samples *samples, const ar__tune_desc *desc, ar__block_method method,
                      const ar_observer *observer) {
    quiet q = {observer};
    ar_observer own = {.progress = tell_measure, .cancelled = ask_cancelled, .ctx = &q};
    const ar_observer *o = observer ? &own : NULL;
    ar_model few_blocks = *model;
    ar_memory_stats memory;
    taken t = {.few = 0};
    ar__tune_desc d = *desc;
    if (d.window.blocks < 1) d.window = (ar_window){1, 1, 0};
    first_blocks(&few_blocks, &t.window, &d);
    if (method && samples) {
        ar_samples few = *samples;
        AR_TRY(ar__sample_split_make(&t.split, desc, samples->count));
        int32_t wanted = t.split.batch + (t.split.held > t.split.batch ? t.split.held : t.split.batch);
        if (few.count > wanted) few.count = wanted;
        t.few = few.count;
        t.probe.count = samples->count;
        AR_TRY(measure_tuned(&t, &few_blocks, device, &few, &d, method, o));
        add_up(cost, &t, model, samples, &d);
    } else {
        AR_TRY(measure_weights(cost, &few_blocks, device, desc, method, o));
    }
    ar_device_memory(device, &memory);
    cost->device_bytes = memory.high_water;
    return AR_OK;
}
