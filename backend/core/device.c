/* Devices: finding them through every driver, choosing one, opening and closing it. */
#include "device.h"
#include "variant.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const ar__driver *const drivers[] = {
#define AR_DRIVER(name) &ar__driver_##name,
#include "drivers.def"
#undef AR_DRIVER
};
#define DRIVER_COUNT ((int32_t)(sizeof drivers / sizeof drivers[0]))
#define FOUND_MAX    64 /* devices of one driver that are looked at */

typedef struct found {
    const ar__driver *driver;
    ar_device_facts facts;
} found;

typedef struct found_list {
    found *items;
    int32_t count;
    char notes[1024];
} found_list;

/* auto's order: discrete, integrated, CPU, others; Vulkan first on GPUs, OpenCL first on CPUs. */
static int32_t rank_of(const ar_device_facts *f) {
    static const int32_t by_kind[] = {
        [AR_DEVICE_DISCRETE] = 0, [AR_DEVICE_INTEGRATED] = 10, [AR_DEVICE_CPU] = 20, [AR_DEVICE_OTHER] = 30};
    bool first = strcmp(f->api, f->kind == AR_DEVICE_CPU ? "cl" : "vk") == 0;
    return by_kind[f->kind] + (first ? 0 : 1);
}

static int compare_found(const void *a, const void *b) {
    const ar_device_facts *x = &((const found *)a)->facts, *y = &((const found *)b)->facts;
    int32_t d = rank_of(x) - rank_of(y);
    return d ? d : x->index - y->index;
}

/* "vk: 2 devices; cl: no OpenCL loader" */
static void add_note(found_list *list, const char *name, int32_t count, const char *note) {
    size_t used = strlen(list->notes), room = sizeof list->notes - used;
    char counted[32];
    snprintf(counted, sizeof counted, "%d device%s", count, count == 1 ? "" : "s");
    snprintf(list->notes + used, room, "%s%s: %s", used ? "; " : "", name, note[0] ? note : counted);
}

/* Every device of one driver (api given), or of all drivers but null; sorted. */
static ar_status find_devices(found_list *list, const char *api) {
    ar_status status = AR_OK;
    ar_device_facts *facts = ar__alloc(FOUND_MAX, sizeof *facts);
    list->items = ar__alloc((size_t)DRIVER_COUNT * FOUND_MAX, sizeof *list->items);
    if (!facts || !list->items) status = AR_ERR_MEMORY;
    for (int32_t d = 0; d < DRIVER_COUNT && status == AR_OK; d++) {
        char note[512] = "";
        int32_t count = 0;
        if (api ? strcmp(api, drivers[d]->name) != 0 : strcmp("null", drivers[d]->name) == 0) continue;
        status = drivers[d]->list(facts, &count, FOUND_MAX, note, sizeof note);
        if (count > FOUND_MAX) count = FOUND_MAX;
        for (int32_t i = 0; i < count && status == AR_OK; i++)
            list->items[list->count++] = (found){drivers[d], facts[i]};
        add_note(list, drivers[d]->name, count, note);
    }
    free(facts);
    if (status != AR_OK) return status;
    qsort(list->items, (size_t)list->count, sizeof *list->items, compare_found);
    return AR_OK;
}

static void end_find(void) {
    for (int32_t d = 0; d < DRIVER_COUNT; d++)
        if (drivers[d]->list_end) drivers[d]->list_end();
}

ar_status ar_device_list(ar_device_facts *out, int32_t *count, int32_t capacity, char *notes,
                         size_t notes_bytes) {
    found_list list = {0};
    ar_status status = find_devices(&list, NULL);
    if (status == AR_OK) {
        *count = list.count;
        for (int32_t i = 0; out && i < list.count && i < capacity; i++) out[i] = list.items[i].facts;
        if (notes && notes_bytes) snprintf(notes, notes_bytes, "%s", list.notes);
    }
    end_find();
    free(list.items);
    return status;
}

/* "auto", "api" or "api:N" -> api (NULL = any) and index (-1 = any). */
static ar_status parse_select(const char **api, int32_t *index, const char *select) {
    *api = NULL;
    *index = -1;
    if (!select || strcmp(select, "auto") == 0) return AR_OK;
    size_t length = strcspn(select, ":");
    for (int32_t d = 0; d < DRIVER_COUNT; d++)
        if (strlen(drivers[d]->name) == length && strncmp(drivers[d]->name, select, length) == 0)
            *api = drivers[d]->name;
    const char *digits = select + length + 1;
    if (*api && select[length] == '\0') return AR_OK;
    if (*api && digits[0] && strlen(digits) <= 4 && digits[strspn(digits, "0123456789")] == '\0') {
        *index = (int32_t)strtol(digits, NULL, 10);
        return AR_OK;
    }
    return ar__fail(AR_ERR_USAGE, "device: found \"%s\", expected auto, vk, vk:N, cl or cl:N", select);
}

