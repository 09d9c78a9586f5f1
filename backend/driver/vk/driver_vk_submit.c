/* Vulkan: what every part of the driver stands on: errors, and recording, submission and waiting. One queue;
 * submissions run in order. At most AR_VK_RING replays are in flight; a fence ends each. */
#include "driver_vk.h"

/* ---- errors ---- */

static const char *result_name(VkResult result) {
    switch (result) {
#define AR_VK_NAME(name)                                                                                     \
    case name: return #name;
        AR_VK_NAME(VK_NOT_READY)
        AR_VK_NAME(VK_TIMEOUT)
        AR_VK_NAME(VK_INCOMPLETE)
        AR_VK_NAME(VK_ERROR_OUT_OF_HOST_MEMORY)
        AR_VK_NAME(VK_ERROR_OUT_OF_DEVICE_MEMORY)
        AR_VK_NAME(VK_ERROR_INITIALIZATION_FAILED)
        AR_VK_NAME(VK_ERROR_DEVICE_LOST)
        AR_VK_NAME(VK_ERROR_MEMORY_MAP_FAILED)
        AR_VK_NAME(VK_ERROR_LAYER_NOT_PRESENT)
        AR_VK_NAME(VK_ERROR_EXTENSION_NOT_PRESENT)
        AR_VK_NAME(VK_ERROR_FEATURE_NOT_PRESENT)
        AR_VK_NAME(VK_ERROR_INCOMPATIBLE_DRIVER)
        AR_VK_NAME(VK_ERROR_TOO_MANY_OBJECTS)
        AR_VK_NAME(VK_ERROR_FRAGMENTED_POOL)
        AR_VK_NAME(VK_ERROR_UNKNOWN)
        AR_VK_NAME(VK_ERROR_OUT_OF_POOL_MEMORY)
        AR_VK_NAME(VK_ERROR_FRAGMENTATION)
        AR_VK_NAME(VK_ERROR_INVALID_SHADER_NV)
#undef AR_VK_NAME
    default: return "VkResult";
    }
}

ar_status ar__vk_check(VkResult result, const char *call) {
    ar_status status = AR_ERR_DEVICE;
    if (result == VK_SUCCESS) return AR_OK;
    if (result == VK_ERROR_DEVICE_LOST) status = AR_ERR_DEVICE_LOST;
    if (result == VK_ERROR_OUT_OF_DEVICE_MEMORY) status = AR_ERR_DEVICE_MEMORY;
    if (result == VK_ERROR_OUT_OF_HOST_MEMORY) status = AR_ERR_MEMORY;
    return ar__fail(status, "%s: %s (%d)", call, result_name(result), (int)result);
}

/* ---- recording and submission ---- */

enum {
    WORK_STAGES = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
    WORK_READS = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_TRANSFER_READ_BIT,
    WORK_WRITES = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT
};

void ar__vk_barrier(ar__drv *drv, VkCommandBuffer commands) {
    VkMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                               .srcAccessMask = WORK_WRITES,
                               .dstAccessMask = WORK_READS | WORK_WRITES};
    drv->fns.CmdPipelineBarrier(commands, WORK_STAGES, WORK_STAGES, 0, 1, &barrier, 0, NULL, 0, NULL);
}

ar_status ar__vk_begin(ar__drv *drv, VkCommandBuffer commands, VkCommandBufferUsageFlags usage) {
    VkCommandBufferBeginInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO, .flags = usage};
    AR_TRY(AR_VK(drv, BeginCommandBuffer, commands, &info));
    ar__vk_barrier(drv, commands); /* submissions on one queue may overlap without it */
    return AR_OK;
}

ar_status ar__vk_end(ar__drv *drv, VkCommandBuffer commands) {
    VkMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                               .srcAccessMask = WORK_WRITES,
                               .dstAccessMask = VK_ACCESS_HOST_READ_BIT | VK_ACCESS_HOST_WRITE_BIT};
    drv->fns.CmdPipelineBarrier(commands, WORK_STAGES, VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &barrier, 0, NULL, 0,
                                NULL);
    return AR_VK(drv, EndCommandBuffer, commands);
}

static ar_status wait_oldest(ar__drv *drv) {
    VkFence *fence = &drv->fences[(drv->fence_next - drv->fence_pending) % AR_VK_RING];
    AR_TRY(AR_VK(drv, WaitForFences, drv->device, 1, fence, VK_TRUE, UINT64_MAX));
    AR_TRY(AR_VK(drv, ResetFences, drv->device, 1, fence));
    drv->fence_pending--;
    return AR_OK;
}

ar_status ar__vk_submit(ar__drv *drv, VkCommandBuffer commands, bool last) {
    if (last && drv->fence_pending == AR_VK_RING) AR_TRY(wait_oldest(drv));
    VkFence fence = last ? drv->fences[drv->fence_next % AR_VK_RING] : VK_NULL_HANDLE;
    VkSubmitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &commands};
    AR_TRY(AR_VK(drv, QueueSubmit, drv->queue, 1, &info, fence));
    drv->unfenced = !last;
    if (!last) return AR_OK;
    drv->fence_next++;
    drv->fence_pending++;
    return AR_OK;
}

ar_status ar__vk_wait(ar__drv *drv) {
    if (drv->unfenced) AR_TRY(AR_VK(drv, QueueWaitIdle, drv->queue));
    drv->unfenced = false;
    while (drv->fence_pending) AR_TRY(wait_oldest(drv));
    return AR_OK;
}

void ar__vk_idle(ar__drv *drv) {
    if (drv->fence_pending || drv->unfenced) drv->fns.DeviceWaitIdle(drv->device);
}
