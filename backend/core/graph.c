/* The recorded graph: a flat list of dispatches over tensors, built once and replayed (graph_build.c).
 * graph_plan.c plans memory and barriers, graph_grad.c walks it in reverse, graph_saved.c keeps what that
 * reads again as fp16. */
#include "graph.h"
#include <stdlib.h>
#include <string.h>

/* ---- life ---- */

ar_status ar_graph_create(ar_graph **graph, ar_device *device) {
    *graph = ar__alloc(1, sizeof **graph);
    if (!*graph) return AR_ERR_MEMORY;
    (*graph)->device = device;
    return AR_OK;
}

ar_status ar_graph_create_in(ar_graph **graph, ar_device *device, const ar_graph *lender) {
    AR_TRY(ar_graph_create(graph, device));
    if (lender && lender->built && lender->device == device) (*graph)->lender = lender;
    return AR_OK;
}

void ar_graph_destroy(ar_graph *g) {
    if (!g) return;
    const ar__driver *driver = g->device->driver;
    if (g->stream) driver->stream_destroy(g->device->drv, g->stream);
    for (int32_t i = 0; i < g->leaf_count; i++) {
        g->leaves[i]->grad = NULL;
        g->leaves[i]->grad_written = false;
    }
    for (int32_t i = 0; i < g->tensor_count; i++) free(g->tensors[i]);
    for (int32_t i = 0; i < g->constant_count; i++) ar_tensor_destroy(g->constants[i].t);
    for (int32_t i = 0; i < g->arena_count; i++)
        if (g->arenas[i].block) ar__memory_free(g->device, &g->arenas[i]);
    free(g->tensors);
    free(g->dispatches);
    free(g->nodes);
    free(g->packs);
    free(g->leaves);
    free(g->constants);
    free(g->arenas);
    free(g);
}

ar_device *ar__graph_device(const ar_graph *g) { return g->device; }

ar_status ar_graph_temp(ar_graph *g, ar_tensor **t, ar_dtype dtype, int32_t dim_count, const int64_t *dims) {
    *t = NULL;
    if (g->built) return ar__fail(AR_ERR_ARG, "graph: already built");
    AR_TRY(ar__graph_grow((void **)&g->tensors, &g->tensor_capacity, g->tensor_count, sizeof *g->tensors));
    AR_TRY(ar__tensor_make(t, g->device, g, dtype, dim_count, dims));
    (*t)->id = g->tensor_count;
    g->tensors[g->tensor_count++] = *t;
    return AR_OK;
}

void ar_graph_keep(ar_graph *g, ar_tensor *t) {
    if (t && t->graph == g) t->keep = true;
}

ar_status ar__output(ar_graph *g, ar_tensor **t, ar_dtype dtype, int32_t dim_count, const int64_t *dims,
                     const ar_tensor *a, const ar_tensor *b, const ar_tensor *c) {
    AR_TRY(ar_graph_temp(g, t, dtype, dim_count, dims));
    (*t)->needs_grad = (a && a->needs_grad) || (b && b->needs_grad) || (c && c->needs_grad);
    return AR_OK;
}

ar_status ar__graph_own(ar_graph *g, ar_tensor *t, const uint64_t key[4]) {
    AR_TRY(ar__graph_grow((void **)&g->constants, &g->constant_capacity, g->constant_count,
                          sizeof *g->constants));
    ar__constant *constant = &g->constants[g->constant_count++];
    constant->t = t;
    memcpy(constant->key, key, sizeof constant->key);
    return AR_OK;
}

ar_tensor *ar__graph_constant(const ar_graph *g, const uint64_t key[4]) {
    for (int32_t i = 0; i < g->constant_count; i++)
        if (memcmp(g->constants[i].key, key, sizeof g->constants[i].key) == 0) return g->constants[i].t;
    return NULL;
}

ar_status ar_graph_constant(ar_graph *g, ar_tensor **t, const float *values, int64_t count) {
    ar_tensor *made = NULL;
    *t = NULL;
    AR_TRY(ar_tensor_create(&made, g->device, AR_F32, 1, &count));
    ar_status status = ar_tensor_write(made, values, 0, count);
    uint64_t key[4] = {UINT64_MAX, (uint64_t)g->constant_count}; /* shared with nobody */
    if (status == AR_OK) status = ar__graph_own(g, made, key);
    if (status == AR_OK)
        *t = made;
    else
        ar_tensor_destroy(made);
    return status;
}

/* ---- emission ---- */