/* Fills everything of a zeroed device; on failure the caller closes what there is. */
static ar_status open_found(ar_device *device, const found *f, const ar_device_desc *desc) {
    device->driver = f->driver;
    device->facts = desc->facts && strcmp(f->driver->name, "null") == 0 ? *desc->facts : f->facts;
    if (desc->plan)
        device->plan = *desc->plan;
    else {
        AR_TRY(ar_plan_make_with(&device->plan, &device->facts, desc->variants));
        ar_plan_use_tuning(&device->plan, &device->facts, desc->tuning, desc->tuning_count);
    }
    if (desc->submit_ms > 0) device->plan.submit_ms = desc->submit_ms;
    uint64_t all = device->facts.memory_bytes;
    device->memory_stats.budget = desc->memory_budget ? desc->memory_budget : all / 10 * 9;
    AR_TRY(f->driver->open(&device->drv, &device->facts, &device->plan, desc));
    AR_TRY(ar__memory_create(&device->memory));
    return ar__pipelines_create(&device->pipelines);
}

ar_status ar_device_open(ar_device **device, const ar_device_desc *desc) {
    const ar_device_desc defaults = {0};
    found_list list = {0};
    const char *api;
    int32_t index, tried = 0;
    ar_device *d = NULL;
    ar_status status;
    if (!desc) desc = &defaults;
    *device = NULL;
    AR_GO(ar_variants_check(desc->variants));
    AR_GO(parse_select(&api, &index, desc->select));
    AR_GO(find_devices(&list, api));
    for (int32_t i = 0; i < list.count; i++) {
        if (index >= 0 && list.items[i].facts.index != index) continue;
        d = ar__alloc(1, sizeof *d);
        if (!d) {
            status = AR_ERR_MEMORY;
            goto done;
        }
        tried++;
        status = open_found(d, &list.items[i], desc);
        if (status == AR_OK) {
            *device = d;
            goto done;
        }
        ar_device_close(d); /* a device that does not open is passed over; the last reason is reported */
        if (status == AR_ERR_USAGE) goto done; /* another device is not what was asked for */
    }
    /* "Not supported" is said of input; the text names the fact below the floor. */
    if (tried && status == AR_ERR_UNSUPPORTED) status = AR_ERR_NO_DEVICE;
    if (!tried)
        status = ar__fail(AR_ERR_NO_DEVICE, "device %s: not found (%s)", desc->select ? desc->select : "auto",
                          list.notes);
done:
    end_find();
    free(list.items);
    return status;
}

ar_status ar__device_twin(ar_device **twin, const ar_device *device, uint64_t budget) {
    ar_device *d = ar__alloc(1, sizeof *d);
    if (!d) return AR_ERR_MEMORY;
    d->driver = device->driver;
    d->drv = device->drv;
    d->facts = device->facts;
    d->plan = device->plan;
    d->pipelines = device->pipelines;
    d->is_twin = true;
    d->memory_stats.budget = budget;
    ar_status status = ar__memory_create(&d->memory);
    if (status == AR_OK) *twin = d;
    if (status != AR_OK) free(d);
    return status;
}

ar_status ar__device_turn(ar_device *device, const ar_tensor **turn) {
    *turn = device->turn;
    if (device->turn) return AR_OK;
    const int32_t zero = 0;
    ar_tensor *made = NULL;
    AR_TRY(ar_tensor_create(&made, device, AR_I32, 1, (int64_t[]){1}));
    ar_status status = ar_tensor_write(made, &zero, 0, 1);
    if (status != AR_OK) {
        ar_tensor_destroy(made);
        return status;
    }
    *turn = device->turn = made;
    return AR_OK;
}

void ar_device_close(ar_device *device) {
    if (!device) return;
    if (device->checker_close) device->checker_close(device->checker);
    ar_tensor_destroy(device->turn);
    if (device->is_twin) {
        device->driver->wait(device->drv); /* nothing uses its memory any more */
        ar__memory_destroy(device);
    } else if (device->drv) {
        ar__pipelines_destroy(device);
        ar__memory_destroy(device);
        device->driver->close(device->drv);
    }
    free(device);
}

const ar_device_facts *ar_device_get_facts(const ar_device *device) { return &device->facts; }

const ar_plan *ar_device_get_plan(const ar_device *device) { return &device->plan; }

void ar_device_memory(const ar_device *device, ar_memory_stats *stats) { *stats = device->memory_stats; }

void ar_device_watch(ar_device *device, void (*watch)(void *ctx, const ar_graph *graph), void *ctx) {
    device->watch = watch;
    device->watch_ctx = ctx;
}

ar_status ar_device_wait(ar_device *device) { return device->driver->wait(device->drv); }
