/* What quantizing a model takes; see cost.h. */
#include "cost.h"
#include "ar_error.h"
#include "calib_cost.h"
#include "formats.h"
#include "memory.h"
#include "output.h"
#include "part.h"
#include <stdlib.h>
#include <string.h>

#define SPILL_BYTES  ((uint64_t)4 << 30) /* where ar_quant_desc says nothing else */
#define HASH_PROBE   ((size_t)1 << 20)
#define HASH_SECONDS 0.05
#define WRITING      ((uint64_t)10 << 20) /* bytes of memory that a writer takes */
#define SYNC         0.02                 /* seconds of a file's way to the disk, beside its bytes */
#define DISK_RATE    3e8                  /* bytes a second */
/* Storing and comparing a value takes as long as hashing so many bytes. */
#define BYTES_A_VALUE 25.0

typedef struct costing {
    ar__job_cost *cost;
    const ar_job *job;
    const ar_observer *to;
    uint64_t most; /* ar__host_memory */
    double byte;   /* seconds to hash one */
} costing;

static void look_at_memory(void *ctx, const ar_progress_event *e) {
    costing *c = ctx;
    uint64_t now = ar__host_memory();
    (void)e;
    if (now > c->most) c->most = now;
}

static bool ask_cancelled(void *ctx) {
    const ar_observer *to = ((const costing *)ctx)->to;
    return to && to->cancelled && to->cancelled(to->ctx);
}

static ar_status time_hash(costing *c) {
    uint8_t *data = ar__alloc(HASH_PROBE, 1);
    if (!data) return AR_ERR_MEMORY;
    memset(data, 1, HASH_PROBE);
    double start = ar__now_s(), took = 0.0, bytes = 0.0;
    volatile uint64_t hash = 1;
    for (; took < HASH_SECONDS; took = ar__now_s() - start) {
        hash = ar_hash64(hash, data, HASH_PROBE);
        bytes += (double)HASH_PROBE;
    }
    c->byte = took / bytes;
    free(data);
    return AR_OK;
}

/* ---- samples ---- */

/* Ids for the measuring where the samples are still to be drawn: any will do. */
static ar_status make_ids(ar_samples *made, const ar_job *job) {
    const ar_samples *s = job->samples;
    *made = *s;
    if (s->ids) return AR_OK;
    made->ids = ar__alloc((size_t)s->count * (size_t)s->T, sizeof *made->ids);
    if (!made->ids) return AR_ERR_MEMORY;
    for (int64_t i = 0; i < (int64_t)s->count * s->T; i++)
        made->ids[i] = (int32_t)(ar_random_unit(1, 2, (uint64_t)i) * (double)job->src->model->model.vocab);
    return AR_OK;
}

static uint64_t chain_bytes(const ar_job *job) {
    const ar_samples *s = job->samples;
    return s ? 4 * (uint64_t)s->count * (uint64_t)s->T * (uint64_t)job->src->model->model.hidden : 0;
}

/* What both models give before a window, the float one behind it, and before the next if that lies within. */
static uint64_t chain_count(const ar_window *w) { return w->ahead > 0 || w->stride < w->blocks ? 4 : 3; }

/* Blocks that a later window goes on with, at most. */
static uint64_t visited_blocks(const ar_quant_cost *q) {
    int32_t left = q->window.blocks - q->window.stride;
    return (uint64_t)(left < q->tuned_blocks ? left : q->tuned_blocks);
}

static bool spills(const ar_job *job) {
    uint64_t above = job->desc->spill_above_bytes ? job->desc->spill_above_bytes : SPILL_BYTES;
    return job->desc->spill_dir && chain_bytes(job) > above;
}

/* Values tuned behind the last block, which are kept beside its state. */
static bool finishes(const ar_job *job) {
    return job->samples && ar_method_options_get(job->src->options, "finish") > 0.0;
}

/* ---- memory ---- */

static bool shares_memory(const ar_device *device) {
    return ar_device_get_facts(device)->kind == AR_DEVICE_CPU;
}