static ar_status check_operand(const ar_graph *g, const ar__kernel *k, ar__operand *o, int32_t i) {
    if (!o->t) return ar__fail(AR_ERR_ARG, "%s: operand %d is missing", k->name, i);
    if (o->t->device != g->device || (o->t->graph && o->t->graph != g))
        return ar__fail(AR_ERR_ARG, "%s: operand %d belongs to another device or graph", k->name, i);
    uint64_t total = ar__tensor_bytes(o->t);
    if (o->bytes == 0 && o->offset < total) o->bytes = total - o->offset;
    if (o->bytes == 0 || o->offset > total || o->bytes > total - o->offset)
        return ar__fail(AR_ERR_ARG, "%s: operand %d binds bytes %llu + %llu of %llu", k->name, i,
                        (unsigned long long)o->offset, (unsigned long long)o->bytes,
                        (unsigned long long)total);
    uint32_t align = g->device->plan.offset_align;
    if (align && o->offset % align)
        return ar__fail(AR_ERR_ARG, "%s: operand %d starts at byte %llu, expected a multiple of %u", k->name,
                        i, (unsigned long long)o->offset, align);
    if (o->bytes > g->device->plan.piece_bytes)
        return ar__fail(AR_ERR_UNSUPPORTED, "%s: operand %d binds %llu bytes, this device binds at most %llu",
                        k->name, i, (unsigned long long)o->bytes,
                        (unsigned long long)g->device->plan.piece_bytes);
    return AR_OK;
}

/* Kernels promise the compiler that buffers they write overlap no other (restrict). */
static ar_status check_overlap(const ar__kernel *k, const ar__operand *operands) {
    for (int32_t i = 0; i < k->binding_count; i++)
        for (int32_t j = 0; j < i; j++) {
            const ar__operand *a = &operands[i], *b = &operands[j];
            if (a->t == b->t && ((k->access[i] | k->access[j]) & AR_WO) && a->offset < b->offset + b->bytes &&
                b->offset < a->offset + a->bytes)
                return ar__fail(AR_ERR_ARG, "%s: operands %d and %d overlap", k->name, j, i);
        }
    return AR_OK;
}

/* A remembered pack is stale once its source is written. */
static void forget_packs(ar_graph *g, const ar_tensor *written) {
    int32_t kept = 0;
    for (int32_t i = 0; i < g->pack_count; i++)
        if (g->packs[i].source != written) g->packs[kept++] = g->packs[i];
    g->pack_count = kept;
}

ar_status ar__emit(ar_graph *g, const ar__emit_desc *desc) {
    const ar__kernel *k = &ar__kernels[desc->kernel];
    if (g->built) return ar__fail(AR_ERR_ARG, "%s: the graph is already built", k->name);
    ar__dispatch d = {.kernel = desc->kernel, .phase = g->phase, .flops = desc->flops, .bytes = desc->bytes};
    memcpy(d.specs, desc->specs, sizeof d.specs);
    if (k->param_count) memcpy(d.params, desc->params, (size_t)k->param_count * 4);
    for (int32_t i = 0; i < k->binding_count; i++) {
        d.operands[i] = desc->operands[i];
        AR_TRY(check_operand(g, k, &d.operands[i], i));
    }
    AR_TRY(check_overlap(k, d.operands));
    for (int32_t i = 0; i < 3; i++) {
        uint32_t limit = g->device->facts.max_group_count[i];
        d.groups[i] = desc->groups[i] ? desc->groups[i] : 1;
        if (limit && d.groups[i] > limit)
            return ar__fail(AR_ERR_UNSUPPORTED, "%s: %u groups on axis %d, this device takes %u", k->name,
                            d.groups[i], i, limit);
    }
    AR_TRY(ar__graph_append(g, &d));
    for (int32_t i = 0; i < k->binding_count; i++)
        if (k->access[i] & AR_WO) forget_packs(g, d.operands[i].t);
    return AR_OK;
}

void ar__groups_1d(const ar_device *device, uint32_t groups[3], uint64_t items, uint32_t wg) {
    uint64_t limit = device->facts.max_group_count[0] ? device->facts.max_group_count[0] : 65535;
    uint64_t n = (items + wg - 1) / wg, folds = (n + limit - 1) / limit;
    groups[0] = folds ? (uint32_t)((n + folds - 1) / folds) : 0;
    groups[1] = (uint32_t)folds;
    groups[2] = 1;
}

static uint64_t gcd(uint64_t a, uint64_t b) { return b ? gcd(b, a % b) : a; }

double ar__estimate_ms(const ar_plan *plan, double flops, double bytes) {
    double by_flops = plan->rate_flops > 0 ? flops / plan->rate_flops : 0;
    double by_bytes = plan->rate_bytes > 0 ? bytes / plan->rate_bytes : 0;
    return 1e3 * (by_flops > by_bytes ? by_flops : by_bytes);
}

