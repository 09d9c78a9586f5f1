/* Shared by driver_vk*.c: entry points, the open device, errors, submission.
 *
 * volk's state is process-global; it is used for one thing only, opening the loader (once, under
 * pthread_once). Every instance and device loads its entry points into its own ar__vk_fns, so devices on
 * different threads share nothing. */
#ifndef AR_DRIVER_VK_H
#define AR_DRIVER_VK_H
#include "internal.h"
#include "vk_compat.h"

/* ---- entry points ---- */

#define AR_VK_INSTANCE_FNS(X)                                                                                \
    X(DestroyInstance)                                                                                       \
    X(EnumeratePhysicalDevices)                                                                              \
    X(EnumerateDeviceExtensionProperties)                                                                    \
    X(GetPhysicalDeviceProperties)                                                                           \
    X(GetPhysicalDeviceProperties2)                                                                          \
    X(GetPhysicalDeviceFeatures2)                                                                            \
    X(GetPhysicalDeviceMemoryProperties)                                                                     \
    X(GetPhysicalDeviceQueueFamilyProperties)                                                                \
    X(CreateDevice)                                                                                          \
    X(GetDeviceProcAddr)
#define AR_VK_DEVICE_FNS(X)                                                                                  \
    X(DestroyDevice)                                                                                         \
    X(DeviceWaitIdle)                                                                                        \
    X(GetDeviceQueue)                                                                                        \
    X(QueueSubmit)                                                                                           \
    X(QueueWaitIdle)                                                                                         \
    X(CreateFence)                                                                                           \
    X(DestroyFence)                                                                                          \
    X(ResetFences)                                                                                           \
    X(WaitForFences)                                                                                         \
    X(CreateBuffer)                                                                                          \
    X(DestroyBuffer)                                                                                         \
    X(CreateBufferView)                                                                                      \
    X(DestroyBufferView)                                                                                     \
    X(GetBufferMemoryRequirements)                                                                           \
    X(BindBufferMemory)                                                                                      \
    X(AllocateMemory)                                                                                        \
    X(FreeMemory)                                                                                            \
    X(MapMemory)                                                                                             \
    X(FlushMappedMemoryRanges)                                                                               \
    X(InvalidateMappedMemoryRanges)                                                                          \
    X(CreatePipelineCache)                                                                                   \
    X(DestroyPipelineCache)                                                                                  \
    X(GetPipelineCacheData)                                                                                  \
    X(CreateShaderModule)                                                                                    \
    X(DestroyShaderModule)                                                                                   \
    X(CreateDescriptorSetLayout)                                                                             \
    X(DestroyDescriptorSetLayout)                                                                            \
    X(CreatePipelineLayout)                                                                                  \
    X(DestroyPipelineLayout)                                                                                 \
    X(CreateComputePipelines)                                                                                \
    X(DestroyPipeline)                                                                                       \
    X(CreateDescriptorPool)                                                                                  \
    X(DestroyDescriptorPool)                                                                                 \
    X(AllocateDescriptorSets)                                                                                \
    X(UpdateDescriptorSets)                                                                                  \
    X(CreateCommandPool)                                                                                     \
    X(DestroyCommandPool)                                                                                    \
    X(AllocateCommandBuffers)                                                                                \
    X(BeginCommandBuffer)                                                                                    \
    X(EndCommandBuffer)                                                                                      \
    X(CreateQueryPool)                                                                                       \
    X(DestroyQueryPool)                                                                                      \
    X(GetQueryPoolResults)                                                                                   \
    X(CmdPipelineBarrier)                                                                                    \
    X(CmdCopyBuffer)                                                                                         \
    X(CmdBindPipeline)                                                                                       \
    X(CmdBindDescriptorSets)                                                                                 \
    X(CmdPushConstants)                                                                                      \
    X(CmdDispatch)                                                                                           \
    X(CmdResetQueryPool)                                                                                     \
    X(CmdWriteTimestamp)

typedef struct ar__vk_fns {
#define AR_VK_MEMBER(name) PFN_vk##name name;
    AR_VK_INSTANCE_FNS(AR_VK_MEMBER)
    AR_VK_DEVICE_FNS(AR_VK_MEMBER)
#undef AR_VK_MEMBER
    PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR GetCooperativeMatrixProperties; /* NULL = none */
} ar__vk_fns;