/* What was measured had a few samples on the host, and on the device room for all. */
static void add_memory(costing *c, uint64_t few_rows, uint64_t calib_most, uint64_t cache_bytes) {
    ar__job_cost *cost = c->cost;
    const ar_job *job = c->job;
    cost->host_holds_device = shares_memory(job->device);
    cost->device_bytes = cost->quant.device_bytes;
    if (!c->most) return; /* the system does not say */
    uint64_t width = 4 * (uint64_t)job->src->model->model.hidden;
    uint64_t more = chain_bytes(job) > few_rows * width ? chain_bytes(job) - few_rows * width : 0;
    cost->host_bytes = c->most + (spills(job) ? 0 : chain_count(&cost->quant.window) * more);
    cost->host_bytes += visited_blocks(&cost->quant) * cost->quant.visit_bytes;
    if (cost->host_holds_device) calib_most += cache_bytes;
    if (calib_most > cost->host_bytes) cost->host_bytes = calib_most;
}

/* ---- disk ---- */

/* The state of a block as it lies in OUT.part: a byte for every code, scales and zero points, losses. */
static uint64_t state_bytes(const ar_job *job, const ar_block *block, int32_t steps) {
    uint64_t sum = 4 * (uint64_t)steps + 1024;
    for (int32_t i = 0; i < block->linear_count; i++) {
        const ar_linear *lin = &block->linears[i];
        ar_scheme s = job->desc->scheme;
        if (job->desc->choose && !job->desc->choose(job->desc->choose_ctx, block, i, &s)) continue;
        uint64_t groups = (uint64_t)(lin->O * ar_scheme_groups(&s, lin->I));
        sum += (uint64_t)(lin->O * lin->I) + groups * (s.super != AR_SUPER_NONE ? 2 : 3);
        if (s.zero == AR_ZERO_F16MIN && s.super == AR_SUPER_NONE) sum += 2 * groups;
    }
    return sum;
}

static ar_status add_disk(costing *c) {
    const ar_job *job = c->job;
    const ar_model *m = &job->src->model->model;
    const ar_quant_cost *q = &c->cost->quant;
    uint64_t spilled = spills(job) ? chain_count(&q->window) * chain_bytes(job) : 0;
    uint64_t state = 2 * visited_blocks(q) * q->visit_bytes, files = 0; /* of two windows at a time */
    double values = 0.0, seconds;
    for (int32_t b = 0; b < m->block_count; b++)
        state +=
            (finishes(job) ? 2 : 1) * state_bytes(job, &m->blocks[b], b < q->tuned_blocks ? q->steps : 0);
    for (int32_t i = 0; i < job->src->plan->format_count; i++) {
        const ar_format *f = ar_format_find(job->src->plan->formats[i]);
        ar_output_size size;
        AR_TRY(ar__output_size(&size, job->src, i));
        c->cost->file_bytes[i] = size.bytes;
        files += size.bytes;
        values += (double)size.values;
        if (!f->rounding) continue;
        AR_TRY(f->rounding(&seconds, job->src));
        c->cost->write += seconds;
    }
    c->cost->write += values * BYTES_A_VALUE * c->byte + (double)files / DISK_RATE + SYNC;
    c->cost->disk_bytes = state + (files > spilled ? files : spilled);
    return AR_OK;
}

/* ---- time ---- */

static bool is_finished(const ar_job *job, int32_t b) { return job->finished && job->finished(job->ctx, b); }

/* The model's files are hashed before the first block. */
static double hash_seconds(const costing *c) {
    const ar_weights *w = &c->job->src->model->weights;
    double bytes = 0.0;
    for (int64_t i = 0; i < w->vtable->count(w->impl); i++)
        bytes += (double)w->vtable->at(w->impl, i)->file_bytes;
    return bytes * c->byte;
}

/* Seconds to keep a block. */
static double disk_seconds(const costing *c, int32_t block, int32_t steps) {
    double bytes = (double)state_bytes(c->job, &c->job->src->model->model.blocks[block], steps);
    return SYNC + bytes * (c->byte + 1 / DISK_RATE);
}

/* Of one window; it moves until of the blocks that it delivers. */
static double window_seconds(costing *c, const ar_window_span *s, double at) {
    ar__job_cost *cost = c->cost;
    const ar_quant_cost *q = &cost->quant;
    double lead, step, tuned, other = s->is_tuned ? q->walked_block : 0.0;
    bool finished = is_finished(c->job, s->first); /* a window that delivers nothing too */
    ar_quant_cost_window(&lead, &step, &tuned, q, s);
    for (int32_t k = 1; k < s->done; k++) finished = is_finished(c->job, s->first + k) && finished;
    double seconds = finished ? other * s->done : s->is_tuned ? tuned : q->other_block;
    for (int32_t k = 0; k < s->done && !finished; k++)
        seconds += disk_seconds(c, s->first + k, s->is_tuned ? q->steps : 0);
    for (int32_t k = 0; k < s->done; k++) cost->until[s->first + k + 1] = at + seconds;
    cost->finished += finished ? s->done : 0;
    return seconds;
}

