/* Device memory: slices of driver buffers ("blocks") under the budget.
 * Small requests share blocks, large ones get a buffer of their own; first fit, neighbours merge on free, and
 * an empty block goes back to the driver at once. The budget bounds the sum of all driver buffers, so stats
 * count blocks, not slices. */
#include "device.h"
#include <stdlib.h>

#define BLOCK_BYTES     ((uint64_t)32 << 20)
#define BLOCK_BYTES_MIN ((uint64_t)64 << 10)
#define ALIGN_MIN       256u

typedef struct block block;

/* A part of a block, free or used; the parts of a block are a list in address order without gaps, and no two
 * free ones touch. A slice's `block` points to its part. */
typedef struct part {
    block *owner;
    struct part *before, *after;
    uint64_t offset, bytes;
    bool used;
} part;

struct block {
    ar__buffer *buffer;
    uint64_t bytes;
    part *parts;
    struct block *next;
};

struct ar__memory {
    block *blocks;
};

ar_status ar__memory_create(ar__memory **memory) {
    *memory = ar__alloc(1, sizeof **memory);
    return *memory ? AR_OK : AR_ERR_MEMORY;
}

static void block_destroy(ar_device *device, block *b) {
    device->driver->buffer_destroy(device->drv, b->buffer);
    device->memory_stats.current -= b->bytes;
    for (part *p = b->parts, *after; p; p = after) {
        after = p->after;
        free(p);
    }
    free(b);
}

void ar__memory_destroy(ar_device *device) {
    if (!device->memory) return;
    for (block *b = device->memory->blocks, *next; b; b = next) {
        next = b->next;
        block_destroy(device, b);
    }
    free(device->memory);
    device->memory = NULL;
}

static uint64_t alignment(const ar_device *device) {
    return device->plan.offset_align > ALIGN_MIN ? device->plan.offset_align : ALIGN_MIN;
}

/* bytes rounded up to a multiple of align; 0 if that overflows. */
static uint64_t round_up(uint64_t bytes, uint64_t align) {
    return bytes > UINT64_MAX - align ? 0 : (bytes + align - 1) / align * align;
}

/* What a new block for this request should hold: more than it, if the request is small and the budget has
 * room. */
static uint64_t block_bytes_for(const ar_device *device, uint64_t need) {
    const ar_memory_stats *m = &device->memory_stats;
    uint64_t room = m->budget - m->current,
             bytes = m->budget / 16 < BLOCK_BYTES ? m->budget / 16 : BLOCK_BYTES;
    if (bytes < BLOCK_BYTES_MIN) bytes = BLOCK_BYTES_MIN;
    if (bytes > room) bytes = room;
    if (device->facts.max_buffer_bytes && bytes > device->facts.max_buffer_bytes)
        bytes = device->facts.max_buffer_bytes;
    bytes -= bytes % alignment(device);
    return need > bytes / 2 ? need : bytes;
}

/* Makes a block of that size, all free. */
static ar_status block_create(ar_device *device, block **out, uint64_t bytes) {
    ar_status status = AR_ERR_MEMORY;
    ar_memory_stats *m = &device->memory_stats;
    block *b = ar__alloc(1, sizeof *b);
    if (!b) return AR_ERR_MEMORY;
    b->parts = ar__alloc(1, sizeof *b->parts);
    if (!b->parts) goto done;
    AR_GO(device->driver->buffer_create(device->drv, &b->buffer, bytes));
    b->bytes = bytes;
    *b->parts = (part){.owner = b, .bytes = bytes};
    b->next = device->memory->blocks;
    device->memory->blocks = b;
    m->current += bytes;
    if (m->current > m->high_water) m->high_water = m->current;
    *out = b;
    return AR_OK;
done:
    free(b->parts);
    free(b);
    return status;
}

/* The first free part of b that holds need bytes, or NULL. */
static part *first_fit(const block *b, uint64_t need) {
    for (part *p = b->parts; p; p = p->after)
        if (!p->used && p->bytes >= need) return p;
    return NULL;
}

/* Marks p used and gives back what it has beyond need. */
static ar_status take(part *p, uint64_t need) {
    if (p->bytes > need) {
        part *rest = ar__alloc(1, sizeof *rest);
        if (!rest) return AR_ERR_MEMORY;
        *rest = (part){p->owner, p, p->after, p->offset + need, p->bytes - need, false};
        if (p->after) p->after->before = rest;
        p->after = rest;
        p->bytes = need;
    }
    p->used = true;
    return AR_OK;
}

/* Joins p with the free part after it. */
static void merge_after(part *p) {
    part *q = p->after;
    if (!q || p->used || q->used) return;
    p->bytes += q->bytes;
    p->after = q->after;
    if (q->after) q->after->before = p;
    free(q);
}

static void drop_if_empty(ar_device *device, block *b) {
    if (b->parts->used || b->parts->after) return;
    block **link = &device->memory->blocks;
    while (*link != b) link = &(*link)->next;
    *link = b->next;
    block_destroy(device, b);
}

static ar_status too_little(const ar_device *device, uint64_t bytes) {
    const ar_memory_stats *m = &device->memory_stats;
    return ar__fail(
        AR_ERR_DEVICE_MEMORY,
        "device memory: %llu bytes wanted, %llu of the budget of %llu in use, largest buffer %llu",
        (unsigned long long)bytes, (unsigned long long)m->current, (unsigned long long)m->budget,
        (unsigned long long)device->facts.max_buffer_bytes);
}

ar_status ar__memory_alloc(ar_device *device, ar__slice *slice, uint64_t bytes) {
    uint64_t need = round_up(bytes ? bytes : 1, alignment(device));
    uint64_t limit = device->facts.max_buffer_bytes ? device->facts.max_buffer_bytes : UINT64_MAX;
    part *p = NULL;
    *slice = (ar__slice){0};
    if (!need || need > limit) return too_little(device, bytes);
    for (block *b = device->memory->blocks; b && !p; b = b->next) p = first_fit(b, need);
    if (!p) {
        block *b = NULL;
        if (need > device->memory_stats.budget - device->memory_stats.current)
            return too_little(device, bytes);
        uint64_t block_bytes = block_bytes_for(device, need);
        ar_status status = block_create(device, &b, block_bytes);
        if (status == AR_ERR_DEVICE_MEMORY && block_bytes > need) status = block_create(device, &b, need);
        AR_TRY(status);
        p = b->parts;
    }
    ar_status status = take(p, need);
    if (status != AR_OK) {
        drop_if_empty(device, p->owner);
        return status;
    }
    *slice = (ar__slice){p->owner->buffer, p->offset, bytes, p};
    return AR_OK;
}

void ar__memory_free(ar_device *device, ar__slice *slice) {
    part *p = slice->block;
    *slice = (ar__slice){0};
    if (!p) return;
    block *b = p->owner;
    p->used = false;
    merge_after(p);
    if (p->before) merge_after(p->before);
    drop_if_empty(device, b);
}