/* ---- driver_vk_list.c ---- */

/* An instance with its devices. instance is NULL when there is none to have; note says why. */
typedef struct ar__vk_instance {
    ar__vk_fns fns;
    VkInstance instance;
    VkPhysicalDevice *devices;
    uint32_t device_count;
} ar__vk_instance;
/* Errors: MEMORY. A missing loader or driver is not one. */
ar_status ar__vk_instance_open(ar__vk_instance *vk, char *note, size_t note_bytes);
void ar__vk_instance_close(ar__vk_instance *vk);
/* The one that a list has kept, else a new one. */
ar_status ar__vk_instance_take(ar__vk_instance *vk, char *note, size_t note_bytes);
/* The first queue family that computes; UINT32_MAX if none. *timestamp_bits may be NULL. */
uint32_t ar__vk_compute_family(const ar__vk_fns *fns, VkPhysicalDevice device, uint32_t *timestamp_bits);
/* The device's extensions (free()); NULL with the error set when memory ran out. */
VkExtensionProperties *ar__vk_extensions(const ar__vk_fns *fns, VkPhysicalDevice device, uint32_t *count);
ar_status ar__vk_list(ar_device_facts *out, int32_t *count, int32_t capacity, char *note, size_t note_bytes);
void ar__vk_list_end(void);

/* ---- driver_vk_features.c ---- */

bool ar__vk_extension_has(const VkExtensionProperties *list, uint32_t count, const char *name);
/* Links a structure into a pNext chain. */
void ar__vk_chain(void *head, void *link);
/* The facts that features and their extensions tell; has_subgroup_control comes in as the stages allow it. */
void ar__vk_features_fill(ar_device_facts *f, const ar__vk_fns *fns, VkPhysicalDevice device,
                          const VkExtensionProperties *ext, uint32_t ext_count);
/* What is turned on of a device: no more than kernels use of what the facts have. */
#define AR_VK_MAX_EXTENSIONS 8
typedef struct ar__vk_features {
    VkPhysicalDeviceShaderFloat16Int8Features f16;
    VkPhysicalDeviceShaderIntegerDotProductFeatures dot;
    VkPhysicalDeviceVulkanMemoryModelFeatures memory_model;
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix;
    VkPhysicalDeviceShaderBfloat16FeaturesKHR bf16;
    VkPhysicalDeviceFeatures core;
    VkPhysicalDeviceSubgroupSizeControlFeatures size;
    const char *extensions[AR_VK_MAX_EXTENSIONS];
    uint32_t extension_count;
} ar__vk_features;
/* Fills features and chains them to info, which keeps pointers into them. */
void ar__vk_features_enable(VkDeviceCreateInfo *info, ar__vk_features *features,
                            const ar_device_facts *facts);

/* ---- the open device; driver_vk_submit.c: errors, submission ---- */

#define AR_VK_RING 8 /* submitted replays in flight before submit() waits for the oldest */

struct ar__drv {
    ar__vk_fns fns;
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue;
    uint32_t family;
    VkPhysicalDeviceProperties properties;
    ar_device_facts facts; /* memory types */
    uint64_t max_allocation_bytes;
    int32_t device_memory_type, staging_memory_type;         /* -1: by the facts */
    PFN_vkGetMemoryHostPointerPropertiesEXT host_properties; /* NULL: memory of the host is not taken */
    uint64_t host_align;
    bool staged, reads_texels;
    int32_t place_tries; /* to place llvmpipe's threads, which number themselves some time after the open */
    uint64_t timestamp_mask; /* 0: host time */
    double submit_ms;        /* 0: one submission per stream */
    VkPipelineCache cache;
    char *cache_dir;         /* NULL: no cache file */
    uint64_t cache_hash;     /* of what was loaded */
    VkCommandPool pool;      /* of scratch */
    VkCommandBuffer scratch; /* transfers and profiling, one at a time */
    ar__buffer *staging;     /* made on first use */
    VkFence fences[AR_VK_RING];
    uint32_t fence_next, fence_pending; /* the last fence_pending before fence_next are submitted */
    bool unfenced;                      /* a failed submit left work that no fence covers */
};