static void add_finish(costing *c) {
    const ar_job *job = c->job;
    const ar_method_options *o = job->src->options;
    int32_t own = (int32_t)ar_method_options_get(o, "finish_samples");
    double flops;
    if (!finishes(job)) return;
    const ar_samples samples = {.count = own > 0 ? own : job->samples->count, .T = job->samples->T};
    ar_finish_cost(&flops, &c->cost->finish, &c->cost->quant, &job->src->model->model, &samples,
                   (int32_t)ar_method_options_get(o, "finish_iters"), o->method->scales);
    c->cost->flops += flops;
}

static ar_status add_time(costing *c) {
    ar__job_cost *cost = c->cost;
    const ar_quant_cost *q = &cost->quant;
    const ar_model *m = &c->job->src->model->model;
    double at = cost->calibrate + hash_seconds(c) + q->start;
    ar_window_span s;
    cost->block_count = m->block_count;
    cost->until = ar__alloc((size_t)m->block_count + 1, sizeof *cost->until);
    cost->window_from = ar__alloc(2 * (size_t)m->block_count + 1, sizeof *cost->window_from);
    if (!cost->until || !cost->window_from) return AR_ERR_MEMORY;
    cost->until[0] = at;
    for (int32_t i = 0; ar_window_at(&s, &q->window, m->block_count, q->tuned_blocks, i); i++) {
        s.is_tuned = q->tuned_blocks > 0 && s.is_tuned;
        cost->window_from[i] = at;
        cost->window_count += s.is_tuned;
        at += window_seconds(c, &s, at);
    }
    add_finish(c);
    cost->seconds = at + cost->finish + cost->write;
    return AR_OK;
}

/* ---- all of it ---- */

/* Drawing the samples comes first, since its memory is given back before the tuning. */
static ar_status measure_calibration(costing *c, uint64_t *most, uint64_t *cache_bytes,
                                     const ar_observer *own) {
    const ar_samples *s = c->job->samples;
    ar__calib_cost drawn;
    if (!s || s->ids) return AR_OK;
    AR_TRY(ar__calib_measure(&drawn, c->job->src->model, c->job->device, s->count, s->T, own));
    c->cost->calibrate = drawn.seconds;
    c->cost->flops = drawn.flops;
    *cache_bytes = drawn.cache_bytes;
    *most = c->most;
    c->most = 0;
    return AR_OK;
}

ar_status ar__job_cost_make(ar__job_cost *cost, const ar_job *job, const ar_observer *observer) {
    ar_status status;
    costing c = {.cost = cost, .job = job, .to = observer};
    ar_observer own = {.progress = look_at_memory, .cancelled = ask_cancelled, .ctx = &c};
    const ar_model *m = &job->src->model->model;
    const ar_method *method = job->src->options->method;
    ar_quant_desc desc = *job->desc;
    ar_samples samples = {0};
    uint64_t calib_most = 0, cache_bytes = 0;
    *cost = (ar__job_cost){0};
    AR_GO(time_hash(&c));
    AR_GO(measure_calibration(&c, &calib_most, &cache_bytes, &own));
    if (job->samples) AR_GO(make_ids(&samples, job));
    desc.spill_dir = NULL; /* few samples spill nothing */
    AR_GO(method->measure(&cost->quant, m, job->device, job->samples ? &samples : NULL, &desc, &own));
    look_at_memory(&c, NULL);
    cost->flops += cost->quant.flops;
    add_memory(&c, (uint64_t)cost->quant.measured * (uint64_t)samples.T, calib_most, cache_bytes);
    AR_GO(add_disk(&c));
    AR_GO(add_time(&c));
    if (c.most && ar__host_memory() + WRITING > cost->host_bytes)
        cost->host_bytes = ar__host_memory() + WRITING;
done:
    if (job->samples && !job->samples->ids) free(samples.ids);
    return status;
}

void ar__job_cost_deinit(ar__job_cost *cost) {
    free(cost->until);
    free(cost->window_from);
    *cost = (ar__job_cost){0};
}
