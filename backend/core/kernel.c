/* The device's pipelines: one per kernel and set of specialization values, made on first use. */
#include "device.h"
#include "cache.h"
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

ar_status ar__pipeline_get(ar_device *device, const ar__pipeline **pipeline, ar__kernel_id id,
                           const uint32_t *specs) {
    const ar__kernel *kernel = &ar__kernels[id];
    ar__pipelines *p = device->pipelines;
    uint32_t key[AR_MAX_SPECS] = {0};
    memcpy(key, specs, (size_t)kernel->spec_count * sizeof *key);
    if (p->used * 2 >= p->capacity) AR_TRY(grow(p));
    entry *e = find(p, id, key);
    if (!e->pipeline) {
        if (device->first_use) AR_TRY(device->first_use(device->checker, device, id));
        AR_TRY(device->driver->pipeline_create(device->drv, &e->pipeline, kernel, key));
        e->id = id;
        memcpy(e->specs, key, sizeof key);
        p->used++;
    }
    *pipeline = e->pipeline;
    return AR_OK;
}

const char *ar_kernel_family(const char *kernel) {
    ar__family_id family = AR_F_COUNT;
    for (int32_t i = 0; i < ar__variant_count; i++)
        if (strcmp(ar__kernels[ar__variants[i].kernel].name, kernel) == 0) family = ar__variants[i].family;
    for (int32_t i = 0; i < ar__variant_count; i++)
        if (ar__variants[i].family == family) return ar__kernels[ar__variants[i].kernel].name;
    return kernel;
}
