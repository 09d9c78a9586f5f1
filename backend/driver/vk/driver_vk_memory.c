/* Vulkan buffers: one VkDeviceMemory each (memory.c sub-allocates above), mapped for good where the host sees
 * the memory; otherwise reads and writes go through one staging buffer, piece by piece. */
#include "driver_vk.h"
#include "pages.h"
#include <stdlib.h>
#include <string.h>

#define STAGING_BYTES ((uint64_t)16 << 20)
#define LARGE_BYTES   ((uint64_t)4 << 20)            /* smaller ones may hold no large page */
#define TEXEL_SPARE   ((uint64_t)AR_TEXEL_MORE + 16) /* and no power of two with it */
#define HOST_MEMORY   VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT

/* What the plan chose; where this buffer may not lie there, the best of what is allowed by the same facts. */
static int32_t choose_type(const ar__drv *drv, uint32_t allowed, bool staging) {
    int32_t wish = staging ? drv->staging_memory_type : drv->device_memory_type;
    if (wish >= 0 && wish < drv->facts.memory_type_count && allowed >> wish & 1 &&
        (!staging || drv->facts.memory_types[wish].host_visible))
        return wish;
    return ar__memory_type(&drv->facts, allowed, staging);
}

/* ---- buffers ---- */

static ar_status refuse(const ar__drv *drv, uint64_t bytes, uint64_t limit, const char *what) {
    return ar__fail(AR_ERR_DEVICE_MEMORY, "%s: a buffer of %llu bytes, %s is %llu",
                    drv->properties.deviceName, (unsigned long long)bytes, what, (unsigned long long)limit);
}

void ar__vk_host_memory_find(ar__drv *drv) {
    VkPhysicalDeviceExternalMemoryHostPropertiesEXT host = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT};
    VkPhysicalDeviceProperties2 head = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                        .pNext = &host};
    drv->fns.GetPhysicalDeviceProperties2(drv->physical, &head);
    drv->host_align = host.minImportedHostPointerAlignment;
    if (drv->host_align > 0 && drv->host_align <= AR_PAGE_BYTES)
        drv->host_properties = (PFN_vkGetMemoryHostPointerPropertiesEXT)drv->fns.GetDeviceProcAddr(
            drv->device, "vkGetMemoryHostPointerPropertiesEXT");
}

/* Where the processor is the device, large buffers lie in memory of ours: Mesa's own is a file since 26,
 * which most systems give no large pages. *need becomes what that takes. Where it is not to be had, *import
 * stays as it is and the driver's own memory does. */
static void take_host_memory(ar__drv *drv, ar__buffer *b, VkMemoryRequirements *need,
                             VkImportMemoryHostPointerInfoEXT *import) {
    VkMemoryHostPointerPropertiesEXT at = {.sType = VK_STRUCTURE_TYPE_MEMORY_HOST_POINTER_PROPERTIES_EXT};
    uint64_t bytes = (need->size + drv->host_align - 1) / drv->host_align * drv->host_align;
    b->host = ar__pages_alloc((size_t)bytes);
    if (!b->host) return;
    if (drv->host_properties(drv->device, HOST_MEMORY, b->host, &at) == VK_SUCCESS &&
        (at.memoryTypeBits & need->memoryTypeBits) != 0) {
        import->pHostPointer = b->host;
        need->size = bytes;
        need->memoryTypeBits &= at.memoryTypeBits;
        return;
    }
    ar__pages_free(b->host, (size_t)bytes);
    b->host = NULL;
}