int64_t ar__launch_units(const ar_plan *plan, int64_t units, int64_t step, double flops, double bytes) {
    const double rounding = 1 + 1e-9; /* a share that was just cut is not cut again */
    double ms = ar__estimate_ms(plan, flops, bytes);
    if (!(plan->submit_ms > 0) || ms <= plan->submit_ms * rounding) return units;
    int64_t all = (units + step - 1) / step;
    int64_t fit = (int64_t)((double)units * (plan->submit_ms / ms) / (double)step);
    if (fit < 1) fit = 1;
    int64_t launches = (all + fit - 1) / fit, share = (all + launches - 1) / launches * step;
    return share < units ? share : units;
}

/* The largest chunk of units that keeps every binding inside a piece and the launch inside submit_ms,
 * starting on aligned offsets. */
static ar_status split_chunk(const ar_graph *g, const ar__emit_desc *desc, const ar__split *s,
                             int64_t *chunk) {
    const ar__kernel *k = &ar__kernels[desc->kernel];
    uint64_t most = (uint64_t)s->units, step = s->units_per_item ? s->units_per_item : 1;
    uint64_t items = s->items_per_unit ? s->items_per_unit : 1, align = g->device->plan.offset_align;
    if (most > (UINT64_C(1) << 31) / items - 1) most = (UINT64_C(1) << 31) / items - 1;
    for (int32_t i = 0; i < k->binding_count; i++) {
        if (!(s->split >> i & 1)) continue;
        const ar_tensor *t = desc->operands[i].t;
        if (!t || ar_tensor_count(t) % s->units)
            return ar__fail(AR_ERR_ARG, "%s: operand %d does not hold %lld equal slices", k->name, i,
                            (long long)s->units);
        uint64_t each = (uint64_t)(ar_tensor_count(t) / s->units) * ar_dtype_bytes(t->dtype);
        if (each == 0) return ar__fail(AR_ERR_ARG, "%s: operand %d is empty", k->name, i);
        uint64_t fit = (g->device->plan.piece_bytes - 64) / each,
                 unit_step = align ? align / gcd(align, each) : 1;
        step = step / gcd(step, unit_step) * unit_step;
        if (fit < most) most = fit;
    }
    if (most < (uint64_t)s->units) most = most / step * step;
    if (most == 0)
        return ar__fail(AR_ERR_UNSUPPORTED, "%s: one slice passes the %llu bytes this device binds", k->name,
                        (unsigned long long)g->device->plan.piece_bytes);
    int64_t timed = ar__launch_units(&g->device->plan, s->units, (int64_t)step, desc->flops, desc->bytes);
    *chunk = timed < (int64_t)most ? timed : (int64_t)most;
    return AR_OK;
}

ar_status ar__emit_split(ar_graph *g, const ar__emit_desc *desc, const ar__split *s) {
    if (s->units <= 0) return AR_OK;
    const ar__kernel *k = &ar__kernels[desc->kernel];
    int64_t chunk = 0;
    AR_TRY(split_chunk(g, desc, s, &chunk));
    for (ar__cut c = ar__cut_into(s->units, chunk); ar__cut_next(&c);) {
        int64_t units = c.count, start = c.first;
        uint32_t params[AR_MAX_PARAMS] = {0};
        memcpy(params, desc->params, (size_t)k->param_count * 4);
        params[0] = (uint32_t)units;
        if (s->pass_start) params[1] = (uint32_t)start;
        ar__emit_desc d = *desc;
        d.params = params;
        d.flops = desc->flops * (double)units / (double)s->units;
        d.bytes = desc->bytes * (double)units / (double)s->units;
        for (int32_t i = 0; i < k->binding_count; i++) {
            if (!(s->split >> i & 1)) continue;
            const ar_tensor *t = desc->operands[i].t;
            uint64_t each = (uint64_t)(ar_tensor_count(t) / s->units) * ar_dtype_bytes(t->dtype);
            d.operands[i].offset = (uint64_t)start * each;
            d.operands[i].bytes =
                ar__cut_is_last(&c) ? 0 : (uint64_t)units * each; /* the last with the padding */
        }
        uint64_t per = s->units_per_item ? s->units_per_item : 1,
                 items = s->items_per_unit ? s->items_per_unit : 1;
        uint64_t total = s->fixed_items ? s->fixed_items : ((uint64_t)units + per - 1) / per * items;
        ar__groups_1d(g->device, d.groups, total, desc->specs[0]);
        AR_TRY(ar__emit(g, &d));
    }
    return AR_OK;
}

ar_status ar__emit_fill(ar_graph *g, ar_tensor *t, float value) {
    struct {
        uint32_t n;
        float value;
    } v = {0, value};
    ar__emit_desc d = {
        .kernel = AR_K_fill, .specs = {g->device->plan.wg, 1}, .operands = {{t, 0, 0}}, .params = &v};
    d.bytes = 4.0 * (double)ar_tensor_count(t);
    return ar__emit_split(g, &d, &(ar__split){.units = ar_tensor_count(t), .split = 1});
}
