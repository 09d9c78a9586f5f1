/* Vulkan streams: a command list recorded once into command buffers, each at most submit_ms of estimated
 * work, replayed any number of times. They may be pending several times at once (SIMULTANEOUS_USE), so a
 * replay never waits for the one before it on the host. */
#include "driver_vk.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PROFILE_MAX = 1024 }; /* commands per profiled submission, two queries each */

/* What recording needs of a command; kept for profile(). */
typedef struct step {
    const ar__pipeline *pipeline;
    VkDescriptorSet set;
    uint32_t params[AR_MAX_PARAMS], groups[3];
    bool barrier;
    double ms;
} step;

struct ar__stream {
    step *steps;
    int32_t count;
    VkDescriptorPool sets;
    VkBufferView *views; /* of bindings read as texels */
    int32_t view_count;
    VkCommandPool pool;
    VkCommandBuffer *commands;
    int32_t command_count;
};

/* ---- checks ---- */

static ar_status check_range(const ar__binding *b, const char *name, int32_t i) {
    if (b->buffer && b->offset < b->buffer->bytes && b->bytes <= b->buffer->bytes - b->offset) return AR_OK;
    return ar__fail(AR_ERR_ARG, "%s, binding %d: bytes %llu + %llu of a buffer of %llu", name, i,
                    (unsigned long long)b->offset, (unsigned long long)b->bytes,
                    (unsigned long long)(b->buffer ? b->buffer->bytes : 0));
}

/* Devices that read texels only because they were asked to may have other limits. */
static ar_status check_texels(const VkPhysicalDeviceLimits *l, const ar__command *c, int32_t i) {
    const ar__binding *b = &c->bind[i];
    if (b->bytes / 16 < l->maxTexelBufferElements && b->offset % l->minTexelBufferOffsetAlignment == 0)
        return AR_OK;
    return ar__fail(
        AR_ERR_UNSUPPORTED,
        "kernel %s, binding %d: bytes %llu + %llu as texels, the device has %u at multiples of %llu",
        c->pipeline->kernel->name, i, (unsigned long long)b->offset, (unsigned long long)b->bytes,
        l->maxTexelBufferElements, (unsigned long long)l->minTexelBufferOffsetAlignment);
}

static ar_status check_dispatch(const ar__drv *drv, const ar__command *c) {
    const VkPhysicalDeviceLimits *l = &drv->properties.limits;
    if (!c->pipeline) return ar__fail(AR_ERR_ARG, "dispatch without a pipeline");
    const ar__kernel *k = c->pipeline->kernel;
    for (int i = 0; i < 3; i++)
        if (c->groups[i] > l->maxComputeWorkGroupCount[i])
            return ar__fail(AR_ERR_ARG, "kernel %s: %u groups on axis %d, the device takes %u", k->name,
                            c->groups[i], i, l->maxComputeWorkGroupCount[i]);
    for (int32_t i = 0; i < k->binding_count; i++) {
        AR_TRY(check_range(&c->bind[i], k->name, i));
        if (c->bind[i].offset % l->minStorageBufferOffsetAlignment)
            return ar__fail(AR_ERR_ARG, "kernel %s, binding %d: offset %llu, expected a multiple of %llu",
                            k->name, i, (unsigned long long)c->bind[i].offset,
                            (unsigned long long)l->minStorageBufferOffsetAlignment);
        if (c->bind[i].bytes > l->maxStorageBufferRange)
            return ar__fail(AR_ERR_ARG, "kernel %s, binding %d: %llu bytes, the device binds %u", k->name, i,
                            (unsigned long long)c->bind[i].bytes, l->maxStorageBufferRange);
        if (c->pipeline->texels >> i & 1) AR_TRY(check_texels(l, c, i));
    }
    return AR_OK;
}

/* ---- descriptors ---- */