/* AR_OK for VK_SUCCESS; else the error "call: VK_…". */
ar_status ar__vk_check(VkResult result, const char *call);
#define AR_VK(drv, name, ...) ar__vk_check((drv)->fns.name(__VA_ARGS__), "vk" #name)

/* Begins recording, after everything in earlier submissions. */
ar_status ar__vk_begin(ar__drv *drv, VkCommandBuffer commands, VkCommandBufferUsageFlags usage);
/* Everything recorded so far happens, and is visible, before what follows. */
void ar__vk_barrier(ar__drv *drv, VkCommandBuffer commands);
/* Ends recording with all writes visible to the host. */
ar_status ar__vk_end(ar__drv *drv, VkCommandBuffer commands);
/* last: a fence is attached, so that ar__vk_wait covers this and all earlier submissions. */
ar_status ar__vk_submit(ar__drv *drv, VkCommandBuffer commands, bool last);
ar_status ar__vk_wait(ar__drv *drv);
/* The same for destroy functions: leaves the error text alone. */
void ar__vk_idle(ar__drv *drv);

/* ---- driver_vk_threads.c ---- */

/* Gives each of llvmpipe's threads that compute a processor of its own. false: they were not found. */
bool ar__vk_threads_place(void);

/* ---- driver_vk_memory.c ---- */

struct ar__buffer {
    VkBuffer buffer;
    VkDeviceMemory memory;
    uint8_t *map; /* NULL: not host visible */
    bool coherent;
    uint64_t bytes;        /* usable, a multiple of 16 */
    uint64_t memory_bytes; /* allocated */
    void *host;            /* of the host, which memory is; NULL: the driver's own */
};
/* Whether large buffers may lie in memory of ours, found out of a device that was opened with
 * VK_EXT_external_memory_host. */
void ar__vk_host_memory_find(ar__drv *drv);
ar_status ar__vk_buffer_create(ar__drv *drv, ar__buffer **buffer, uint64_t bytes);
void ar__vk_buffer_destroy(ar__drv *drv, ar__buffer *buffer);
ar_status ar__vk_write(ar__drv *drv, ar__buffer *buffer, uint64_t offset, const void *src, uint64_t bytes);
ar_status ar__vk_read(ar__drv *drv, ar__buffer *buffer, uint64_t offset, void *dst, uint64_t bytes);

/* ---- driver_vk_pipeline.c, driver_vk_cache.c ---- */

struct ar__pipeline {
    const ar__kernel *kernel;
    uint32_t texels; /* bits: bindings read as texels */
    VkDescriptorSetLayout sets;
    VkPipelineLayout layout;
    VkPipeline pipeline;
};
ar_status ar__vk_pipeline_create(ar__drv *drv, ar__pipeline **pipeline, const ar__kernel *kernel,
                                 const uint32_t *specs);
ar_status ar__vk_pipelines_create(ar__drv *drv, ar__pipeline **pipelines, const ar__kernel *const *kernels,
                                  const uint32_t (*specs)[AR_MAX_SPECS], int32_t count);
VkDescriptorType ar__vk_descriptor_type(const ar__pipeline *pipeline, uint32_t binding);
void ar__vk_pipeline_destroy(ar__drv *drv, ar__pipeline *pipeline);

/* Makes drv->cache, filled from cache_dir's file if that fits this very driver and device. cache_dir may be
 * NULL. */
ar_status ar__vk_cache_open(ar__drv *drv, const char *cache_dir);
/* Saves what changed and destroys drv->cache. A folder that cannot be written is no cache, not an error. */
void ar__vk_cache_close(ar__drv *drv);

/* ---- driver_vk_stream.c ---- */

ar_status ar__vk_stream_create(ar__drv *drv, ar__stream **stream, const ar__command *commands, int32_t count,
                               int32_t *submissions);
void ar__vk_stream_destroy(ar__drv *drv, ar__stream *stream);
ar_status ar__vk_stream_submit(ar__drv *drv, ar__stream *stream);
ar_status ar__vk_stream_profile(ar__drv *drv, ar__stream *stream, double *us, bool *wall);
#endif
