/* The walk over a model's blocks that every block-by-block method shares: float chain, quantized chain, the
 * method's work on a window of blocks, delivery to the sink, resuming. Only the window's blocks are on the
 * device; what an overlapping window leaves for the next one waits on the host. */
#include "channels.h"
#include <stdlib.h>
#include <string.h>

/* Where a window left a block that the next one goes on with. */
typedef struct visit {
    ar_qlinear *list[AR_MAX_LINEARS]; /* owned; NULL = stays float */
    bool is_left;
} visit;

typedef struct walk {
    const ar_model *model;
    ar_device *device;
    const ar_samples *samples; /* NULL: no activations are needed */
    const ar__tune_desc *desc;
    const ar_sink *sink;
    const ar_observer *observer;
    ar__block_method method;
    ar_window window;
    int32_t window_count; /* that are tuned */
    int32_t start;        /* where windows overlap: those before this one were finished in an earlier run */
    visit *visits;        /* (block_count) */
    bool *asked, *known;  /* (block_count): the sink about a block, and what it said */
    double grown;         /* seconds of windows that delivered nothing */
    ar_chain x_float, x_quant,
        target;    /* inputs of the window's first block; the float chain behind its last */
    ar_chain next; /* the float chain where the next window begins, if inside this one */
    float *history;
    int32_t batch;
} walk;

static bool cancelled(const ar_observer *o) { return o && o->cancelled && o->cancelled(o->ctx); }

/* One block of a window: its weights, and what is done with every linear where it is tuned. */
typedef struct slot {
    const ar_block *block;
    ar_block_weights weights;
    bool skip[AR_MAX_LINEARS];        /* stays float */
    uint32_t taps_of[AR_MAX_LINEARS]; /* what is taken of its inputs */
    ar_scheme schemes[AR_MAX_LINEARS];
    ar__taps taps;
    ar_acts_block acts;
    ar__channels channels;
    ar_qlinear q[AR_MAX_LINEARS], *list[AR_MAX_LINEARS], *start[AR_MAX_LINEARS];
    bool loaded; /* list is the sink's, not q */
} slot;

/* A window at work. */
typedef struct span {
    ar_window_span at;
    int32_t index;
    bool finished; /* in an earlier run */
    slot *slots;   /* (count + ahead) */
} span;

/* Asked once: a damaged block is remarked. */
static bool is_finished(const walk *w, int32_t b) {
    if (!w->sink->finished) return false;
    if (!w->asked[b]) w->known[b] = w->sink->finished(w->sink->ctx, b);
    w->asked[b] = true;
    return w->known[b];
}

static bool span_at(const walk *w, ar_window_span *s, int32_t index) {
    bool more = ar_window_at(s, &w->window, w->model->block_count, w->desc->block_limit, index);
    s->is_tuned = s->is_tuned && w->method;
    return more;
}

static bool delivers_finished(const walk *w, const ar_window_span *s) {
    bool all = true;
    for (int32_t k = 0; k < s->done; k++) all = is_finished(w, s->first + k) && all;
    return all;
}

static bool overlaps(const walk *w) { return w->window.stride < w->window.blocks; }

static ar_status plan_slot(slot *t, const walk *w, const span *s, const ar_block *block) {
    const ar__tune_desc *d = w->desc;
    t->block = block;
    for (int32_t i = 0; i < block->linear_count; i++) {
        t->schemes[i] = d->scheme;
        t->skip[i] = d->choose && !d->choose(d->choose_ctx, block, i, &t->schemes[i]);
        if (!t->skip[i]) AR_TRY(ar_scheme_check(&t->schemes[i]));
        if (s->at.is_tuned && !s->finished && !t->skip[i])
            t->taps_of[i] = ar__taps_of(d->taps, d->searches ? NULL : &t->schemes[i]);
        if (ar__needs_ranges(&d->acts) && !t->skip[i] && !s->finished)
            t->taps_of[i] |= AR__TAP(span) | (d->acts_share > 0.0 ? AR__TAP(tails) : 0);
    }
    return AR_OK;
}

