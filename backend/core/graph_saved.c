/* What a forward made and only its backward reads again stands in memory as fp16 in between, where the plan
 * says so (the way `saved`). Looked for in the finished record: behind a tensor's last use of its forward
 * save_half is put (before it where a result may lie over it: over.def), before its first use of the backward
 * load_half into another tensor, which the backward's kernels read. Lifetimes, and with them memory, follow
 * from that alone. A tensor stays as it is if any use does not allow for that: it is written again, kept,
 * read by a kernel or an operand that saved.def does not name, or by a forward that is recorded once more. */
#include "graph.h"
#include <stdlib.h>
#include <string.h>

#define LEAST_BYTES (64u << 10) /* smaller tensors are not worth two launches */
#define LEAST_GAP   4           /* nor is a gap of fewer */
#define TILE        32          /* blocks that save_half interleaves */

typedef struct saved {
    ar_tensor *half, *inverse, *wide;
    const ar_tensor *place; /* where it lies; NULL = in its own */
    int32_t phase;          /* in which it is written; -1: not yet */
    int32_t first, final;   /* uses, of any phase */
    int32_t from, last;     /* the launches of its last use then */
    int32_t again;          /* the first use later; -1: none */
    bool stays;
} saved;

bool ar__graph_saves(const ar_graph *g) { return g->device->plan.ways >> AR_W_saved & 1; }

/* ---- which tensors ---- */

static uint32_t readers_of(ar__kernel_id kernel) {
    switch (kernel) {
#define AR_SAVED(name, operands)                                                                             \
    case AR_K_##name:                                                                                        \
        return operands;
#include "saved.def"
#undef AR_SAVED
    default: return 0;
    }
}

static void see(saved *s, const ar__dispatch *d, int32_t operand, int32_t at) {
    if (s->phase < 0) s->phase = d->phase, s->first = at;
    s->final = at;
    if (d->phase == s->phase) {
        if (at == 0 || s->last != at - 1 || !ar__goes_on(d - 1, d)) s->from = at;
        s->last = at;
        return;
    }
    bool reads = ar__kernels[d->kernel].access[operand] == AR_RO;
    bool allows = readers_of(d->kernel) >> operand & 1;
    if (!reads || !allows || ar__is_forward(d->phase)) s->stays = true;
    if (s->again < 0) s->again = at;
}

static void find(saved *all, const ar_graph *g) {
    for (int32_t i = 0; i < g->tensor_count; i++) {
        const ar_tensor *t = g->tensors[i];
        all[i] = (saved){.phase = -1, .last = -1, .again = -1};
        all[i].stays = t->keep || t->dtype != AR_F32 || ar__tensor_bytes(t) < LEAST_BYTES ||
                       ar_tensor_count(t) % AR__SAVED_BLOCK != 0;
    }
    for (int32_t i = 0; i < g->dispatch_count; i++) {
        const ar__dispatch *d = &g->dispatches[i];
        for (int32_t j = 0; j < ar__kernels[d->kernel].binding_count; j++)
            if (d->operands[j].t->graph) see(&all[d->operands[j].t->id], d, j, i);
    }
    for (int32_t i = 0; i < g->tensor_count; i++) {
        saved *s = &all[i];
        s->stays = s->stays || !ar__is_forward(s->phase) || s->again < 0 || s->again - s->last <= LEAST_GAP;
    }
}

/* ---- the launches ---- */

static ar__split by_blocks(int64_t blocks, uint32_t split) {
    return (ar__split){.units = blocks, .split = split, .units_per_item = TILE, .items_per_unit = TILE};
}

static ar_status emit(ar_graph *g, ar__kernel_id kernel, const ar_tensor *a, const ar_tensor *b,
                      const ar_tensor *c, int64_t blocks) {
    uint32_t count = 0;
    ar__emit_desc d = {.kernel = kernel,
                       .specs = {g->device->plan.wg, 1},
                       .params = &count,
                       .operands = {{a, 0, 0}, {b, 0, 0}, {c, 0, 0}},
                       .bytes = (6.0 * AR__SAVED_BLOCK + 4) * (double)blocks};
    ar__split split = by_blocks(blocks, 7);
    return ar__emit_split(g, &d, &split);
}

ar_status ar__save_half(ar_graph *g, ar_tensor **half, ar_tensor **inverse, const ar_tensor *x) {
    int64_t blocks = ar_tensor_count(x) / AR__SAVED_BLOCK;
    AR_TRY(ar_graph_temp(g, half, AR_F16, 2, (int64_t[]){blocks, AR__SAVED_BLOCK}));
    AR_TRY(ar_graph_temp(g, inverse, AR_F32, 1, &blocks));
    return emit(g, AR_K_save_half, x, *half, *inverse, blocks);
}

ar_status ar__load_half(ar_graph *g, ar_tensor *x, const ar_tensor *half, const ar_tensor *inverse) {
    return emit(g, AR_K_load_half, half, inverse, x, half->dims[0]);
}

