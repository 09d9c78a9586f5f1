/* Vulkan 1.1 driver: opening and closing a device, and the table that names its parts. */
#include "driver_vk.h"
#include <stdlib.h>

static void close_device(ar__drv *drv) {
    if (!drv) return;
    if (drv->device) {
        const ar__vk_fns *f = &drv->fns;
        f->DeviceWaitIdle(drv->device);
        ar__vk_buffer_destroy(drv, drv->staging);
        for (int i = 0; i < AR_VK_RING; i++) f->DestroyFence(drv->device, drv->fences[i], NULL);
        f->DestroyCommandPool(drv->device, drv->pool, NULL);
        ar__vk_cache_close(drv);
        f->DestroyDevice(drv->device, NULL);
    }
    if (drv->instance) drv->fns.DestroyInstance(drv->instance, NULL);
    free(drv);
}

static ar_status load_device_fns(ar__drv *drv) {
#define AR_VK_LOAD(name)                                                                                     \
    drv->fns.name = (PFN_vk##name)drv->fns.GetDeviceProcAddr(drv->device, "vk" #name);                       \
    if (!drv->fns.name)                                                                                      \
        return ar__fail(AR_ERR_DEVICE, "%s: no function vk" #name, drv->properties.deviceName);
    AR_VK_DEVICE_FNS(AR_VK_LOAD)
#undef AR_VK_LOAD
    return AR_OK;
}

static ar_status create_device(ar__drv *drv) {
    float priority = 1.0f;
    uint32_t count;
    VkExtensionProperties *extensions = ar__vk_extensions(&drv->fns, drv->physical, &count);
    if (!extensions) return AR_ERR_MEMORY;
    ar__vk_features features = {0};
    const char *portability = AR_VK_PORTABILITY_SUBSET, *host = VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME;
    if (ar__vk_extension_has(extensions, count, portability))
        features.extensions[features.extension_count++] = portability;
    bool has_host = drv->facts.kind == AR_DEVICE_CPU && ar__vk_extension_has(extensions, count, host);
    if (has_host) features.extensions[features.extension_count++] = host;
    free(extensions);
    VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                     .queueFamilyIndex = drv->family,
                                     .queueCount = 1,
                                     .pQueuePriorities = &priority};
    VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                               .queueCreateInfoCount = 1,
                               .pQueueCreateInfos = &queue,
                               .enabledExtensionCount = features.extension_count};
    ar__vk_features_enable(&info, &features, &drv->facts);
    VkDevice device = VK_NULL_HANDLE;
    AR_TRY(AR_VK(drv, CreateDevice, drv->physical, &info, NULL, &device));
    drv->device = device;
    ar_status status = load_device_fns(drv);
    if (status == AR_OK) {
        drv->fns.GetDeviceQueue(device, drv->family, 0, &drv->queue);
        if (has_host) ar__vk_host_memory_find(drv);
        return AR_OK;
    }
    if (drv->fns.DestroyDevice) drv->fns.DestroyDevice(device, NULL);
    drv->device = VK_NULL_HANDLE;
    return status;
}

/* Takes the instance over and finds the device that the facts name. */
static ar_status find_device(ar__drv *drv, const ar_device_facts *facts) {
    char note[256] = "";
    ar__vk_instance vk;
    AR_TRY(ar__vk_instance_take(&vk, note, sizeof note));
    if (!vk.instance) return ar__fail(AR_ERR_NO_DEVICE, "vk:%d: %s", facts->index, note);
    drv->fns = vk.fns;
    drv->instance = vk.instance;
    bool found = facts->index >= 0 && (uint32_t)facts->index < vk.device_count;
    if (found) drv->physical = vk.devices[facts->index];
    uint32_t count = vk.device_count;
    free(vk.devices);
    if (!found) return ar__fail(AR_ERR_NO_DEVICE, "vk:%d: found %u Vulkan devices", facts->index, count);
    drv->fns.GetPhysicalDeviceProperties(drv->physical, &drv->properties);
    if (drv->properties.apiVersion < VK_API_VERSION_1_1)
        return ar__fail(AR_ERR_NO_DEVICE, "vk:%d: %s is below Vulkan 1.1", facts->index,
                        drv->properties.deviceName);
    return AR_OK;
}

