/* The null driver: host memory instead of a device. It executes copies (the `copy` kernel),
 * does nothing for other kernels, and fails on demand (ar_fault), so that everything above drivers can be
 * tested without one. */
#include "internal.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NULL_MEMORY_BYTES ((uint64_t)1 << 30)
#define GARBAGE           0xa5

struct ar__drv {
    ar_fault fault;
    double submit_ms;
    int32_t alloc_count, submit_count;
    bool lost, forgets; /* forgets: stands in for a device whose memory this machine may not have */
};

struct ar__buffer {
    uint64_t bytes;
    uint8_t *data;
};

struct ar__pipeline {
    const ar__kernel *kernel;
};

struct ar__stream {
    ar__command *commands;
    int32_t count;
};

static ar_status null_list(ar_device_facts *out, int32_t *count, int32_t capacity, char *note,
                           size_t note_bytes) {
    *count = 1;
    if (note && note_bytes) note[0] = '\0';
    if (capacity < 1) return AR_OK;
    *out = (ar_device_facts){.api = "null",
                             .name = "null device",
                             .vendor = "anyround",
                             .driver = "null",
                             .version = "1",
                             .kind = AR_DEVICE_OTHER,
                             .max_group_items = 1024,
                             .max_group_size = {1024, 1024, 64},
                             .max_group_count = {65535, 65535, 65535},
                             .shared_bytes = 32768,
                             .max_binding_bytes = NULL_MEMORY_BYTES / 4,
                             .max_buffer_bytes = NULL_MEMORY_BYTES / 4,
                             .memory_bytes = NULL_MEMORY_BYTES,
                             .binding_offset_align = 256,
                             .max_param_bytes = 128,
                             .max_bindings = AR_MAX_BINDINGS,
                             .vector_width = 4,
                             .unified_memory = true};
    return AR_OK;
}

static ar_status null_open(ar__drv **drv, const ar_device_facts *facts, const ar_plan *plan,
                           const ar_device_desc *desc) {
    (void)facts;
    ar__drv *d = ar__alloc(1, sizeof *d);
    if (!d) return AR_ERR_MEMORY;
    d->fault = desc->fault;
    d->forgets = desc->facts != NULL;
    d->submit_ms = desc->submit_ms > 0 ? desc->submit_ms : plan->submit_ms;
    *drv = d;
    return AR_OK;
}

static void null_close(ar__drv *drv) { free(drv); }

static ar_status check_lost(const ar__drv *drv) {
    return drv->lost ? ar__fail(AR_ERR_DEVICE_LOST, "null: device lost (injected)") : AR_OK;
}

static ar_status null_buffer_create(ar__drv *drv, ar__buffer **buffer, uint64_t bytes) {
    AR_TRY(check_lost(drv));
    if (++drv->alloc_count == drv->fault.fail_alloc_n)
        return ar__fail(AR_ERR_DEVICE_MEMORY, "null: buffer of %llu bytes refused (injected)",
                        (unsigned long long)bytes);
    ar__buffer *b = ar__alloc(1, sizeof *b);
    if (!b) return AR_ERR_MEMORY;
    b->bytes = bytes;
    b->data = ar__alloc((size_t)bytes, 1);
    if (!b->data) {
        free(b);
        return AR_ERR_MEMORY;
    }
    *buffer = b;
    return AR_OK;
}

static void null_buffer_destroy(ar__drv *drv, ar__buffer *buffer) {
    (void)drv;
    if (!buffer) return;
    free(buffer->data);
    free(buffer);
}

static ar_status check_range(const ar__buffer *b, uint64_t offset, uint64_t bytes) {
    if (offset <= b->bytes && bytes <= b->bytes - offset) return AR_OK;
    return ar__fail(AR_ERR_ARG, "null: range %llu+%llu is outside a buffer of %llu bytes",
                    (unsigned long long)offset, (unsigned long long)bytes, (unsigned long long)b->bytes);
}

static ar_status null_write(ar__drv *drv, ar__buffer *buffer, uint64_t offset, const void *src,
                            uint64_t bytes) {
    AR_TRY(check_lost(drv));
    AR_TRY(check_range(buffer, offset, bytes));
    if (bytes && !drv->forgets) memcpy(buffer->data + offset, src, (size_t)bytes);
    return AR_OK;
}

static ar_status null_read(ar__drv *drv, ar__buffer *buffer, uint64_t offset, void *dst, uint64_t bytes) {
    AR_TRY(check_lost(drv));
    AR_TRY(check_range(buffer, offset, bytes));
    if (bytes) memcpy(dst, buffer->data + offset, (size_t)bytes);
    return AR_OK;
}