static ar_status create_sets(ar__drv *drv, ar__stream *s, const ar__command *commands) {
    uint32_t dispatches = 0, buffers = 0, texels = 0;
    for (int32_t i = 0; i < s->count; i++) {
        dispatches++;
        buffers += (uint32_t)commands[i].pipeline->kernel->binding_count;
        for (uint32_t bits = commands[i].pipeline->texels; bits; bits &= bits - 1) texels++;
    }
    if (!dispatches) return AR_OK;
    s->views = ar__alloc((size_t)texels + 1, sizeof *s->views);
    if (!s->views) return AR_ERR_MEMORY;
    const VkDescriptorPoolSize sizes[] = {
        {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .descriptorCount = buffers ? buffers : 1},
        {.type = VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER, .descriptorCount = texels}};
    VkDescriptorPoolCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                       .maxSets = dispatches,
                                       .poolSizeCount = texels ? 2 : 1,
                                       .pPoolSizes = sizes};
    return AR_VK(drv, CreateDescriptorPool, drv->device, &info, NULL, &s->sets);
}

/* The binding's range, grown to whole 16-byte vectors where the buffer and the limit allow: the tail of an
 * array of vectors would otherwise lie outside. Slices are aligned far wider, so nothing else is reached. */
static uint64_t bound_bytes(const ar__drv *drv, const ar__binding *b) {
    uint64_t room = b->buffer->bytes - b->offset, limit = drv->properties.limits.maxStorageBufferRange;
    uint64_t bytes = b->bytes ? (b->bytes + 15) / 16 * 16 : room;
    if (bytes > room) bytes = room;
    return bytes > limit ? limit : bytes;
}

/* llvmpipe takes the second byte of a view's size for a count of mip levels, and compiles a kernel once for
 * views where that is 0 and once for others, as it does for buffers of powers of two: there are none of
 * either (create_buffer has the room). */
static ar_status make_view(ar__drv *drv, ar__stream *s, VkBufferView **view, const ar__binding *b) {
    uint64_t bytes = bound_bytes(drv, b) / 16 * 16;
    if (drv->facts.kind == AR_DEVICE_CPU && (bytes >> 8 & 255) == 0) bytes += AR_TEXEL_MORE;
    VkBufferViewCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO,
                                   .buffer = b->buffer->buffer,
                                   .format = VK_FORMAT_R32G32B32A32_SFLOAT,
                                   .offset = b->offset,
                                   .range = bytes};
    *view = &s->views[s->view_count];
    AR_TRY(AR_VK(drv, CreateBufferView, drv->device, &info, NULL, *view));
    s->view_count++;
    return AR_OK;
}

static ar_status bind_buffers(ar__drv *drv, ar__stream *s, step *st, const ar__command *c) {
    VkDescriptorBufferInfo buffers[AR_MAX_BINDINGS];
    VkWriteDescriptorSet writes[AR_MAX_BINDINGS];
    VkDescriptorSetAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                        .descriptorPool = s->sets,
                                        .descriptorSetCount = 1,
                                        .pSetLayouts = &c->pipeline->sets};
    AR_TRY(AR_VK(drv, AllocateDescriptorSets, drv->device, &info, &st->set));
    uint32_t count = (uint32_t)c->pipeline->kernel->binding_count;
    for (uint32_t i = 0; i < count; i++) {
        buffers[i] = (VkDescriptorBufferInfo){.buffer = c->bind[i].buffer->buffer,
                                              .offset = c->bind[i].offset,
                                              .range = bound_bytes(drv, &c->bind[i])};
        writes[i] = (VkWriteDescriptorSet){.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                           .dstSet = st->set,
                                           .dstBinding = i,
                                           .descriptorCount = 1,
                                           .descriptorType = ar__vk_descriptor_type(c->pipeline, i),
                                           .pBufferInfo = &buffers[i]};
        if (!(c->pipeline->texels >> i & 1)) continue;
        VkBufferView *view;
        AR_TRY(make_view(drv, s, &view, &c->bind[i]));
        writes[i].pTexelBufferView = view;
    }
    drv->fns.UpdateDescriptorSets(drv->device, count, writes, 0, NULL);
    return AR_OK;
}

/* ---- steps ---- */

static ar_status make_step(ar__drv *drv, ar__stream *s, step *st, const ar__command *c) {
    st->barrier = c->barrier;
    st->ms = c->ms > 0 ? c->ms : 0;
    st->pipeline = c->pipeline;
    memcpy(st->params, c->params, sizeof st->params);
    for (int i = 0; i < 3; i++) st->groups[i] = c->groups[i] ? c->groups[i] : 1;
    return bind_buffers(drv, s, st, c);
}