static ar_status init_slots(span *s, const walk *w) {
    int32_t total = s->at.count + s->at.ahead;
    s->slots = ar__alloc((size_t)total, sizeof *s->slots);
    if (!s->slots) return AR_ERR_MEMORY;
    for (int32_t k = 0; k < total; k++) {
        slot *t = &s->slots[k];
        const ar_block *block = &w->model->blocks[s->at.first + k];
        t->block = block;
        if (k >= s->at.count) {
            AR_TRY(ar_block_weights_init(&t->weights, block, w->device));
            continue;
        }
        AR_TRY(plan_slot(t, w, s, block));
        AR_TRY(ar__block_weights_init_checked(&t->weights, block, w->device, t->skip, t->schemes));
    }
    return AR_OK;
}

static void deinit_slots(span *s) {
    for (int32_t k = 0; s->slots && k < s->at.count + s->at.ahead; k++) {
        slot *t = &s->slots[k];
        ar__taps_deinit(&t->taps);
        ar_acts_block_deinit(&t->acts);
        ar__channels_deinit(&t->channels);
        ar_block_weights_deinit(&t->weights);
        for (int32_t i = 0; i < AR_MAX_LINEARS; i++) {
            if (t->loaded) ar_qlinear_free(t->list[i]);
            ar_qlinear_deinit(&t->q[i]);
            ar_qlinear_free(t->start[i]);
        }
    }
    free(s->slots);
    s->slots = NULL;
}

/* ---- the float chain ---- */

/* Moments from elsewhere in the place of those that were seen, or would have been. */
static ar_status take_moments(const walk *w, slot *t) {
    for (int32_t i = 0; w->desc->moments && i < t->block->linear_count; i++) {
        if (!(t->taps_of[i] & AR__TAP(importance))) continue;
        float *moments = ar__alloc((size_t)t->block->linears[i].I, sizeof *moments);
        if (!moments) return AR_ERR_MEMORY;
        ar_status status = w->desc->moments(w->desc->moments_ctx, moments, t->block, i);
        if (status == AR_OK) status = ar__importance_take(&t->taps, moments, i);
        free(moments);
        AR_TRY(status);
    }
    return AR_OK;
}

static ar_status moments_alone(const walk *w, slot *t) {
    AR_TRY(ar__taps_init(&t->taps, w->device, t->block, &t->weights.hook, t->taps_of));
    return take_moments(w, t);
}

/* out = block(in) on floats, and on the way what the method wants to see of it. */
static ar_status float_block(const walk *w, ar_chain *out, const ar_chain *in, slot *t) {
    AR_TRY(ar__taps_init(&t->taps, w->device, t->block, &t->weights.hook, t->taps_of));
    AR_TRY(ar_chain_forward(out, in, w->device, t->block, ar__taps_hook(&t->taps), w->samples->T, w->batch));
    AR_TRY(ar__taps_finish(&t->taps));
    return take_moments(w, t);
}

/* target = the float chain behind the window; next = where the next one begins, where that lies before. */
static ar_status float_chain(walk *w, span *s) {
    for (int32_t k = 0; !w->samples && w->desc->moments && k < s->at.count; k++)
        AR_TRY(moments_alone(w, &s->slots[k]));
    if (!w->samples) return AR_OK;
    int32_t total = s->at.count + s->at.ahead, done = s->at.done;
    if (done > 0 && done < total && !w->next.data)
        AR_TRY(ar_chain_init(&w->next, w->target.rows, w->target.width, w->desc->spill_dir,
                             w->desc->spill_above_bytes));
    for (int32_t k = 0; k < total; k++) {
        AR_TRY(float_block(w, &w->target, k ? &w->target : &w->x_float, &s->slots[k]));
        if (k + 1 == done && done < total)
            memcpy(w->next.data, w->target.data,
                   (size_t)w->target.rows * (size_t)w->target.width * sizeof(float));
    }
    return AR_OK;
}

/* ---- quantized inputs ---- */

