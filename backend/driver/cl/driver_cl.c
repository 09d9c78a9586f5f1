/* The OpenCL driver: OpenCL 1.2 through one in-order queue. Buffers, command lists that are enqueued again
 * for each replay, and timing. Finding devices: driver_cl_find.c; building kernels: driver_cl_program.c.
 * Order is the queue's, so a command's barrier flag needs nothing here. */
#include "driver_cl.h"
#include "pages.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct ar__buffer {
    cl_mem mem;
    uint64_t bytes;
};

/* One recorded command: a kernel object with all its arguments set, or a copy. */
typedef struct cl_command {
    cl_kernel kernel;
    size_t global[3], local[3];
    bool flush_before; /* a submission starts here */
} cl_command;

/* A part of a buffer bound as a whole; one per distinct part of a stream. */
typedef struct cl_part {
    cl_mem parent, mem;
    uint64_t offset, bytes;
} cl_part;

struct ar__stream {
    cl_command *commands;
    int32_t count;
    cl_part *parts; /* open addressing by (parent, offset, bytes); mem NULL = free */
    size_t part_capacity, part_count;
};

#define CL_TRY(drv, name, ...)                                                                               \
    do {                                                                                                     \
        cl_int cl_code_ = (drv)->cl.name(__VA_ARGS__);                                                       \
        if (cl_code_ != CL_SUCCESS) return ar__cl_fail(cl_code_, "cl" #name);                                \
    } while (0)

/* ---- device ---- */

static void cl_close(ar__drv *drv) {
    if (!drv) return;
    if (drv->queue) {
        drv->cl.Finish(drv->queue);
        drv->cl.ReleaseCommandQueue(drv->queue);
    }
    if (drv->context) drv->cl.ReleaseContext(drv->context);
    free(drv->cache_dir);
    free(drv);
}

static ar_status cl_open(ar__drv **drv, const ar_device_facts *facts, const ar_plan *plan,
                         const ar_device_desc *desc) {
    ar_status status;
    cl_int code;
    ar__drv *d = ar__alloc(1, sizeof *d);
    if (!d) return AR_ERR_MEMORY;
    d->facts = *facts;
    d->plan = *plan;
    d->submit_ms = desc->submit_ms > 0 ? desc->submit_ms : plan->submit_ms;
    AR_GO(ar__cl_find(d, facts));
    if (desc->cache_dir) {
        size_t bytes = strlen(desc->cache_dir) + 1;
        d->cache_dir = ar__alloc(bytes, 1);
        if (!d->cache_dir) {
            status = AR_ERR_MEMORY;
            goto done;
        }
        memcpy(d->cache_dir, desc->cache_dir, bytes);
    }
    d->context = d->cl.CreateContext(NULL, 1, &d->device, NULL, NULL, &code);
    if (code != CL_SUCCESS) AR_GO(ar__cl_fail(code, "clCreateContext"));
    d->queue = d->cl.CreateCommandQueue(d->context, d->device, 0, &code);
    if (code != CL_SUCCESS) AR_GO(ar__cl_fail(code, "clCreateCommandQueue"));
    *drv = d;
    return AR_OK;
done:
    cl_close(d);
    return status;
}

/* ---- buffers ---- */

#define LARGE_BYTES ((uint64_t)4 << 20) /* smaller ones may hold no large page */

/* Where the processor is the device, mapping tells where a buffer lies. What goes wrong is told by its first
 * use. */
static void enlarge_pages(ar__drv *drv, cl_mem mem, uint64_t bytes) {
    if (drv->facts.kind != AR_DEVICE_CPU || bytes < LARGE_BYTES) return;
    void *at = drv->cl.EnqueueMapBuffer(drv->queue, mem, CL_TRUE, CL_MAP_WRITE_INVALIDATE_REGION, 0,
                                        (size_t)bytes, 0, NULL, NULL, NULL);
    if (!at) return;
    ar__pages_enlarge(at, (size_t)bytes);
    drv->cl.EnqueueUnmapMemObject(drv->queue, mem, at, 0, NULL, NULL);
}

static ar_status cl_buffer_create(ar__drv *drv, ar__buffer **buffer, uint64_t bytes) {
    cl_int code;
    ar__buffer *b = ar__alloc(1, sizeof *b);
    if (!b) return AR_ERR_MEMORY;
    b->bytes = bytes;
    b->mem = drv->cl.CreateBuffer(drv->context, CL_MEM_READ_WRITE, (size_t)bytes, NULL, &code);
    if (code != CL_SUCCESS) {
        free(b);
        return ar__cl_fail(code, "clCreateBuffer");
    }
    enlarge_pages(drv, b->mem, bytes);
    *buffer = b;
    return AR_OK;
}

static void cl_buffer_destroy(ar__drv *drv, ar__buffer *buffer) {
    if (!buffer) return;
    drv->cl.ReleaseMemObject(buffer->mem); /* queued work holds its own reference */
    free(buffer);
}

static ar_status cl_write(ar__drv *drv, ar__buffer *buffer, uint64_t offset, const void *src,
                          uint64_t bytes) {
    if (bytes == 0) return AR_OK;
    CL_TRY(drv, EnqueueWriteBuffer, drv->queue, buffer->mem, CL_TRUE, (size_t)offset, (size_t)bytes, src, 0,
           NULL, NULL);
    return AR_OK;
}

static ar_status cl_read(ar__drv *drv, ar__buffer *buffer, uint64_t offset, void *dst, uint64_t bytes) {
    if (bytes == 0) return AR_OK;
    CL_TRY(drv, EnqueueReadBuffer, drv->queue, buffer->mem, CL_TRUE, (size_t)offset, (size_t)bytes, dst, 0,
           NULL, NULL);
    return AR_OK;
}

/* ---- streams ---- */

static void cl_stream_destroy(ar__drv *drv, ar__stream *stream) {
    if (!stream) return;
    for (int32_t i = 0; i < stream->count && stream->commands; i++)
        if (stream->commands[i].kernel) drv->cl.ReleaseKernel(stream->commands[i].kernel);
    for (size_t i = 0; i < stream->part_capacity && stream->parts; i++)
        if (stream->parts[i].mem) drv->cl.ReleaseMemObject(stream->parts[i].mem);
    free(stream->commands);
    free(stream->parts);
    free(stream);
}

/* The slot of a part, or the free slot where it belongs. */
static cl_part *find_part(const ar__stream *stream, cl_mem parent, uint64_t offset, uint64_t bytes) {
    uint64_t h = ((uint64_t)(uintptr_t)parent >> 4) * 0x9e3779b97f4a7c15u;
    h = (h ^ (offset >> 4)) * 0x9e3779b97f4a7c15u;
    h = (h ^ bytes) * 0x9e3779b97f4a7c15u;
    for (size_t i = (size_t)(h >> 32) & (stream->part_capacity - 1);;
         i = (i + 1) & (stream->part_capacity - 1)) {
        cl_part *p = &stream->parts[i];
        if (!p->mem || (p->parent == parent && p->offset == offset && p->bytes == bytes)) return p;
    }
}

/* The memory object for a binding: the buffer itself where the binding starts, else a sub-buffer. */
static ar_status bind_part(ar__drv *drv, ar__stream *stream, cl_mem *mem, const ar__binding *bind) {
    cl_int code;
    if (bind->offset == 0) {
        *mem = bind->buffer->mem;
        return AR_OK;
    }
    cl_part *part = find_part(stream, bind->buffer->mem, bind->offset, bind->bytes);
    if (!part->mem) {
        cl_buffer_region region = {(size_t)bind->offset, (size_t)bind->bytes};
        part->mem = drv->cl.CreateSubBuffer(bind->buffer->mem, CL_MEM_READ_WRITE,
                                            CL_BUFFER_CREATE_TYPE_REGION, &region, &code);
        if (code != CL_SUCCESS) {
            part->mem = NULL;
            return ar__cl_fail(code, "clCreateSubBuffer");
        }
        part->parent = bind->buffer->mem;
        part->offset = bind->offset;
        part->bytes = bind->bytes;
    }
    *mem = part->mem;
    return AR_OK;
}

/* A kernel object of its own for each command: its arguments are set once, and a replay only enqueues. */
static ar_status record_dispatch(ar__drv *drv, ar__stream *stream, cl_command *out, const ar__command *in) {
    const ar__kernel *kernel = in->kernel;
    const cl_uint end = 0; /* the dialect's last argument */
    cl_int code;
    cl_uint arg = 0;
    out->kernel = drv->cl.CreateKernel(in->pipeline->program, in->pipeline->entry, &code);
    if (code != CL_SUCCESS) {
        out->kernel = NULL;
        return ar__cl_fail(code, "clCreateKernel");
    }
    for (int32_t i = 0; i < kernel->binding_count; i++) {
        cl_mem mem;
        AR_TRY(bind_part(drv, stream, &mem, &in->bind[i]));
        CL_TRY(drv, SetKernelArg, out->kernel, arg++, sizeof mem, &mem);
    }
    for (int32_t i = 0; i < kernel->param_count; i++)
        CL_TRY(drv, SetKernelArg, out->kernel, arg++, 4, &in->params[i]);
    CL_TRY(drv, SetKernelArg, out->kernel, arg, sizeof end, &end);
    for (int i = 0; i < 3; i++) {
        out->local[i] = in->pipeline->group[i];
        out->global[i] = out->local[i] * (in->groups[i] ? in->groups[i] : 1);
    }
    return AR_OK;
}

static ar_status cl_stream_create(ar__drv *drv, ar__stream **stream, const ar__command *commands,
                                  int32_t count, int32_t *submissions) {
    ar_status status = AR_ERR_MEMORY;
    size_t bindings = 0;
    double ms = 0;
    ar__stream *s = ar__alloc(1, sizeof *s);
    if (!s) return AR_ERR_MEMORY;
    for (int32_t i = 0; i < count; i++) bindings += (size_t)commands[i].kernel->binding_count;
    for (s->part_capacity = 16; s->part_capacity < 2 * bindings;) s->part_capacity *= 2;
    s->parts = ar__alloc(s->part_capacity, sizeof *s->parts);
    s->commands = ar__alloc((size_t)count, sizeof *s->commands);
    if (!s->parts || !s->commands) goto done;
    *submissions = count > 0 ? 1 : 0;
    for (int32_t i = 0; i < count; i++) {
        cl_command *out = &s->commands[i];
        if (i > 0 && ms + commands[i].ms > drv->submit_ms) {
            out->flush_before = true;
            ms = 0;
            ++*submissions;
        }
        ms += commands[i].ms;
        s->count = i + 1;
        AR_GO(record_dispatch(drv, s, out, &commands[i]));
    }
    *stream = s;
    return AR_OK;
done:
    cl_stream_destroy(drv, s);
    return status;
}

static ar_status enqueue(ar__drv *drv, cl_command_queue queue, const cl_command *c, cl_event *event) {
    CL_TRY(drv, EnqueueNDRangeKernel, queue, c->kernel, 3, NULL, c->global, c->local, 0, NULL, event);
    return AR_OK;
}

static ar_status cl_submit(ar__drv *drv, ar__stream *stream) {
    for (int32_t i = 0; i < stream->count; i++) {
        if (stream->commands[i].flush_before) CL_TRY(drv, Flush, drv->queue);
        AR_TRY(enqueue(drv, drv->queue, &stream->commands[i], NULL));
    }
    CL_TRY(drv, Flush, drv->queue);
    return AR_OK;
}

static ar_status cl_wait(ar__drv *drv) {
    CL_TRY(drv, Finish, drv->queue);
    return AR_OK;
}

/* ---- profile ---- */

static double now_us(void) {
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static ar_status profile_wall(ar__drv *drv, ar__stream *stream, double *us) {
    for (int32_t i = 0; i < stream->count; i++) {
        double start = now_us();
        AR_TRY(enqueue(drv, drv->queue, &stream->commands[i], NULL));
        CL_TRY(drv, Finish, drv->queue);
        us[i] = now_us() - start;
    }
    return AR_OK;
}

/* One command at a time on a queue made for timing; *us < 0 if the device gave no times. */
static ar_status profile_one(ar__drv *drv, cl_command_queue queue, const cl_command *c, double *us) {
    cl_event event = NULL;
    cl_ulong start = 0, end = 0;
    ar_status status = enqueue(drv, queue, c, &event);
    cl_int code = status == AR_OK ? drv->cl.Finish(queue) : CL_SUCCESS;
    if (status == AR_OK && code != CL_SUCCESS) status = ar__cl_fail(code, "clFinish");
    *us = -1;
    if (status == AR_OK &&
        drv->cl.GetEventProfilingInfo(event, CL_PROFILING_COMMAND_START, sizeof start, &start, NULL) ==
            CL_SUCCESS &&
        drv->cl.GetEventProfilingInfo(event, CL_PROFILING_COMMAND_END, sizeof end, &end, NULL) ==
            CL_SUCCESS &&
        end >= start)
        *us = (double)(end - start) * 1e-3;
    if (event) drv->cl.ReleaseEvent(event);
    return status;
}

static ar_status cl_profile(ar__drv *drv, ar__stream *stream, double *us, bool *wall) {
    cl_int code = CL_INVALID_VALUE;
    cl_command_queue queue = NULL;
    ar_status status = AR_OK;
    CL_TRY(drv, Finish, drv->queue);
    if (drv->plan.timestamps)
        queue = drv->cl.CreateCommandQueue(drv->context, drv->device, CL_QUEUE_PROFILING_ENABLE, &code);
    *wall = code != CL_SUCCESS;
    if (*wall) return profile_wall(drv, stream, us);
    for (int32_t i = 0; i < stream->count && status == AR_OK; i++) {
        double start = now_us();
        status = profile_one(drv, queue, &stream->commands[i], &us[i]);
        if (us[i] < 0) {
            us[i] = now_us() - start;
            *wall = true;
        }
    }
    drv->cl.ReleaseCommandQueue(queue);
    return status;
}

const ar__driver ar__driver_cl = {.name = "cl",
                                  .list = ar__cl_list,
                                  .open = cl_open,
                                  .close = cl_close,
                                  .buffer_create = cl_buffer_create,
                                  .buffer_destroy = cl_buffer_destroy,
                                  .write = cl_write,
                                  .read = cl_read,
                                  .pipeline_create = ar__cl_pipeline_create,
                                  .pipelines_create = ar__cl_pipelines_create,
                                  .pipeline_destroy = ar__cl_pipeline_destroy,
                                  .stream_create = cl_stream_create,
                                  .stream_destroy = cl_stream_destroy,
                                  .submit = cl_submit,
                                  .wait = cl_wait,
                                  .profile = cl_profile};