static void record_step(ar__drv *drv, VkCommandBuffer commands, const step *st) {
    const ar__vk_fns *f = &drv->fns;
    const ar__pipeline *p = st->pipeline;
    f->CmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, p->pipeline);
    f->CmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, p->layout, 0, 1, &st->set, 0, NULL);
    if (p->kernel->param_count)
        f->CmdPushConstants(commands, p->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0,
                            4 * (uint32_t)p->kernel->param_count, st->params);
    f->CmdDispatch(commands, st->groups[0], st->groups[1], st->groups[2]);
}

/* End of the submission that starts at step i: the estimate stays within the limit, but for a single step. */
static int32_t cut(const ar__drv *drv, const ar__stream *s, int32_t i) {
    double ms = s->steps[i++].ms;
    while (i < s->count && (!(drv->submit_ms > 0) || ms + s->steps[i].ms <= drv->submit_ms))
        ms += s->steps[i++].ms;
    return i;
}

static ar_status create_commands(ar__drv *drv, ar__stream *s) {
    for (int32_t i = 0; i < s->count; i = cut(drv, s, i)) s->command_count++;
    if (!s->command_count) return AR_OK;
    s->commands = ar__alloc((size_t)s->command_count, sizeof(VkCommandBuffer));
    if (!s->commands) return AR_ERR_MEMORY;
    VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                    .queueFamilyIndex = drv->family};
    AR_TRY(AR_VK(drv, CreateCommandPool, drv->device, &pool, NULL, &s->pool));
    VkCommandBufferAllocateInfo buffers = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                           .commandPool = s->pool,
                                           .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                           .commandBufferCount = (uint32_t)s->command_count};
    return AR_VK(drv, AllocateCommandBuffers, drv->device, &buffers, s->commands);
}

static ar_status record(ar__drv *drv, ar__stream *s) {
    int32_t i = 0;
    for (int32_t b = 0; b < s->command_count; b++) {
        int32_t first = i, end = cut(drv, s, i);
        AR_TRY(ar__vk_begin(drv, s->commands[b], VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT));
        for (; i < end; i++) {
            if (s->steps[i].barrier && i > first)
                ar__vk_barrier(drv, s->commands[b]); /* begin has the first */
            record_step(drv, s->commands[b], &s->steps[i]);
        }
        AR_TRY(ar__vk_end(drv, s->commands[b]));
    }
    return AR_OK;
}

/* ---- public ---- */

static void destroy_stream(ar__drv *drv, ar__stream *s) {
    if (!s) return;
    drv->fns.DestroyCommandPool(drv->device, s->pool, NULL);
    drv->fns.DestroyDescriptorPool(drv->device, s->sets, NULL);
    for (int32_t i = 0; i < s->view_count; i++) drv->fns.DestroyBufferView(drv->device, s->views[i], NULL);
    free(s->views);
    free(s->commands);
    free(s->steps);
    free(s);
}

ar_status ar__vk_stream_create(ar__drv *drv, ar__stream **stream, const ar__command *commands, int32_t count,
                               int32_t *submissions) {
    *stream = NULL;
    for (int32_t i = 0; i < count; i++) AR_TRY(check_dispatch(drv, &commands[i]));
    ar__stream *s = ar__alloc(1, sizeof *s);
    if (!s) return AR_ERR_MEMORY;
    ar_status status = AR_ERR_MEMORY;
    s->count = count;
    s->steps = ar__alloc((size_t)count, sizeof(step));
    if (!s->steps) goto done;
    AR_GO(create_sets(drv, s, commands));
    for (int32_t i = 0; i < count; i++) AR_GO(make_step(drv, s, &s->steps[i], &commands[i]));
    AR_GO(create_commands(drv, s));
    AR_GO(record(drv, s));
    if (drv->place_tries > 0 && strncmp(drv->facts.driver, "llvmpipe", 8) == 0)
        drv->place_tries = ar__vk_threads_place() ? 0 : drv->place_tries - 1;
    if (submissions) *submissions = s->command_count;
    *stream = s;
    s = NULL;
done:
    destroy_stream(drv, s);
    return status;
}