static ar_status cut_range(float range[2], const ar_tensor *tails, double share) {
    if (!tails) return AR_OK;
    float *counts = ar__alloc(2 * AR_ACTS_BINS, sizeof *counts);
    if (!counts) return AR_ERR_MEMORY;
    ar_status status = ar_tensor_read(tails, counts, 0, 2 * AR_ACTS_BINS);
    if (status == AR_OK) ar_acts_cut(range, counts, share);
    free(counts);
    return status;
}

/* Grids of the ranges that were seen, or that come with a finished block. */
static ar_status input_grids(float grids[AR_MAX_LINEARS][2], const walk *w, const slot *t) {
    for (int32_t i = 0; i < t->block->linear_count; i++) {
        const ar_tensor *seen = ar__taps_at(&t->taps, AR__TAP_span, i);
        const ar_extra *known = t->loaded && t->list[i] ? ar_qlinear_extra(t->list[i], AR_ACTS_EXTRA) : NULL;
        float range[2];
        if (known) memcpy(grids[i], known->data, sizeof grids[i]);
        if (!seen) continue;
        AR_TRY(ar_tensor_read(seen, range, 0, 2));
        AR_TRY(cut_range(range, ar__taps_at(&t->taps, AR__TAP_tails, i), w->desc->acts_share));
        ar_acts_grid(grids[i], range, &w->desc->acts);
    }
    return AR_OK;
}

/* How the block's inputs are quantized from here on. */
static ar_status place_acts(const walk *w, slot *t) {
    ar_acts acts = {.scheme = w->desc->acts};
    if (acts.scheme.bits == 0) return AR_OK;
    if (acts.scheme.range == AR_ACTS_STATIC) AR_TRY(ar_acts_make_grids(&acts, t->block->index + 1));
    ar_status status = acts.grids ? input_grids(acts.grids[t->block->index], w, t) : AR_OK;
    if (status == AR_OK) status = ar_acts_block_init(&t->acts, &acts, t->block, t->skip, w->device);
    ar_acts_deinit(&acts);
    return status;
}

/* ---- scales between norms and linears ---- */

/* The block on its own, from the float chain, which then passes once more: for ranges, and to see that it is
 * what it was. */
static ar_status scale_block(walk *w, span *s, ar_block_report *report) {
    slot *t = &s->slots[0];
    int32_t blocks = w->model->block_count, limit = w->desc->block_limit > 0 ? w->desc->block_limit : blocks;
    ar__tuned_block tuned = {.weights = &t->weights, .skip = t->skip, .schemes = t->schemes};
    ar__tune_unit unit = {.tuned = &tuned,
                          .tuned_count = 1,
                          .input = &w->x_float,
                          .target = &w->target,
                          .block_count = blocks,
                          .window = s->index,
                          .window_count = limit < blocks ? limit : blocks,
                          .samples = w->samples};
    if (w->desc->scaling == AR__SCALING_NONE || s->at.first >= limit || !w->samples) return AR_OK;
    AR_TRY(ar__channels_learn(&t->channels, report, w->history, &unit, w->device, w->desc, w->observer));
    AR_TRY(ar__channels_fold(&t->channels, &t->weights));
    ar__taps_deinit(&t->taps);
    if (!w->next.data)
        AR_TRY(ar_chain_init(&w->next, w->target.rows, w->target.width, w->desc->spill_dir,
                             w->desc->spill_above_bytes));
    AR_TRY(float_block(w, &w->next, &w->x_float, t));
    return ar__channels_check(&w->target, &w->next, t->block);
}