static ar_status allocate(ar__drv *drv, ar__buffer *b, bool staging, bool in_host) {
    VkMemoryRequirements need;
    VkImportMemoryHostPointerInfoEXT import = {.sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT,
                                               .handleType = HOST_MEMORY};
    drv->fns.GetBufferMemoryRequirements(drv->device, b->buffer, &need);
    if (in_host) take_host_memory(drv, b, &need, &import);
    b->memory_bytes = need.size;
    uint32_t allowed = need.memoryTypeBits;
    int32_t type = choose_type(drv, allowed, staging);
    if (type < 0)
        return ar__fail(AR_ERR_DEVICE, "%s: no memory type for a %s buffer among 0x%x",
                        drv->properties.deviceName, staging ? "staging" : "device", allowed);
    const ar_memory_type *t = &drv->facts.memory_types[type];
    uint64_t heap = t->heap_bytes;
    if (need.size > heap) return refuse(drv, need.size, heap, "the memory heap");
    VkMemoryAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                 .pNext = b->host ? &import : NULL,
                                 .allocationSize = need.size,
                                 .memoryTypeIndex = (uint32_t)type};
    VkResult result = drv->fns.AllocateMemory(drv->device, &info, NULL, &b->memory);
    if (result == VK_ERROR_OUT_OF_DEVICE_MEMORY || result == VK_ERROR_OUT_OF_HOST_MEMORY)
        return ar__fail(AR_ERR_DEVICE_MEMORY, "%s: vkAllocateMemory refused %llu bytes, the heap is %llu",
                        drv->properties.deviceName, (unsigned long long)need.size, (unsigned long long)heap);
    AR_TRY(ar__vk_check(result, "vkAllocateMemory"));
    b->coherent = t->host_coherent;
    AR_TRY(AR_VK(drv, BindBufferMemory, drv->device, b->buffer, b->memory, 0));
    if (!t->host_visible || (!staging && drv->staged)) return AR_OK;
    void *map = NULL;
    AR_TRY(AR_VK(drv, MapMemory, drv->device, b->memory, 0, VK_WHOLE_SIZE, 0, &map));
    b->map = map;
    if (drv->facts.kind == AR_DEVICE_CPU && !b->host) ar__pages_enlarge(map, (size_t)need.size);
    return AR_OK;
}

static void destroy_buffer(ar__drv *drv, ar__buffer *buffer) {
    if (!buffer) return;
    drv->fns.DestroyBuffer(drv->device, buffer->buffer, NULL);
    drv->fns.FreeMemory(drv->device, buffer->memory, NULL); /* unmaps */
    ar__pages_free(buffer->host, (size_t)buffer->memory_bytes);
    free(buffer);
}

static ar_status create_buffer(ar__drv *drv, ar__buffer **buffer, uint64_t bytes, bool staging) {
    *buffer = NULL;
    if (bytes > drv->max_allocation_bytes)
        return refuse(drv, bytes, drv->max_allocation_bytes, "the largest allocation");
    ar__buffer *b = ar__alloc(1, sizeof *b);
    if (!b) return AR_ERR_MEMORY;
    ar_status status;
    /* A multiple of 16, so that a vector at the end may be read whole. */
    b->bytes = bytes ? (bytes + 15) / 16 * 16 : 16;
    VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                               .size = b->bytes,
                               .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT |
                                        VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT};
    const VkExternalMemoryBufferCreateInfo external = {
        .sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO, .handleTypes = HOST_MEMORY};
    bool in_host = drv->host_properties && b->bytes >= LARGE_BYTES;
    if (in_host) info.pNext = &external;
    if (drv->reads_texels) {
        info.size += TEXEL_SPARE;
        info.usage |= VK_BUFFER_USAGE_UNIFORM_TEXEL_BUFFER_BIT;
    }
    AR_GO(AR_VK(drv, CreateBuffer, drv->device, &info, NULL, &b->buffer));
    AR_GO(allocate(drv, b, staging, in_host));
    *buffer = b;
    b = NULL;
done:
    destroy_buffer(drv, b);
    return status;
}

ar_status ar__vk_buffer_create(ar__drv *drv, ar__buffer **buffer, uint64_t bytes) {
    return create_buffer(drv, buffer, bytes, false);
}

void ar__vk_buffer_destroy(ar__drv *drv, ar__buffer *buffer) {
    if (buffer) ar__vk_idle(drv);
    destroy_buffer(drv, buffer);
}

/* ---- transfers ---- */