static void query_device(ar__drv *drv, const ar_plan *plan, const ar_device_desc *desc,
                         uint32_t timestamp_bits) {
    VkPhysicalDeviceMaintenance3Properties alloc = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES};
    VkPhysicalDeviceProperties2 head = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                        .pNext = &alloc};
    drv->fns.GetPhysicalDeviceProperties2(drv->physical, &head);
    drv->max_allocation_bytes = alloc.maxMemoryAllocationSize;
    drv->device_memory_type = plan->device_memory_type;
    drv->staging_memory_type = plan->staging_memory_type;
    drv->staged = plan->staged;
    drv->reads_texels = plan->ways >> AR_W_loads & 1;
    drv->submit_ms = desc && desc->submit_ms > 0 ? desc->submit_ms : plan->submit_ms;
    if (!plan->timestamps || !timestamp_bits || !(drv->properties.limits.timestampPeriod > 0)) return;
    drv->timestamp_mask = timestamp_bits >= 64 ? UINT64_MAX : ((uint64_t)1 << timestamp_bits) - 1;
}

static ar_status create_submission(ar__drv *drv) {
    VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                    .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
                                    .queueFamilyIndex = drv->family};
    AR_TRY(AR_VK(drv, CreateCommandPool, drv->device, &pool, NULL, &drv->pool));
    VkCommandBufferAllocateInfo buffers = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                           .commandPool = drv->pool,
                                           .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                           .commandBufferCount = 1};
    AR_TRY(AR_VK(drv, AllocateCommandBuffers, drv->device, &buffers, &drv->scratch));
    VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    for (int i = 0; i < AR_VK_RING; i++)
        AR_TRY(AR_VK(drv, CreateFence, drv->device, &fence, NULL, &drv->fences[i]));
    return AR_OK;
}

static ar_status open_device(ar__drv **out, const ar_device_facts *facts, const ar_plan *plan,
                             const ar_device_desc *desc) {
    *out = NULL;
    ar__drv *drv = ar__alloc(1, sizeof *drv);
    if (!drv) return AR_ERR_MEMORY;
    ar_status status;
    uint32_t timestamp_bits = 0;
    AR_GO(find_device(drv, facts));
    drv->family = ar__vk_compute_family(&drv->fns, drv->physical, &timestamp_bits);
    if (drv->family == UINT32_MAX)
        AR_GO(ar__fail(AR_ERR_NO_DEVICE, "vk:%d: %s has no compute queue", facts->index,
                       drv->properties.deviceName));
    drv->facts = *facts;
    drv->place_tries = 100; /* at each stream one */
    query_device(drv, plan, desc, timestamp_bits);
    AR_GO(create_device(drv));
    AR_GO(create_submission(drv));
    AR_GO(ar__vk_cache_open(drv, desc ? desc->cache_dir : NULL));
    *out = drv;
    drv = NULL;
done:
    close_device(drv);
    return status;
}

const ar__driver ar__driver_vk = {
    .name = "vk",
    .list = ar__vk_list,
    .list_end = ar__vk_list_end,
    .open = open_device,
    .close = close_device,
    .buffer_create = ar__vk_buffer_create,
    .buffer_destroy = ar__vk_buffer_destroy,
    .write = ar__vk_write,
    .read = ar__vk_read,
    .pipeline_create = ar__vk_pipeline_create,
    .pipelines_create = ar__vk_pipelines_create,
    .pipeline_destroy = ar__vk_pipeline_destroy,
    .stream_create = ar__vk_stream_create,
    .stream_destroy = ar__vk_stream_destroy,
    .submit = ar__vk_stream_submit,
    .wait = ar__vk_wait,
    .profile = ar__vk_stream_profile,
};