ar_status ar__gated_grad_saved(ar_graph *g, const ar_tensor *dgate, const ar_tensor *dy,
                               const ar__saved_pair *f, uint32_t kind) {
    int64_t blocks = f->half[0]->dims[0];
    uint32_t count = 0;
    ar__emit_desc d = {.kernel = AR_K_gated_grad_saved,
                       .specs = {g->device->plan.wg, 1, kind},
                       .params = &count,
                       .operands = {{f->half[0], 0, 0},
                                    {f->inverse[0], 0, 0},
                                    {f->half[1], 0, 0},
                                    {f->inverse[1], 0, 0},
                                    {dy, 0, 0},
                                    {dgate, 0, 0}},
                       .flops = 15.0 * AR__SAVED_BLOCK * (double)blocks,
                       .bytes = (16.0 * AR__SAVED_BLOCK + 8) * (double)blocks};
    ar__split split = by_blocks(blocks, 63);
    return ar__emit_split(g, &d, &split);
}

/* ---- the record anew ---- */

/* Whether gated_grad's launches [at, end) read for the last time what is saved of both factors, and dy, which
 * its second result can so lie over. */
static bool reads_halves(const saved *all, const ar__dispatch *old, int32_t at, int32_t end) {
    if (old[at].kernel != AR_K_gated_grad) return false;
    for (int32_t j = 0; j < 5; j++) {
        const ar_tensor *t = old[at].operands[j].t;
        if (!t->graph || t->keep || ar_tensor_count(t) % AR__SAVED_BLOCK != 0) return false;
        const saved *s = &all[t->id];
        bool is_half = !s->stays && s->half && !s->wide && s->again == at;
        if (j < 2 && !is_half) return false;
        if (j < 3 ? s->final >= end : s->first != at) return false;
    }
    return true;
}

static ar_status record_halves(ar_graph *g, saved *all, const ar__dispatch *d) {
    const saved *gate = &all[d->operands[0].t->id], *up = &all[d->operands[1].t->id];
    const saved *dy = &all[d->operands[2].t->id];
    const ar_tensor *place = dy->place ? dy->place : d->operands[2].t;
    ar__saved_pair f = {{gate->half, up->half}, {gate->inverse, up->inverse}};
    all[d->operands[4].t->id].place = place;
    return ar__gated_grad_saved(g, d->operands[3].t, place, &f, d->specs[2]);
}

/* Where what is used last by launches [from, last) of d's kernel is saved: before them if a result may lie
 * over it, else behind. */
static ar_status save(ar_graph *g, saved *all, const ar__dispatch *d, int32_t at, bool before) {
    for (int32_t j = 0; j < ar__kernels[d->kernel].binding_count; j++) {
        const ar_tensor *t = d->operands[j].t;
        saved *s = t->graph ? &all[t->id] : NULL;
        if (!s || s->stays || s->half || before != ar__graph_lies_over(d->kernel, j)) continue;
        if ((before ? s->from : s->last) != at) continue;
        AR_TRY(ar__save_half(g, &s->half, &s->inverse, t));
        g->stats.saved_bytes += ar__tensor_bytes(s->half) + ar__tensor_bytes(s->inverse);
    }
    return AR_OK;
}

/* One dispatch of the old record with what goes before and behind it. */
static ar_status record(ar_graph *g, saved *all, const ar__dispatch *old, int32_t at) {
    ar__dispatch d = *old;
    int32_t operands = ar__kernels[d.kernel].binding_count;
    for (int32_t j = 0; j < operands; j++) {
        const ar_tensor *t = old->operands[j].t;
        saved *s = t->graph ? &all[t->id] : NULL;
        if (s && s->place) d.operands[j].t = s->place;
        if (!s || s->stays || d.phase == s->phase) continue;
        if (s->again == at && !s->wide) {
            AR_TRY(ar_graph_temp(g, &s->wide, AR_F32, t->dim_count, t->dims));
            AR_TRY(ar__load_half(g, s->wide, s->half, s->inverse));
        }
        d.operands[j].t = s->wide;
    }
    AR_TRY(save(g, all, old, at, true));
    AR_TRY(ar__graph_append(g, &d));
    return save(g, all, old, at, false);
}

ar_status ar__graph_save(ar_graph *g) {
    if (!ar__graph_saves(g) || ar__is_forward(g->phase)) return AR_OK; /* nothing was walked backwards */
    ar_status status = AR_OK;
    ar__dispatch *old = g->dispatches;
    int32_t count = g->dispatch_count, capacity = g->dispatch_capacity;
    saved *all = ar__alloc((size_t)g->tensor_count, sizeof *all);
    if (!all) return AR_ERR_MEMORY;
    find(all, g);
    g->dispatches = NULL;
    g->dispatch_count = g->dispatch_capacity = 0;
    for (int32_t i = 0; i < count; i++) {
        int32_t end = i + 1;
        while (end < count && ar__goes_on(&old[i], &old[end])) end++;
        if (!reads_halves(all, old, i, end)) {
            AR_GO(record(g, all, &old[i], i));
            continue;
        }
        AR_GO(record_halves(g, all, &old[i]));
        i = end - 1;
    }
done:
    if (status != AR_OK) {
        ar__dispatch *unfinished = g->dispatches;
        g->dispatches = old, g->dispatch_count = count, g->dispatch_capacity = capacity;
        old = unfinished;
    }
    free(old);
    free(all);
    return status;
}