static ar_status null_pipeline_create(ar__drv *drv, ar__pipeline **pipeline, const ar__kernel *kernel,
                                      const uint32_t *specs) {
    (void)specs;
    AR_TRY(check_lost(drv));
    ar__pipeline *p = ar__alloc(1, sizeof *p);
    if (!p) return AR_ERR_MEMORY;
    p->kernel = kernel;
    *pipeline = p;
    return AR_OK;
}

static void null_pipeline_destroy(ar__drv *drv, ar__pipeline *pipeline) {
    (void)drv;
    free(pipeline);
}

/* Every binding inside its buffer: a mistake above is found here, without a device. */
static ar_status check_command(const ar__command *c) {
    for (int32_t i = 0; i < c->kernel->binding_count; i++)
        AR_TRY(check_range(c->bind[i].buffer, c->bind[i].offset, c->bind[i].bytes));
    return AR_OK;
}

static ar_status null_stream_create(ar__drv *drv, ar__stream **stream, const ar__command *commands,
                                    int32_t count, int32_t *submissions) {
    double ms = 0;
    AR_TRY(check_lost(drv));
    *submissions = count > 0 ? 1 : 0;
    for (int32_t i = 0; i < count; i++) {
        AR_TRY(check_command(&commands[i]));
        if (i > 0 && ms + commands[i].ms > drv->submit_ms) ms = 0, ++*submissions;
        ms += commands[i].ms;
    }
    ar__stream *s = ar__alloc(1, sizeof *s);
    if (!s) return AR_ERR_MEMORY;
    s->commands = ar__alloc((size_t)count, sizeof *s->commands);
    if (!s->commands) {
        free(s);
        return AR_ERR_MEMORY;
    }
    if (count > 0) memcpy(s->commands, commands, (size_t)count * sizeof *commands);
    s->count = count;
    *stream = s;
    return AR_OK;
}

static void null_stream_destroy(ar__drv *drv, ar__stream *stream) {
    (void)drv;
    if (!stream) return;
    free(stream->commands);
    free(stream);
}

static void execute(const ar__drv *drv, const ar__command *c) {
    const ar__binding *from = &c->bind[0], *to = &c->bind[1];
    if (drv->fault.wrong_kernel && strcmp(c->kernel->name, drv->fault.wrong_kernel) == 0) {
        for (int32_t i = 0; i < c->kernel->binding_count; i++) {
            if (c->kernel->access[i] == AR_RO) continue;
            memset(c->bind[i].buffer->data + c->bind[i].offset, GARBAGE, (size_t)c->bind[i].bytes);
            break;
        }
    } else if (strcmp(c->kernel->name, "copy") == 0) {
        uint64_t bytes = (uint64_t)c->params[0] * 4;
        if (bytes > from->bytes) bytes = from->bytes;
        if (bytes > to->bytes) bytes = to->bytes;
        memmove(to->buffer->data + to->offset, from->buffer->data + from->offset, (size_t)bytes);
    }
}

static ar_status count_submit(ar__drv *drv) {
    if (++drv->submit_count == drv->fault.lose_device_submit_n) drv->lost = true;
    return check_lost(drv);
}

static ar_status null_submit(ar__drv *drv, ar__stream *stream) {
    AR_TRY(check_lost(drv));
    AR_TRY(count_submit(drv));
    for (int32_t i = 0; i < stream->count && !drv->forgets; i++) execute(drv, &stream->commands[i]);
    return AR_OK;
}

static ar_status null_wait(ar__drv *drv) { return check_lost(drv); }

static double now_us(void) {
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static ar_status null_profile(ar__drv *drv, ar__stream *stream, double *us, bool *wall) {
    AR_TRY(check_lost(drv));
    AR_TRY(count_submit(drv));
    *wall = true;
    for (int32_t i = 0; i < stream->count; i++) {
        double start = now_us();
        execute(drv, &stream->commands[i]);
        us[i] = now_us() - start;
    }
    return AR_OK;
}

const ar__driver ar__driver_null = {.name = "null",
                                    .list = null_list,
                                    .open = null_open,
                                    .close = null_close,
                                    .buffer_create = null_buffer_create,
                                    .buffer_destroy = null_buffer_destroy,
                                    .write = null_write,
                                    .read = null_read,
                                    .pipeline_create = null_pipeline_create,
                                    .pipeline_destroy = null_pipeline_destroy,
                                    .stream_create = null_stream_create,
                                    .stream_destroy = null_stream_destroy,
                                    .submit = null_submit,
                                    .wait = null_wait,
                                    .profile = null_profile};