/* What a static range is goes with the codes. */
static ar_status add_grids(slot *t) {
    for (int32_t i = 0; i < t->block->linear_count; i++) {
        float grid[2];
        if (!t->list[i] || !t->acts.grids[i]) continue;
        AR_TRY(ar_tensor_read(t->acts.grids[i], grid, 0, 2));
        grid[1] += 0.0f; /* no negative zero */
        AR_TRY(ar_qlinear_add_extra(t->list[i], AR_ACTS_EXTRA, AR_F32, 1, (const int64_t[]){2}, grid));
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

/* Codes to start from, where the method is given some. */
static ar_status load_start(const walk *w, slot *t) {
    char name[AR__WEIGHT_NAME];
    for (int32_t i = 0; w->desc->start && i < t->block->linear_count; i++) {
        if (t->skip[i]) continue;
        AR_TRY(w->desc->start(w->desc->start_ctx, &t->start[i], t->block, i));
        const ar_qlinear *q = t->start[i], *own = &t->q[i];
        const ar_scheme *a = &q->scheme, *b = &own->scheme;
        if (q->O == own->O && q->I == own->I && a->bits == b->bits && q->groups == own->groups &&
            a->zero == b->zero && a->super == b->super)
            continue;
        ar__weight_name(name, t->block, i);
        return ar__fail(AR_ERR_FORMAT,
                        "%s: found codes of %d bits in %lld groups to start from, expected %d "
                        "in %lld of the same kind",
                        name, (int)a->bits, (long long)q->groups, (int)b->bits, (long long)own->groups);
    }
    return AR_OK;
}

static ar_status run_method(walk *w, span *s, ar_block_report *report) {
    ar_status status = AR_OK;
    const ar_window_span *at = &s->at;
    const ar__probe *probe = w->desc->probe;
    ar__tuned_block *tuned = ar__alloc((size_t)at->count, sizeof *tuned);
    const ar_block_weights **frozen = ar__alloc((size_t)at->ahead + 1, sizeof *frozen);
    if (!tuned || !frozen) AR_GO(AR_ERR_MEMORY);
    for (int32_t k = 0; k < at->count; k++) {
        slot *t = &s->slots[k];
        const visit *v = &w->visits[at->first + k];
        tuned[k] = (ar__tuned_block){.weights = &t->weights,
                                     .skip = t->skip,
                                     .schemes = t->schemes,
                                     .taps = &t->taps,
                                     .acts = &t->acts,
                                     .q = t->q,
                                     .start = t->start,
                                     .before = v->is_left ? v->list : NULL,
                                     .goes_on = k >= at->done || (probe && probe->goes_on)};
    }
    for (int32_t k = 0; k < at->ahead; k++) frozen[k] = &s->slots[at->count + k].weights;
    ar__tune_unit unit = {.tuned = tuned,
                          .frozen = frozen,
                          .tuned_count = at->count,
                          .frozen_count = at->ahead,
                          .input = w->desc->no_quantized_input ? &w->x_float : &w->x_quant,
                          .target = &w->target,
                          .block_count = w->model->block_count,
                          .window = s->index,
                          .window_count = w->window_count,
                          .samples = w->samples,
                          .float_input = &w->x_float};
    report->window = *at;
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
    for (int32_t k = 0; k < s->at.count; k++) {
        slot *t = &s->slots[k];
        AR_TRY(init_results(t));
        AR_TRY(place_acts(w, t));
        if (s->at.is_tuned) AR_TRY(load_start(w, t));
        AR_TRY(s->at.is_tuned ? ar__check_scales(&t->weights, t->skip, t->schemes, w->device)
                              : ar__rtn_block(t->q, &t->weights, t->skip, w->device));
    }
    if (s->at.is_tuned) AR_TRY(run_method(w, s, report));
    for (int32_t k = 0; k < s->at.count; k++) AR_TRY(ar__results_check(s->slots[k].list, s->slots[k].block));
    for (int32_t k = 0; k < s->at.done; k++) AR_TRY(add_grids(&s->slots[k]));
    return w->desc->scaling == AR__SCALING_NONE
               ? AR_OK
               : ar__channels_deliver(&s->slots[0].channels, s->slots[0].list, s->slots[0].block);
}

/* ---- what overlapping windows leave ---- */

static void drop_visit(visit *v) {
    for (int32_t i = 0; i < AR_MAX_LINEARS; i++) ar_qlinear_free(v->list[i]);
    *v = (visit){.is_left = false};
}

/* The result of a block that is not delivered yet becomes where the next window begins. */
static ar_status keep_visit(walk *w, slot *t, int32_t index) {
    visit *v = &w->visits[t->block->index];
    drop_visit(v);
    for (int32_t i = 0; i < t->block->linear_count; i++) {
        if (!t->list[i]) continue;
        v->list[i] = ar__alloc(1, sizeof *v->list[i]);
        if (!v->list[i]) return AR_ERR_MEMORY;
        *v->list[i] = t->q[i];
        t->q[i] = (ar_qlinear){.codes = NULL};
        t->list[i] = NULL;
    }
    v->is_left = true;
    return w->sink->visited ? w->sink->visited(w->sink->ctx, index, t->block, v->list) : AR_OK;
}

/* *found: the state has all that window `index` goes on with. */
static ar_status load_visits(walk *w, bool *found, int32_t index) {
    ar_window_span s, before;
    *found = true;
    if (index == 0 || !span_at(w, &s, index) || !s.is_tuned) return AR_OK;
    span_at(w, &before, index - 1);
    for (int32_t b = s.first; *found && b < before.first + before.count; b++) {
        visit *v = &w->visits[b];
        *found = false;
        if (w->sink->revisit)
            AR_TRY(w->sink->revisit(w->sink->ctx, found, index - 1, &w->model->blocks[b], v->list));
        v->is_left = true;
    }
    for (int32_t b = s.first; !*found && b < before.first + before.count; b++) drop_visit(&w->visits[b]);
    return AR_OK;
}

/* The last window behind finished blocks for which the state has what it goes on with. */
static ar_status find_start(walk *w) {
    ar_window_span s;
    int32_t behind = 0;
    bool found = false;
    while (span_at(w, &s, w->start) && s.is_tuned && delivers_finished(w, &s)) {
        w->start++;
        behind += s.done;
    }
    for (; !found; w->start -= !found) AR_TRY(load_visits(w, &found, w->start));
    span_at(w, &s, w->start);
    if (s.first < behind && w->observer && w->observer->warn)
        w->observer->warn(w->observer->ctx, "the state lacks what overlapping windows go on with: blocks are "
                                            "tuned again from where it has that");
    return AR_OK;
}

/* ---- windows ---- */

/* Moves both chains past what the window delivers. */
static ar_status advance_chains(walk *w, span *s) {
    int32_t done = s->at.done;
    if (!w->samples || done == 0 || s->at.first + done >= w->model->block_count) return AR_OK;
    for (int32_t k = 0; k < done && !w->desc->no_quantized_input; k++) {
        slot *t = &s->slots[k];
        ar_acts_hook acts;
        AR_TRY(ar__results_place(&t->weights, t->list));
        AR_TRY(ar_chain_forward(&w->x_quant, &w->x_quant, w->device, t->block,
                                ar_acts_hook_init(&acts, &t->acts, &t->weights.hook), w->samples->T,
                                w->batch));
    }
    ar_chain swap = w->x_float, *behind = done < s->at.count + s->at.ahead ? &w->next : &w->target;
    w->x_float = *behind;
    *behind = swap;
    return AR_OK;
}

/* Each block has the window's losses, and its share of the time. */
static ar_status deliver(walk *w, span *s, ar_block_report *report, double seconds) {
    ar_memory_stats memory;
    ar_device_memory(w->device, &memory);
    report->device_bytes = memory.high_water;
    w->grown += seconds;
    for (int32_t k = s->at.done; k < s->at.count; k++) AR_TRY(keep_visit(w, &s->slots[k], s->index));
    for (int32_t k = 0; k < s->at.done; k++) {
        report->block = s->at.first + k;
        report->seconds = w->grown / s->at.done;
        AR_TRY(w->sink->block(w->sink->ctx, s->slots[k].block, s->slots[k].list, report));
        drop_visit(&w->visits[report->block]);
    }
    if (s->at.done > 0) w->grown = 0.0;
    return AR_OK;
}

static ar_status walk_finished(walk *w, int32_t block) {
    ar_status status = AR_OK;
    span s = {.at = {.first = block, .count = 1, .done = 1}, .finished = true};
    if (!w->samples) return AR_OK;
    AR_GO(init_slots(&s, w));
    AR_GO(float_chain(w, &s));
    s.slots[0].loaded = true;
    AR_GO(w->sink->load(w->sink->ctx, s.slots[0].block, s.slots[0].list));
    AR_GO(place_acts(w, &s.slots[0]));
    AR_GO(advance_chains(w, &s));
done:
    deinit_slots(&s);
    return status;
}

static ar_status walk_window(walk *w, const ar_window_span *at, int32_t index) {
    ar_status status = AR_OK;
    ar_block_report report = {.block = at->first};
    span s = {.at = *at, .index = index};
    double start = ar__now_s();
    if (overlaps(w) && at->is_tuned ? index < w->start : delivers_finished(w, at)) {
        for (int32_t k = 0; k < at->done; k++) AR_TRY(walk_finished(w, at->first + k));
        return AR_OK;
    }
    AR_GO(init_slots(&s, w));
    AR_GO(float_chain(w, &s));
    AR_GO(scale_block(w, &s, &report));
    AR_GO(quantize_span(w, &s, &report));
    AR_GO(advance_chains(w, &s));
    AR_GO(deliver(w, &s, &report, ar__now_s() - start));
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

static ar_status init_walk(walk *w) {
    ar_window_span s;
    size_t blocks = (size_t)w->model->block_count + 1;
    w->x_float.fd = w->x_quant.fd = w->target.fd = w->next.fd = -1;
    w->visits = ar__alloc(blocks, sizeof *w->visits);
    w->asked = ar__alloc(blocks, sizeof *w->asked);
    w->known = ar__alloc(blocks, sizeof *w->known);
    if (!w->visits || !w->asked || !w->known) return AR_ERR_MEMORY;
    if (w->desc->iters > 0 && !(w->history = ar__alloc((size_t)w->desc->iters, sizeof *w->history)))
        return AR_ERR_MEMORY;
    while (span_at(w, &s, w->window_count) && s.is_tuned) w->window_count++;
    if (overlaps(w)) AR_TRY(find_start(w));
    return w->samples ? init_chains(w) : AR_OK;
}

static void deinit_walk(walk *w) {
    ar_chain_deinit(&w->x_float);
    ar_chain_deinit(&w->x_quant);
    ar_chain_deinit(&w->target);
    ar_chain_deinit(&w->next);
    for (int32_t b = 0; w->visits && b < w->model->block_count; b++) drop_visit(&w->visits[b]);
    free(w->visits);
    free(w->asked);
    free(w->known);
    free(w->history);
}

static void tell_blocks(const walk *w, const ar_window_span *s) {
    const ar_observer *o = w->observer;
    int32_t blocks = w->model->block_count;
    for (int32_t k = 1; k <= s->done && o && o->progress; k++)
        o->progress(o->ctx,
                    &(ar_progress_event){.stage = "block", .block = s->first + k, .block_count = blocks});
}

ar_status ar__walk_blocks(const ar_model *model, ar_device *device, const ar_samples *samples,
                          const ar__tune_desc *desc, const ar_sink *sink, const ar_observer *observer,
                          ar__block_method method) {
    ar_status status = AR_OK;
    ar_window_span s;
    walk w = {.model = model,
              .device = device,
              .samples = samples,
              .desc = desc,
              .sink = sink,
              .observer = observer,
              .method = method,
              .window = desc->window.blocks > 0 ? desc->window : (ar_window){1, 1, 0},
              .batch = desc->batch > 0 ? desc->batch : 8};
    AR_TRY(ar__window_check(&w.window));
    AR_GO(init_walk(&w));
    for (int32_t i = 0; span_at(&w, &s, i); i++) {
        if (desc->block_limit > 0 && s.first >= desc->block_limit && !ar__needs_ranges(&desc->acts))
            w.samples = NULL; /* rounding needs no activations */
        if (cancelled(observer))
            AR_GO(ar__fail(AR_ERR_INTERRUPTED, "interrupted before block %d", (int)s.first));
        AR_GO(walk_window(&w, &s, i));
        tell_blocks(&w, &s);
    }
done:
    deinit_walk(&w);
    return status;
}
