/* What a forward made cheaply of what is there anyway is made once more for the backward instead of being
 * kept in between, with the same bits. Looked for in the finished record: where remake.def names the kernel
 * that wrote a tensor, its launches are put before the tensor's first use of the backward once more, or
 * before what they read is written if that is earlier, into another tensor, which the backward's kernels are
 * bound to; what they read that is gone by then is made once more too, if it can be. All of it takes at most
 * a fiftieth of the record's time. Tensors that are kept, written in parts or again, or read by a forward
 * that is recorded once more stay. */
#include "graph.h"
#include <stdlib.h>

#define LEAST_BYTES (256u << 10) /* smaller tensors are not worth a launch */
#define LEAST_GAP   4            /* nor is a gap of fewer */
#define DEPTH       3            /* of what is made of what is made */
#define SHARE       50           /* of the record's time, one part */

typedef struct made {
    int32_t first, last; /* launches that write it */
    int32_t phase;       /* in which; -1: not yet */
    int32_t seen;        /* its last use there */
    int32_t again, used; /* where it is to be made: its first use in a backward; its last use; -1: none */
    bool odd, stays;     /* nobody can make it; it is not worth it or must not */
    ar_tensor *copy;
} made;

typedef struct remaker {
    ar_graph *g;
    const ar__dispatch *old; /* the record before */
    int32_t count;
    made *all;
    int32_t *chosen, chosen_count; /* tensors that are made once more */
} remaker;

static int32_t result_of(ar__kernel_id kernel) {
    switch (kernel) {
#define AR_REMAKE(name, result)                                                                              \
    case AR_K_##name:                                                                                        \
        return result;
#include "remake.def"
#undef AR_REMAKE
    default: return -1;
    }
}

static bool writes(const ar__dispatch *d, int32_t operand) {
    return ar__kernels[d->kernel].access[operand] != AR_RO;
}

static int32_t operands_of(const ar__dispatch *d) { return ar__kernels[d->kernel].binding_count; }

/* ---- which tensors ---- */

static void see(remaker *r, int32_t i, int32_t operand) {
    const ar__dispatch *d = &r->old[i];
    made *m = &r->all[d->operands[operand].t->id];
    m->used = i;
    if (!writes(d, operand)) {
        if (d->phase == m->phase) m->seen = i;
        if (m->phase < 0 || d->phase == m->phase) return;
        if (ar__is_forward(d->phase)) m->stays = true;
        if (m->again < 0) m->again = i;
        return;
    }
    bool is_next = m->phase >= 0 && m->last == i - 1 && ar__goes_on(&r->old[m->first], d);
    if (result_of(d->kernel) != operand || (m->phase >= 0 && !is_next)) m->odd = true;
    if (m->phase < 0) m->phase = d->phase, m->first = i;
    m->last = m->seen = i;
}

/* The first launch from `from` on that writes t, at most `to`. */
static int32_t next_write(const remaker *r, const ar_tensor *t, int32_t from, int32_t to) {
    for (int32_t i = from; i < to; i++)
        for (int32_t j = 0; j < operands_of(&r->old[i]); j++)
            if (r->old[i].operands[j].t == t && writes(&r->old[i], j)) return i;
    return to;
}

/* The last place before `again` where what m's launches read is what it was. */
static int32_t last_place(const remaker *r, const made *m) {
    int32_t at = m->again;
    for (int32_t j = 0; j < operands_of(&r->old[m->first]); j++)
        if (!writes(&r->old[m->first], j))
            at = next_write(r, r->old[m->first].operands[j].t, m->last + 1, at);
    return at;
}

/* What is read of t's is there before launch `at` as it was: u itself. */
static bool is_there(const remaker *r, const ar_tensor *u, const ar_tensor *t, int32_t at) {
    if (!u->graph) return true;
    const made *m = &r->all[u->id];
    return m->stays && (m->used >= at || ar__tensor_bytes(u) * 4 <= ar__tensor_bytes(t));
}

/* Whether t can be made once more before launch `at`. */
static bool can_make(const remaker *r, const ar_tensor *t, int32_t at, int32_t depth) {
    const made *m = &r->all[t->id];
    if (m->odd || m->phase < 0 || depth == 0) return false;
    for (int32_t i = m->first; i <= m->last; i++)
        for (int32_t j = 0; j < operands_of(&r->old[i]); j++) {
            const ar_tensor *u = r->old[i].operands[j].t;
            if (writes(&r->old[i], j)) continue;
            if (next_write(r, u, m->first, at) < at) return false;
            if (!is_there(r, u, t, at) && (u->id >= t->id || !can_make(r, u, at, depth - 1))) return false;
        }
    return true;
}

