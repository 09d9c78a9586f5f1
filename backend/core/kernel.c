/* The device's pipelines: one per kernel and set of specialization values, made on first use. */
#include "device.h"
#include "cache.h"
#include "graph.h"
#include "variant.h"
#include <stdlib.h>
#include <string.h>

typedef struct entry {
    ar__pipeline *pipeline; /* NULL: a free slot */
    ar__kernel_id id;
    uint32_t specs[AR_MAX_SPECS];
} entry;

/* Open addressing; capacity is a power of two and at most half full. */
struct ar__pipelines {
    entry *entries;
    size_t capacity, used;
};

ar_status ar__pipelines_create(ar__pipelines **pipelines) {
    ar__pipelines *p = ar__alloc(1, sizeof *p);
    if (!p) return AR_ERR_MEMORY;
    p->capacity = 64;
    p->entries = ar__alloc(p->capacity, sizeof *p->entries);
    if (!p->entries) {
        free(p);
        return AR_ERR_MEMORY;
    }
    *pipelines = p;
    return AR_OK;
}

void ar__pipelines_destroy(ar_device *device) {
    ar__pipelines *p = device->pipelines;
    if (!p) return;
    for (size_t i = 0; i < p->capacity; i++)
        if (p->entries[i].pipeline) device->driver->pipeline_destroy(device->drv, p->entries[i].pipeline);
    free(p->entries);
    free(p);
    device->pipelines = NULL;
}

/* The slot of this key, or the free slot where it belongs. */
static entry *find(const ar__pipelines *p, ar__kernel_id id, const uint32_t *specs) {
    uint64_t h = ar__hash(AR__HASH_START, &id, sizeof id);
    h = ar__hash(h, specs, AR_MAX_SPECS * sizeof *specs);
    for (size_t i = (size_t)h & (p->capacity - 1);; i = (i + 1) & (p->capacity - 1)) {
        entry *e = &p->entries[i];
        if (!e->pipeline || (e->id == id && memcmp(e->specs, specs, sizeof e->specs) == 0)) return e;
    }
}

static ar_status grow(ar__pipelines *p) {
    ar__pipelines bigger = {.capacity = p->capacity * 2, .used = p->used};
    bigger.entries = ar__alloc(bigger.capacity, sizeof *bigger.entries);
    if (!bigger.entries) return AR_ERR_MEMORY;
    for (size_t i = 0; i < p->capacity; i++)
        if (p->entries[i].pipeline) *find(&bigger, p->entries[i].id, p->entries[i].specs) = p->entries[i];
    free(p->entries);
    *p = bigger;
    return AR_OK;
}

static void make_key(uint32_t *key, ar__kernel_id id, const uint32_t *specs) {
    memset(key, 0, AR_MAX_SPECS * sizeof *key);
    memcpy(key, specs, (size_t)ar__kernels[id].spec_count * sizeof *key);
}

static ar_status add(ar_device *device, ar__pipeline *pipeline, ar__kernel_id id, const uint32_t *key) {
    ar__pipelines *p = device->pipelines;
    if (p->used * 2 >= p->capacity) {
        ar_status status = grow(p);
        if (status != AR_OK) {
            device->driver->pipeline_destroy(device->drv, pipeline);
            return status;
        }
    }
    entry *e = find(p, id, key);
    e->pipeline = pipeline;
    e->id = id;
    memcpy(e->specs, key, sizeof e->specs);
    p->used++;
    return AR_OK;
}

ar_status ar__pipeline_get(ar_device *device, const ar__pipeline **pipeline, ar__kernel_id id,
                           const uint32_t *specs) {
    uint32_t key[AR_MAX_SPECS];
    ar__pipeline *made;
    make_key(key, id, specs);
    if (device->first_use) AR_TRY(device->first_use(device->checker, device, id));
    if (!find(device->pipelines, id, key)->pipeline) {
        AR_TRY(device->driver->pipeline_create(device->drv, &made, &ar__kernels[id], key));
        AR_TRY(add(device, made, id, key));
    }
    *pipeline = find(device->pipelines, id, key)->pipeline;
    return AR_OK;
}

/* ---- those of a graph at once ---- */

typedef struct wanted {
    const ar__kernel **kernels;
    uint32_t (*keys)[AR_MAX_SPECS];
    ar__pipeline **made;
    int32_t count;
} wanted;

static void want(wanted *w, const ar_device *device, const ar__dispatch *d) {
    uint32_t *key = w->keys[w->count];
    make_key(key, d->kernel, d->specs);
    if (find(device->pipelines, d->kernel, key)->pipeline) return;
    for (int32_t i = 0; i < w->count; i++)
        if (w->kernels[i] == &ar__kernels[d->kernel] && memcmp(w->keys[i], key, sizeof w->keys[i]) == 0)
            return;
    w->kernels[w->count++] = &ar__kernels[d->kernel];
}

ar_status ar__pipelines_make(ar_device *device, const ar__dispatch *dispatches, int32_t count) {
    ar_status status = AR_ERR_MEMORY;
    wanted w = {0};
    int32_t added = 0;
    if (!device->driver->pipelines_create || count == 0) return AR_OK;
    w.kernels = ar__alloc((size_t)count, sizeof *w.kernels);
    w.keys = ar__alloc((size_t)count + 1, sizeof *w.keys);
    w.made = ar__alloc((size_t)count, sizeof *w.made);
    if (!w.kernels || !w.keys || !w.made) goto done;
    for (int32_t i = 0; i < count; i++) want(&w, device, &dispatches[i]);
    status = AR_OK;
    if (w.count > 0)
        AR_GO(device->driver->pipelines_create(device->drv, w.made, w.kernels,
                                               (const uint32_t(*)[AR_MAX_SPECS])w.keys, w.count));
    while (added < w.count) {
        int32_t i = added++;
        AR_GO(add(device, w.made[i], (ar__kernel_id)(w.kernels[i] - ar__kernels), w.keys[i]));
    }
    for (int32_t i = 0; i < count && device->first_use; i++) /* what it runs is there by now, or most of it */
        AR_GO(device->first_use(device->checker, device, dispatches[i].kernel));
done:
    for (; status != AR_OK && added > 0 && added < w.count; added++)
        device->driver->pipeline_destroy(device->drv, w.made[added]);
    free(w.kernels);
    free(w.keys);
    free(w.made);
    return status;
}

bool ar_kernel_has_matrices(const char *kernel) { return ar__kernel_needs(kernel) & AR_NEED_COOPMAT; }

const char *ar_kernel_family(const char *kernel) {
    ar__family_id family = AR_F_COUNT;
    for (int32_t i = 0; i < ar__variant_count; i++)
        if (strcmp(ar__kernels[ar__variants[i].kernel].name, kernel) == 0) family = ar__variants[i].family;
    for (int32_t i = 0; i < ar__variant_count; i++)
        if (ar__variants[i].family == family) return ar__kernels[ar__variants[i].kernel].name;
    return kernel;
}
