/* Results in the place of what is read for the last time where they are made. Looked for in the finished
 * record, where last uses are known; over.def names the kernels that have such a form. Later dispatches are
 * bound to the operand's tensor, which so lives on under the result's lifetime, and the result's own takes no
 * memory. Likewise a gradient that passes through an addition: it is copied only where one of the two changes
 * while the other is still read. */
#include "graph.h"
#include <stdlib.h>
#include <string.h>

/* Uses of a tensor. */
typedef struct over {
    int32_t first, last; /* uses; -1: none */
} over;

typedef struct form {
    ar__kernel_id kernel;
    int32_t results; /* 0: none */
} form;

static form form_of(ar__kernel_id kernel) {
    switch (kernel) {
#define AR_OVER(name, form_name, results)                                                                    \
    case AR_K_##name:                                                                                        \
        return (form){AR_K_##form_name, results};
#include "over.def"
#undef AR_OVER
    default: return (form){kernel, 0};
    }
}

bool ar__graph_lies_over(ar__kernel_id kernel, int32_t operand) { return operand < form_of(kernel).results; }

static void find_uses(over *all, const ar_graph *g) {
    for (int32_t i = 0; i < g->tensor_count; i++) all[i] = (over){-1, -1};
    for (int32_t i = 0; i < g->dispatch_count; i++) {
        const ar__dispatch *d = &g->dispatches[i];
        for (int32_t j = 0; j < ar__kernels[d->kernel].binding_count; j++) {
            if (!d->operands[j].t->graph) continue;
            over *o = &all[d->operands[j].t->id];
            if (o->first < 0) o->first = i;
            o->last = i;
        }
    }
}

/* The end of the launches that one op's dispatch `from` was cut into. */
static int32_t end_of(const ar_graph *g, int32_t from) {
    int32_t end = from + 1;
    while (end < g->dispatch_count && ar__goes_on(&g->dispatches[from], &g->dispatches[end])) end++;
    return end;
}

/* Whether result `out` of launches [from, end) may lie over operand `in`. */
static bool may(const ar_graph *g, const over *all, int32_t from, int32_t end, int32_t in, int32_t out) {
    const ar_tensor *read = g->dispatches[from].operands[in].t, *made = g->dispatches[from].operands[out].t;
    if (!read->graph || !made->graph || read->keep || made->keep || read->dtype != made->dtype) return false;
    if (all[read->id].last >= end || all[made->id].first != from) return false;
    for (int32_t i = from; i < end; i++) {
        const ar__operand *o = g->dispatches[i].operands;
        if (o[in].offset != o[out].offset || o[in].bytes != o[out].bytes) return false;
    }
    return ar__tensor_bytes(read) == ar__tensor_bytes(made);
}

/* `place` is bound where `made` was. */
static void bind_one(ar__dispatch *d, const ar_tensor *made, const ar_tensor *place) {
    for (int32_t j = 0; j < ar__kernels[d->kernel].binding_count; j++)
        if (d->operands[j].t == made) d->operands[j].t = place;
}

/* ---- copies ---- */

/* Uses of a tensor from some launch on: the last one and the first that writes; -1, INT32_MAX: none. */
typedef struct later {
    int32_t last, written;
} later;

static later later_of(const ar_graph *g, const ar_tensor *t, int32_t from) {
    later l = {-1, INT32_MAX};
    for (int32_t i = from; i < g->dispatch_count; i++) {
        const ar__dispatch *d = &g->dispatches[i];
        for (int32_t j = 0; j < ar__kernels[d->kernel].binding_count; j++) {
            if (d->operands[j].t != t) continue;
            l.last = i;
            if (ar__kernels[d->kernel].access[j] != AR_RO && l.written == INT32_MAX) l.written = i;
        }
    }
    return l;
}

/* Whether the launches of a copy that `from` begins are not needed, as one tensor can be both; it is then. */
static bool joins(ar_graph *g, int32_t from, int32_t end) {
    const ar_tensor *x = g->dispatches[from].operands[0].t, *y = g->dispatches[from].operands[1].t;
    if (!x->graph || !y->graph || x->keep || y->keep || ar__tensor_bytes(x) != ar__tensor_bytes(y))
        return false;
    uint64_t copied = 0;
    for (int32_t i = from; i < end; i++) {
        const ar__operand *o = g->dispatches[i].operands;
        if (o[0].offset != copied || o[1].offset != copied || o[0].bytes != o[1].bytes) return false;
        copied += o[0].bytes;
    }
    if (copied != ar__tensor_bytes(x)) return false;
    for (int32_t i = 0; i < from; i++)
        for (int32_t j = 0; j < ar__kernels[g->dispatches[i].kernel].binding_count; j++)
            if (g->dispatches[i].operands[j].t == y) return false; /* it is added to */
    later of_x = later_of(g, x, end), of_y = later_of(g, y, end);
    if (of_x.last >= of_y.written || of_y.last >= of_x.written) return false;
    for (int32_t i = end; i < g->dispatch_count; i++) bind_one(&g->dispatches[i], y, x);
    return true;
}

static void drop_copies(ar_graph *g) {
    for (int32_t i = 0; i < g->dispatch_count;) {
        int32_t end = g->dispatches[i].kernel == AR_K_add_to ? end_of(g, i) : i;
        if (end == i || !joins(g, i, end)) {
            i++;
            continue;
        }
        memmove(&g->dispatches[i], &g->dispatches[end],
                (size_t)(g->dispatch_count - end) * sizeof *g->dispatches);
        g->dispatch_count -= end - i;
    }
}

/* ---- forms in place ---- */

/* Launches that `from` begins take the form in place, if all results may lie over what they read. */
static void put_over(ar_graph *g, over *all, int32_t from) {
    int32_t end = end_of(g, from), operands = ar__kernels[g->dispatches[from].kernel].binding_count;
    form f = form_of(g->dispatches[from].kernel);
    for (int32_t k = 0; k < f.results; k++)
        if (!may(g, all, from, end, k, operands - f.results + k)) return;
    for (int32_t i = from; i < end; i++) g->dispatches[i].kernel = f.kernel;
    for (int32_t k = 0; k < f.results; k++) {
        const ar__operand *o = g->dispatches[from].operands;
        const ar_tensor *place = o[k].t, *made = o[operands - f.results + k].t;
        all[place->id].last = all[made->id].last;
        for (int32_t i = end; i < g->dispatch_count; i++) bind_one(&g->dispatches[i], made, place);
    }
}

ar_status ar__graph_over(ar_graph *g) {
    if (g->tensor_count == 0) return AR_OK;
    over *all = ar__alloc((size_t)g->tensor_count, sizeof *all);
    if (!all) return AR_ERR_MEMORY;
    drop_copies(g);
    find_uses(all, g);
    for (int32_t i = 0; i < g->dispatch_count; i++)
        if (form_of(g->dispatches[i].kernel).results > 0) put_over(g, all, i);
    free(all);
    return AR_OK;
}