static double ms_of(const remaker *r, int32_t from, int32_t to) {
    double ms = 0;
    for (int32_t i = from; i < to; i++)
        ms += ar__estimate_ms(&r->g->device->plan, r->old[i].flops, r->old[i].bytes);
    return ms;
}

/* Those that stay not are chosen. */
static void choose(remaker *r) {
    const ar_graph *g = r->g;
    double left = ms_of(r, 0, r->count) / SHARE;
    for (int32_t i = 0; i < g->tensor_count; i++)
        r->all[i] = (made){.phase = -1, .again = -1, .used = -1, .odd = g->tensors[i]->keep};
    for (int32_t i = 0; i < r->count; i++)
        for (int32_t j = 0; j < operands_of(&r->old[i]); j++)
            if (r->old[i].operands[j].t->graph) see(r, i, j);
    for (int32_t i = 0; i < g->tensor_count; i++) {
        made *m = &r->all[i];
        m->stays = m->stays || m->odd || m->again < 0 || !ar__is_forward(m->phase) ||
                   ar__tensor_bytes(g->tensors[i]) < LEAST_BYTES;
        if (m->stays) continue;
        double ms = ms_of(r, m->first, m->last + 1);
        m->again = last_place(r, m);
        m->stays = ms > left || m->again - m->seen <= LEAST_GAP || ar__is_forward(r->old[m->again].phase) ||
                   !can_make(r, g->tensors[i], m->again, DEPTH);
        if (m->stays) continue;
        left -= ms;
        r->chosen[r->chosen_count++] = i;
    }
}

/* ---- the record anew ---- */

/* t's launches once more, into *copy. */
static ar_status make(remaker *r, ar_tensor **copy, const ar_tensor *t, int32_t at) {
    ar_graph *g = r->g;
    const made *m = &r->all[t->id];
    ar_tensor *to[AR_MAX_BINDINGS] = {NULL};
    for (int32_t i = m->first; i <= m->last; i++) {
        ar__dispatch d = r->old[i];
        d.phase = r->old[at].phase;
        for (int32_t j = 0; j < operands_of(&d); j++) {
            const ar_tensor *u = d.operands[j].t;
            if (writes(&d, j)) {
                if (!to[j]) AR_TRY(ar_graph_temp(g, &to[j], u->dtype, u->dim_count, u->dims));
                if (u == t) *copy = to[j];
            } else if (!is_there(r, u, t, at) && !to[j]) {
                made *in = &r->all[u->id];
                to[j] = in->stays ? NULL : in->copy;
                if (!to[j]) AR_TRY(make(r, &to[j], u, at));
                if (!in->stays) in->copy = to[j];
            }
            if (to[j]) d.operands[j].t = to[j];
        }
        AR_TRY(ar__graph_append(g, &d));
    }
    return AR_OK;
}

static ar_status record(remaker *r, int32_t at) {
    ar__dispatch d = r->old[at];
    for (int32_t i = 0; i < r->chosen_count; i++) {
        made *m = &r->all[r->chosen[i]];
        if (m->again == at && !m->copy) AR_TRY(make(r, &m->copy, r->g->tensors[r->chosen[i]], at));
    }
    for (int32_t j = 0; j < operands_of(&d); j++) {
        const ar_tensor *t = d.operands[j].t;
        made *m = t->graph ? &r->all[t->id] : NULL;
        if (!m || m->stays || d.phase == m->phase) continue;
        d.operands[j].t = m->copy;
    }
    return ar__graph_append(r->g, &d);
}

ar_status ar__graph_remake(ar_graph *g) {
    if (ar__is_forward(g->phase)) return AR_OK; /* nothing was walked backwards */
    ar_status status = AR_OK;
    ar__dispatch *old = g->dispatches;
    int32_t count = g->dispatch_count, capacity = g->dispatch_capacity;
    remaker r = {.g = g, .old = old, .count = count};
    r.all = ar__alloc((size_t)g->tensor_count, sizeof *r.all);
    r.chosen = ar__alloc((size_t)g->tensor_count, sizeof *r.chosen);
    if (!r.all || !r.chosen) {
        free(r.all);
        free(r.chosen);
        return AR_ERR_MEMORY;
    }
    choose(&r);
    g->dispatches = NULL;
    g->dispatch_count = g->dispatch_capacity = 0;
    for (int32_t i = 0; i < count; i++) AR_GO(record(&r, i));
done:
    if (status != AR_OK) {
        ar__dispatch *unfinished = g->dispatches;
        g->dispatches = old, g->dispatch_count = count, g->dispatch_capacity = capacity;
        old = unfinished;
    }
    free(old);
    free(r.all);
    free(r.chosen);
    return status;
}