/* Memory that is not coherent moves in whole atoms. */
static VkMappedMemoryRange atoms(const ar__drv *drv, const ar__buffer *b, uint64_t offset, uint64_t bytes) {
    uint64_t atom = drv->properties.limits.nonCoherentAtomSize;
    uint64_t from = offset / atom * atom, to = (offset + bytes + atom - 1) / atom * atom;
    return (VkMappedMemoryRange){.sType = VK_STRUCTURE_TYPE_MAPPED_MEMORY_RANGE,
                                 .memory = b->memory,
                                 .offset = from,
                                 .size = to >= b->memory_bytes ? VK_WHOLE_SIZE : to - from};
}

static ar_status map_write(ar__drv *drv, ar__buffer *b, uint64_t offset, const void *src, uint64_t bytes) {
    memcpy(b->map + offset, src, (size_t)bytes);
    if (b->coherent) return AR_OK;
    VkMappedMemoryRange range = atoms(drv, b, offset, bytes);
    return AR_VK(drv, FlushMappedMemoryRanges, drv->device, 1, &range);
}

static ar_status map_read(ar__drv *drv, ar__buffer *b, uint64_t offset, void *dst, uint64_t bytes) {
    if (!b->coherent) {
        VkMappedMemoryRange range = atoms(drv, b, offset, bytes);
        AR_TRY(AR_VK(drv, InvalidateMappedMemoryRanges, drv->device, 1, &range));
    }
    memcpy(dst, b->map + offset, (size_t)bytes);
    return AR_OK;
}

static ar_status device_copy(ar__drv *drv, ar__buffer *dst, uint64_t dst_offset, ar__buffer *src,
                             uint64_t src_offset, uint64_t bytes) {
    VkBufferCopy region = {.srcOffset = src_offset, .dstOffset = dst_offset, .size = bytes};
    AR_TRY(ar__vk_begin(drv, drv->scratch, VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT));
    drv->fns.CmdCopyBuffer(drv->scratch, src->buffer, dst->buffer, 1, &region);
    AR_TRY(ar__vk_end(drv, drv->scratch));
    AR_TRY(ar__vk_submit(drv, drv->scratch, true));
    return ar__vk_wait(drv);
}

/* Checks the range, waits, and makes the staging buffer where the host cannot reach the memory. */
static ar_status prepare(ar__drv *drv, const ar__buffer *b, uint64_t offset, uint64_t bytes,
                         const char *what) {
    if (offset > b->bytes || bytes > b->bytes - offset)
        return ar__fail(AR_ERR_ARG, "%s: bytes %llu + %llu of a buffer of %llu", what,
                        (unsigned long long)offset, (unsigned long long)bytes, (unsigned long long)b->bytes);
    AR_TRY(ar__vk_wait(drv));
    if (!b->map && !drv->staging) AR_TRY(create_buffer(drv, &drv->staging, STAGING_BYTES, true));
    return AR_OK;
}

ar_status ar__vk_write(ar__drv *drv, ar__buffer *buffer, uint64_t offset, const void *src, uint64_t bytes) {
    AR_TRY(prepare(drv, buffer, offset, bytes, "write"));
    if (bytes && buffer->map) return map_write(drv, buffer, offset, src, bytes);
    for (uint64_t at = 0, n; at < bytes; at += n) {
        n = bytes - at < STAGING_BYTES ? bytes - at : STAGING_BYTES;
        AR_TRY(map_write(drv, drv->staging, 0, (const uint8_t *)src + at, n));
        AR_TRY(device_copy(drv, buffer, offset + at, drv->staging, 0, n));
    }
    return AR_OK;
}

ar_status ar__vk_read(ar__drv *drv, ar__buffer *buffer, uint64_t offset, void *dst, uint64_t bytes) {
    AR_TRY(prepare(drv, buffer, offset, bytes, "read"));
    if (bytes && buffer->map) return map_read(drv, buffer, offset, dst, bytes);
    for (uint64_t at = 0, n; at < bytes; at += n) {
        n = bytes - at < STAGING_BYTES ? bytes - at : STAGING_BYTES;
        AR_TRY(device_copy(drv, drv->staging, 0, buffer, offset + at, n));
        AR_TRY(map_read(drv, drv->staging, 0, (uint8_t *)dst + at, n));
    }
    return AR_OK;
}
