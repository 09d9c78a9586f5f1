/* Memory and barriers of a recorded graph. Tensors whose lifetimes do not meet share memory: largest first,
 * each into the smallest gap that holds it among the tensors alive at the same time. */
#include "graph.h"
#include <stdlib.h>

typedef struct sized {
    uint64_t bytes;
    int32_t index;
} sized;

static int by_bytes_down(const void *a, const void *b) {
    const sized *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return x->index < y->index ? -1 : 1; /* stable: the plan is a pure function of the graph */
}

static int by_offset_up(const void *a, const void *b) {
    const ar__placement *x = *(const ar__placement *const *)a, *y = *(const ar__placement *const *)b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

/* The best offset for item among `placed` of one arena (sorted by offset, all alive with it). */
static bool find_gap(const ar__placement *item, ar__placement *const *placed, int32_t count,
                     uint64_t max_bytes, uint64_t *offset) {
    uint64_t end = 0, best = UINT64_MAX;
    for (int32_t i = 0; i < count; i++) {
        if (placed[i]->offset >= end + item->bytes && placed[i]->offset - end < best) {
            best = placed[i]->offset - end;
            *offset = end;
        }
        uint64_t past = placed[i]->offset + placed[i]->bytes;
        if (past > end) end = past;
    }
    if (best != UINT64_MAX) return true;
    *offset = end;
    return end + item->bytes <= max_bytes;
}

static ar_status place_one(ar__placement *items, const sized *order, int32_t at, ar__placement **alive,
                           uint64_t max_bytes, uint64_t *arena_bytes, int32_t *arena_count) {
    ar__placement *item = &items[order[at].index];
    if (item->bytes > max_bytes)
        return ar__fail(AR_ERR_DEVICE_MEMORY,
                        "graph: a tensor of %llu bytes, this device's buffers hold %llu",
                        (unsigned long long)item->bytes, (unsigned long long)max_bytes);
    for (int32_t arena = 0;; arena++) {
        int32_t count = 0;
        for (int32_t i = 0; i < at; i++) {
            ar__placement *other = &items[order[i].index];
            if (other->arena == arena && other->first <= item->last && item->first <= other->last)
                alive[count++] = other;
        }
        qsort(alive, (size_t)count, sizeof *alive, by_offset_up);
        if (!find_gap(item, alive, count, max_bytes, &item->offset)) continue;
        item->arena = arena;
        if (arena == *arena_count) arena_bytes[(*arena_count)++] = 0;
        if (item->offset + item->bytes > arena_bytes[arena]) arena_bytes[arena] = item->offset + item->bytes;
        return AR_OK;
    }
}

ar_status ar__place(ar__placement *items, int32_t count, uint64_t align, uint64_t max_bytes,
                    uint64_t *arena_bytes, int32_t *arena_count) {
    ar_status status = AR_OK;
    sized *order = ar__alloc((size_t)count, sizeof *order);
    ar__placement **alive = ar__alloc((size_t)count, sizeof *alive);
    *arena_count = 0;
    if (!order || !alive) {
        status = AR_ERR_MEMORY;
        goto done;
    }
    for (int32_t i = 0; i < count; i++) {
        items[i].bytes = (items[i].bytes + align - 1) / align * align;
        order[i] = (sized){items[i].bytes, i};
    }
    qsort(order, (size_t)count, sizeof *order, by_bytes_down);
    for (int32_t i = 0; i < count; i++)
        AR_GO(place_one(items, order, i, alive, max_bytes, arena_bytes, arena_count));
done:
    free(order);
    free(alive);
    return status;
}

/* First and last command of every graph tensor; a read of what nothing wrote is the caller's mistake. */
static ar_status find_lifetimes(ar_graph *g) {
    for (int32_t i = 0; i < g->dispatch_count; i++) {
        const ar__dispatch *d = &g->dispatches[i];
        const ar__kernel *k = &ar__kernels[d->kernel];
        for (int32_t pass = 0; pass < 2;
             pass++) /* reads first: what this dispatch writes it cannot have read */
            for (int32_t j = 0; j < k->binding_count; j++) {
                bool reads_only = k->access[j] == AR_RO;
                if (!d->operands[j].t->graph || reads_only != (pass == 0)) continue;
                ar_tensor *t = g->tensors[d->operands[j].t->id];
                if (reads_only && t->first < 0 && !t->keep)
                    return ar__fail(AR_ERR_ARG,
                                    "graph: dispatch %d (%s) reads operand %d, which nothing has written", i,
                                    k->name, j);
                if (t->first < 0) t->first = i;
                t->last = i;
            }
    }
    for (int32_t i = 0; i < g->tensor_count; i++) {
        ar_tensor *t = g->tensors[i];
        if (!t->keep) continue;
        t->first = 0; /* kept: nobody else's, before, during and after a run */
        t->last = INT32_MAX;
    }
    return AR_OK;
}

static bool keeps(const ar_graph *g) {
    for (int32_t i = 0; i < g->tensor_count; i++)
        if (g->tensors[i]->keep) return true;
    return false;
}

/* The smallest arena of the lender that is large enough and not borrowed yet, or none. */
static void borrow(ar_graph *g, ar__slice *arena, uint64_t bytes) {
    for (int32_t i = 0; i < g->lender->arena_count; i++) {
        const ar__slice *lent = &g->lender->arenas[i];
        bool is_taken = false;
        for (int32_t j = 0; j < g->arena_count; j++)
            if (g->arenas[j].buffer == lent->buffer && g->arenas[j].offset == lent->offset) is_taken = true;
        if (lent->bytes < bytes || is_taken || (arena->buffer && arena->bytes <= lent->bytes)) continue;
        *arena = (ar__slice){lent->buffer, lent->offset, lent->bytes, NULL};
    }
}

static ar_status allocate_arenas(ar_graph *g, const uint64_t *arena_bytes, int32_t arena_count) {
    bool borrows = g->lender && !keeps(g->lender) && !keeps(g);
    g->arenas = ar__alloc((size_t)arena_count, sizeof *g->arenas);
    if (!g->arenas) return AR_ERR_MEMORY;
    g->arena_count = arena_count;
    for (int32_t i = 0; i < arena_count; i++) {
        if (borrows) borrow(g, &g->arenas[i], arena_bytes[i]);
        if (g->arenas[i].buffer) continue;
        AR_TRY(ar__memory_alloc(g->device, &g->arenas[i], arena_bytes[i]));
        g->stats.temp_bytes += arena_bytes[i];
    }
    return AR_OK;
}

ar_status ar__graph_plan_memory(ar_graph *g) {
    ar_status status = AR_OK;
    size_t capacity = (size_t)g->tensor_count;
    ar__placement *items = ar__alloc(capacity, sizeof *items);
    int32_t *ids = ar__alloc(capacity, sizeof *ids), count = 0, arena_count = 0;
    uint64_t *arena_bytes = ar__alloc(capacity, sizeof *arena_bytes);
    if (!items || !ids || !arena_bytes) {
        status = AR_ERR_MEMORY;
        goto done;
    }
    AR_GO(find_lifetimes(g));
    for (int32_t i = 0; i < g->tensor_count; i++) {
        const ar_tensor *t = g->tensors[i];
        if (t->first < 0 || ar__tensor_bytes(t) == 0) continue;
        items[count] = (ar__placement){.bytes = ar__tensor_bytes(t), .first = t->first, .last = t->last};
        ids[count++] = i;
    }
    const ar_device *device = g->device;
    uint64_t align = device->plan.offset_align > 256 ? device->plan.offset_align : 256;
    uint64_t max_bytes = device->facts.max_buffer_bytes ? device->facts.max_buffer_bytes : UINT64_MAX / 2;
    AR_GO(ar__place(items, count, align, max_bytes / align * align, arena_bytes, &arena_count));
    AR_GO(allocate_arenas(g, arena_bytes, arena_count));
    for (int32_t i = 0; i < count; i++) {
        const ar__slice *arena = &g->arenas[items[i].arena];
        g->tensors[ids[i]]->slice =
            (ar__slice){arena->buffer, arena->offset + items[i].offset, items[i].bytes, NULL};
        AR_GO(ar__clear_padding(g->tensors[ids[i]]));
    }
done:
    free(items);
    free(ids);
    free(arena_bytes);
    return status;
}

/* ---- barriers ---- */

typedef struct touched {
    const ar__buffer *buffer;
    uint64_t from, to;
    bool writes;
} touched;

static bool conflicts(const touched *seen, int32_t count, const touched *now) {
    for (int32_t i = 0; i < count; i++)
        if (seen[i].buffer == now->buffer && (seen[i].writes || now->writes) && seen[i].from < now->to &&
            now->from < seen[i].to)
            return true;
    return false;
}

ar_status ar__graph_barriers(ar__command *commands, int32_t count, int32_t *barriers) {
    ar_status status = AR_OK;
    touched *seen = NULL;
    int32_t seen_count = 0, capacity = 0;
    *barriers = 0;
    for (int32_t i = 0; i < count; i++) {
        ar__command *c = &commands[i];
        touched now[AR_MAX_BINDINGS];
        c->barrier = i == 0; /* the previous replay or another graph may have used the same memory */
        for (int32_t j = 0; j < c->kernel->binding_count; j++) {
            const ar__binding *b = &c->bind[j];
            uint64_t end = b->offset + b->bytes + (c->kernel->texels >> j & 1 ? AR_TEXEL_MORE : 0);
            now[j] = (touched){b->buffer, b->offset, end, (c->kernel->access[j] & AR_WO) != 0};
            c->barrier = c->barrier || conflicts(seen, seen_count, &now[j]);
        }
        if (c->barrier) {
            seen_count = 0;
            ++*barriers;
        }
        for (int32_t j = 0; j < c->kernel->binding_count; j++) {
            AR_GO(ar__graph_grow((void **)&seen, &capacity, seen_count, sizeof *seen));
            seen[seen_count++] = now[j];
        }
    }
done:
    free(seen);
    return status;
}