void ar__vk_stream_destroy(ar__drv *drv, ar__stream *stream) {
    if (stream) ar__vk_idle(drv);
    destroy_stream(drv, stream);
}

ar_status ar__vk_stream_submit(ar__drv *drv, ar__stream *stream) {
    for (int32_t b = 0; b < stream->command_count; b++)
        AR_TRY(ar__vk_submit(drv, stream->commands[b], b + 1 == stream->command_count));
    return AR_OK;
}

/* ---- profiling ---- */

static ar_status run_scratch(ar__drv *drv) {
    AR_TRY(ar__vk_end(drv, drv->scratch));
    AR_TRY(ar__vk_submit(drv, drv->scratch, true));
    return ar__vk_wait(drv);
}

static ar_status profile_wall(ar__drv *drv, const ar__stream *s, double *us) {
    for (int32_t i = 0; i < s->count; i++) {
        struct timespec from, to;
        AR_TRY(ar__vk_begin(drv, drv->scratch, VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT));
        record_step(drv, drv->scratch, &s->steps[i]);
        clock_gettime(CLOCK_MONOTONIC, &from);
        AR_TRY(run_scratch(drv));
        clock_gettime(CLOCK_MONOTONIC, &to);
        us[i] = (double)(to.tv_sec - from.tv_sec) * 1e6 + (double)(to.tv_nsec - from.tv_nsec) * 1e-3;
    }
    return AR_OK;
}

/* Steps first..end-1 in one submission, one after the other, a timestamp on either side of each. */
static ar_status profile_piece(ar__drv *drv, const ar__stream *s, VkQueryPool queries, int32_t first,
                               int32_t end, double *us) {
    uint64_t ticks[2 * PROFILE_MAX];
    uint32_t count = 2 * (uint32_t)(end - first);
    VkCommandBuffer commands = drv->scratch;
    AR_TRY(ar__vk_begin(drv, commands, VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT));
    drv->fns.CmdResetQueryPool(commands, queries, 0, count);
    for (uint32_t q = 0; q < count; q += 2) {
        drv->fns.CmdWriteTimestamp(commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, queries, q);
        record_step(drv, commands, &s->steps[first + (int32_t)q / 2]);
        ar__vk_barrier(drv, commands);
        drv->fns.CmdWriteTimestamp(commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, queries, q + 1);
    }
    AR_TRY(run_scratch(drv));
    AR_TRY(AR_VK(drv, GetQueryPoolResults, drv->device, queries, 0, count, count * sizeof *ticks, ticks,
                 sizeof *ticks, VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT));
    double us_per_tick = (double)drv->properties.limits.timestampPeriod * 1e-3;
    for (uint32_t q = 0; q < count; q += 2)
        us[first + (int32_t)q / 2] = (double)((ticks[q + 1] - ticks[q]) & drv->timestamp_mask) * us_per_tick;
    return AR_OK;
}

ar_status ar__vk_stream_profile(ar__drv *drv, ar__stream *stream, double *us, bool *wall) {
    *wall = !drv->timestamp_mask;
    AR_TRY(ar__vk_wait(drv)); /* scratch is free, the queue idle */
    if (*wall) return profile_wall(drv, stream, us);
    VkQueryPool queries = VK_NULL_HANDLE;
    VkQueryPoolCreateInfo info = {.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
                                  .queryType = VK_QUERY_TYPE_TIMESTAMP,
                                  .queryCount = 2 * PROFILE_MAX};
    AR_TRY(AR_VK(drv, CreateQueryPool, drv->device, &info, NULL, &queries));
    ar_status status = AR_OK;
    for (int32_t i = 0, end; i < stream->count; i = end) {
        end = cut(drv, stream, i);
        if (end - i > PROFILE_MAX) end = i + PROFILE_MAX;
        AR_GO(profile_piece(drv, stream, queries, i, end, us));
    }
done:
    if (status != AR_OK) drv->fns.DeviceWaitIdle(drv->device);
    drv->fns.DestroyQueryPool(drv->device, queries, NULL);
    return status;
}
