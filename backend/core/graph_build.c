/* From a record to what runs: launches for remaking and saving, results in place, memory, barriers, the
 * driver's stream. */
#include "graph.h"
#include <stdlib.h>
#include <string.h>

static ar_status make_commands(ar_graph *g, ar__command *commands) {
    const ar_plan *plan = &g->device->plan;
    AR_TRY(ar__pipelines_make(g->device, g->dispatches, g->dispatch_count));
    for (int32_t i = 0; i < g->dispatch_count; i++) {
        const ar__dispatch *d = &g->dispatches[i];
        ar__command *c = &commands[i];
        c->kernel = &ar__kernels[d->kernel];
        AR_TRY(ar__pipeline_get(g->device, &c->pipeline, d->kernel, d->specs));
        for (int32_t j = 0; j < c->kernel->binding_count; j++) {
            const ar__operand *o = &d->operands[j];
            c->bind[j] = (ar__binding){o->t->slice.buffer, o->t->slice.offset + o->offset, o->bytes};
        }
        memcpy(c->params, d->params, sizeof c->params);
        memcpy(c->groups, d->groups, sizeof c->groups);
        c->ms = ar__estimate_ms(plan, d->flops, d->bytes);
        g->stats.flops += d->flops;
        g->stats.bytes += d->bytes;
    }
    return AR_OK;
}

ar_status ar_graph_build(ar_graph *g) {
    if (g->built) return ar__fail(AR_ERR_ARG, "graph: already built");
    ar__command *commands = NULL;
    ar_status status = AR_OK;
    AR_GO(ar__graph_remake(g));
    AR_GO(ar__graph_save(g));
    AR_GO(ar__graph_over(g));
    AR_GO(ar__graph_plan_memory(g));
    g->built = true;
    g->stats.dispatches = g->dispatch_count;
    if (g->dispatch_count == 0) goto done;
    commands = ar__alloc((size_t)g->dispatch_count, sizeof *commands);
    if (!commands) {
        status = AR_ERR_MEMORY;
        goto done;
    }
    AR_GO(make_commands(g, commands));
    AR_GO(ar__graph_barriers(commands, g->dispatch_count, &g->stats.barriers));
    AR_GO(g->device->driver->stream_create(g->device->drv, &g->stream, commands, g->dispatch_count,
                                           &g->stats.submissions));
done:
    free(commands);
    return status;
}

static ar_status check_built(const ar_graph *g) {
    if (!g->built || (g->dispatch_count && !g->stream)) return ar__fail(AR_ERR_ARG, "graph: not built");
    return AR_OK;
}

ar_status ar_graph_run(ar_graph *g) {
    AR_TRY(check_built(g));
    if (g->device->watch) g->device->watch(g->device->watch_ctx, g);
    return g->stream ? g->device->driver->submit(g->device->drv, g->stream) : AR_OK;
}

void ar_graph_get_stats(const ar_graph *g, ar_graph_stats *stats) { *stats = g->stats; }

void ar_graph_launches(const ar_graph *g, ar_launch *launches) {
    for (int32_t i = 0; i < g->dispatch_count; i++) {
        const ar__dispatch *d = &g->dispatches[i];
        launches[i] = (ar_launch){ar__kernels[d->kernel].name, 0, d->flops, d->bytes};
    }
}

ar_status ar_graph_profile(ar_graph *g, ar_launch *launches, bool *wall) {
    AR_TRY(check_built(g));
    *wall = false;
    if (!g->stream) return AR_OK;
    double *us = ar__alloc((size_t)g->dispatch_count, sizeof *us);
    if (!us) return AR_ERR_MEMORY;
    ar_status status = g->device->driver->profile(g->device->drv, g->stream, us, wall);
    ar_graph_launches(g, launches);
    for (int32_t i = 0; i < g->dispatch_count; i++) launches[i].us = us[i];
    free(us);
    return status;
}
