/* Vulkan: the loader, the instance, and the facts of every device. No policy and no open device here. */
#include "cache.h"
#include "driver_vk.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- loader and instance ---- */

static pthread_once_t loader_once = PTHREAD_ONCE_INIT;
static VkResult loader_result = VK_ERROR_INITIALIZATION_FAILED;

static void loader_open(void) { loader_result = volkInitialize(); }

static bool load_instance_fns(ar__vk_fns *fns, VkInstance instance) {
    bool all = true;
#define AR_VK_LOAD(name)                                                                                     \
    fns->name = (PFN_vk##name)vkGetInstanceProcAddr(instance, "vk" #name);                                   \
    all = all && fns->name;
    AR_VK_INSTANCE_FNS(AR_VK_LOAD)
#undef AR_VK_LOAD
    fns->GetCooperativeMatrixProperties =
        (PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR)vkGetInstanceProcAddr(
            instance, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
    return all;
}

/* Vulkan over another API (Metal) is only listed to a program that asks for it. */
static ar_status find_portability(bool *has) {
    PFN_vkEnumerateInstanceExtensionProperties enumerate =
        (PFN_vkEnumerateInstanceExtensionProperties)vkGetInstanceProcAddr(
            NULL, "vkEnumerateInstanceExtensionProperties");
    uint32_t count = 0;
    *has = false;
    if (!enumerate || enumerate(NULL, &count, NULL) < 0) return AR_OK;
    VkExtensionProperties *list = ar__alloc(count, sizeof *list);
    if (!list) return AR_ERR_MEMORY;
    if (enumerate(NULL, &count, list) >= 0)
        *has = ar__vk_extension_has(list, count, VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME);
    free(list);
    return AR_OK;
}

static ar_status create_instance(VkInstance *instance, char *note, size_t note_bytes) {
    PFN_vkCreateInstance create = (PFN_vkCreateInstance)vkGetInstanceProcAddr(NULL, "vkCreateInstance");
    PFN_vkEnumerateInstanceVersion version =
        (PFN_vkEnumerateInstanceVersion)vkGetInstanceProcAddr(NULL, "vkEnumerateInstanceVersion");
    uint32_t loader = VK_API_VERSION_1_0;
    if (version) version(&loader);
    if (!create || loader < VK_API_VERSION_1_1) {
        snprintf(note, note_bytes, "the Vulkan loader is %u.%u, 1.1 is needed", VK_API_VERSION_MAJOR(loader),
                 VK_API_VERSION_MINOR(loader));
        return AR_OK;
    }
    bool portability;
    AR_TRY(find_portability(&portability));
    const char *extension = VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME;
    VkApplicationInfo app = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                             .pApplicationName = "anyround",
                             .apiVersion = VK_API_VERSION_1_1};
    VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .flags = portability ? VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR : 0,
        .pApplicationInfo = &app,
        .enabledExtensionCount = portability ? 1 : 0,
        .ppEnabledExtensionNames = &extension,
    };
    VkResult result = create(&info, NULL, instance);
    if (result == VK_SUCCESS) return AR_OK;
    *instance = VK_NULL_HANDLE;
    ar__vk_check(result, "vkCreateInstance");
    snprintf(note, note_bytes, "%s", ar_error());
    return AR_OK;
}

ar_status ar__vk_instance_open(ar__vk_instance *vk, char *note, size_t note_bytes) {
    memset(vk, 0, sizeof *vk);
    pthread_once(&loader_once, loader_open);
    if (loader_result != VK_SUCCESS) {
        snprintf(note, note_bytes, "no Vulkan loader (libvulkan) found");
        return AR_OK;
    }
    AR_TRY(create_instance(&vk->instance, note, note_bytes));
    if (!vk->instance) return AR_OK;
    if (!load_instance_fns(&vk->fns, vk->instance)) {
        snprintf(note, note_bytes, "the Vulkan loader lacks functions of Vulkan 1.1");
        ar__vk_instance_close(vk);
        return AR_OK;
    }
    VkResult result = vk->fns.EnumeratePhysicalDevices(vk->instance, &vk->device_count, NULL);
    if (result >= 0 && vk->device_count) {
        vk->devices = ar__alloc(vk->device_count, sizeof *vk->devices);
        if (!vk->devices) {
            ar__vk_instance_close(vk);
            return AR_ERR_MEMORY;
        }
        result = vk->fns.EnumeratePhysicalDevices(vk->instance, &vk->device_count, vk->devices);
    }
    if (result >= 0 && vk->device_count) return AR_OK;
    if (result < 0 && ar__vk_check(result, "vkEnumeratePhysicalDevices"))
        snprintf(note, note_bytes, "%s", ar_error());
    else
        snprintf(note, note_bytes, "a Vulkan loader, but no Vulkan device");
    ar__vk_instance_close(vk);
    return AR_OK;
}

void ar__vk_instance_close(ar__vk_instance *vk) {
    free(vk->devices);
    if (vk->instance && vk->fns.DestroyInstance) vk->fns.DestroyInstance(vk->instance, NULL);
    memset(vk, 0, sizeof *vk);
}

/* Between a list and the open behind it: an instance loads every driver of the machine, for some 15 ms. */
static struct {
    pthread_mutex_t lock;
    ar__vk_instance vk;
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Puts *vk there, which is what was kept before then; its instance may be NULL. */
static void swap_kept(ar__vk_instance *vk) {
    ar__vk_instance mine = *vk;
    (void)pthread_mutex_lock(&kept.lock);
    *vk = kept.vk;
    kept.vk = mine;
    (void)pthread_mutex_unlock(&kept.lock);
}

ar_status ar__vk_instance_take(ar__vk_instance *vk, char *note, size_t note_bytes) {
    memset(vk, 0, sizeof *vk);
    swap_kept(vk);
    return vk->instance ? AR_OK : ar__vk_instance_open(vk, note, note_bytes);
}

void ar__vk_list_end(void) {
    ar__vk_instance vk = {0};
    swap_kept(&vk);
    ar__vk_instance_close(&vk);
}

/* ---- queries ---- */

uint32_t ar__vk_compute_family(const ar__vk_fns *fns, VkPhysicalDevice device, uint32_t *timestamp_bits) {
    enum { MAX_FAMILIES = 32 };
    VkQueueFamilyProperties families[MAX_FAMILIES];
    uint32_t count = MAX_FAMILIES;
    fns->GetPhysicalDeviceQueueFamilyProperties(device, &count, families);
    for (uint32_t i = 0; i < count; i++) {
        if (!(families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) || !families[i].queueCount) continue;
        if (timestamp_bits) *timestamp_bits = families[i].timestampValidBits;
        return i;
    }
    return UINT32_MAX;
}

VkExtensionProperties *ar__vk_extensions(const ar__vk_fns *fns, VkPhysicalDevice device, uint32_t *count) {
    *count = 0;
    if (fns->EnumerateDeviceExtensionProperties(device, NULL, count, NULL) < 0) *count = 0;
    VkExtensionProperties *list = ar__alloc(*count, sizeof *list);
    if (!list) return NULL;
    if (*count && fns->EnumerateDeviceExtensionProperties(device, NULL, count, list) < 0) *count = 0;
    return list;
}

static const char *vendor_name(uint32_t id) {
    static const struct {
        uint32_t id;
        const char *name;
    } vendors[] = {
        {0x1002, "AMD"},           {0x1010, "Imagination"}, {0x106b, "Apple"},     {0x10de, "NVIDIA"},
        {0x13b5, "Arm"},           {0x1414, "Microsoft"},   {0x144d, "Samsung"},   {0x14e4, "Broadcom"},
        {0x15ad, "VMware"},        {0x19e5, "Huawei"},      {0x1ae0, "Google"},    {0x1af4, "Red Hat"},
        {0x1ed5, "Moore Threads"}, {0x5143, "Qualcomm"},    {0x8086, "Intel"},     {0x10001, "Vivante"},
        {0x10002, "VeriSilicon"},  {0x10003, "Kazan"},      {0x10004, "Codeplay"}, {0x10005, "Mesa"},
        {0x10006, "PoCL"},
    };
    for (size_t i = 0; i < sizeof vendors / sizeof *vendors; i++)
        if (vendors[i].id == id) return vendors[i].name;
    return NULL;
}

/* ---- facts ---- */

/* One 16-byte identity from the driver's and device's own, as two FNV-1a sums. */
static void mix_uuid(uint8_t out[16], const VkPhysicalDeviceProperties *p,
                     const VkPhysicalDeviceIDProperties *id) {
    uint8_t text[3 * VK_UUID_SIZE + 12];
    memcpy(text, p->pipelineCacheUUID, VK_UUID_SIZE);
    memcpy(text + VK_UUID_SIZE, id->deviceUUID, VK_UUID_SIZE);
    memcpy(text + 2 * VK_UUID_SIZE, id->driverUUID, VK_UUID_SIZE);
    uint32_t words[3] = {p->vendorID, p->deviceID, p->driverVersion};
    memcpy(text + 3 * VK_UUID_SIZE, words, sizeof words);
    for (int half = 0; half < 2; half++) {
        uint64_t h = half ? 0x84222325cbf29ce4u : AR__HASH_START;
        h = ar__hash(h, text, sizeof text);
        for (int i = 0; i < 8; i++) out[8 * half + i] = (uint8_t)(h >> (8 * i));
    }
}

/* Memory that needs a feature nobody enables (protected, AMD's device-coherent), or that is none until it is
 * rendered to. */
static const VkMemoryPropertyFlags special_memory =
    VK_MEMORY_PROPERTY_PROTECTED_BIT | VK_MEMORY_PROPERTY_LAZILY_ALLOCATED_BIT |
    VK_MEMORY_PROPERTY_DEVICE_COHERENT_BIT_AMD | VK_MEMORY_PROPERTY_DEVICE_UNCACHED_BIT_AMD;

static void fill_memory(ar_device_facts *f, const VkPhysicalDeviceMemoryProperties *m) {
    for (uint32_t i = 0; i < m->memoryTypeCount && i < AR_MAX_MEMORY_TYPES; i++) {
        VkMemoryPropertyFlags flags = m->memoryTypes[i].propertyFlags;
        ar_memory_type t = {
            .heap_bytes = m->memoryHeaps[m->memoryTypes[i].heapIndex].size,
            .device_local = flags & VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT,
            .host_visible = flags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT,
            .host_coherent = flags & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
            .host_cached = flags & VK_MEMORY_PROPERTY_HOST_CACHED_BIT,
            .special = flags & special_memory,
        };
        if (t.device_local && !t.special && t.heap_bytes > f->memory_bytes) f->memory_bytes = t.heap_bytes;
        f->memory_types[i] = t;
        f->memory_type_count = (int32_t)i + 1;
    }
    f->unified_memory = ar__memory_is_unified(f);
}

static void fill_limits(ar_device_facts *f, const VkPhysicalDeviceLimits *l) {
    f->max_group_items = l->maxComputeWorkGroupInvocations;
    for (int i = 0; i < 3; i++) {
        f->max_group_size[i] = l->maxComputeWorkGroupSize[i];
        f->max_group_count[i] = l->maxComputeWorkGroupCount[i];
    }
    f->shared_bytes = l->maxComputeSharedMemorySize;
    f->max_binding_bytes = l->maxStorageBufferRange;
    f->binding_offset_align = (uint32_t)l->minStorageBufferOffsetAlignment;
    f->max_param_bytes = l->maxPushConstantsSize;
    f->max_bindings = l->maxPerStageDescriptorStorageBuffers; /* a kernel has one set */
    if (l->maxDescriptorSetStorageBuffers < f->max_bindings)
        f->max_bindings = l->maxDescriptorSetStorageBuffers;
    f->timestamp_ns = (double)l->timestampPeriod;
}

static ar_device_kind device_kind(VkPhysicalDeviceType type) {
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU: return AR_DEVICE_DISCRETE;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: return AR_DEVICE_INTEGRATED;
    case VK_PHYSICAL_DEVICE_TYPE_CPU: return AR_DEVICE_CPU;
    default: return AR_DEVICE_OTHER;
    }
}

/* driver: its name and the API; version: the driver's own, beginning with its first number, as quirks.def
 * compares it ("Mesa 22.3.6 (LLVM 15.0.6)" becomes "22.3.6 (LLVM 15.0.6)"). */
static void fill_driver(ar_device_facts *f, const VkPhysicalDeviceProperties *p,
                        const VkPhysicalDeviceDriverProperties *driver) {
    const char *name = driver && driver->driverName[0] ? driver->driverName : "unnamed driver";
    snprintf(f->driver, sizeof f->driver, "%.80s, Vulkan %u.%u.%u", name, VK_API_VERSION_MAJOR(p->apiVersion),
             VK_API_VERSION_MINOR(p->apiVersion), VK_API_VERSION_PATCH(p->apiVersion));
    const char *number = driver ? driver->driverInfo + strcspn(driver->driverInfo, "0123456789") : "";
    uint32_t v = p->driverVersion;
    if (number[0])
        snprintf(f->version, sizeof f->version, "%.63s", number);
    else if (p->vendorID == 0x10de) /* NVIDIA packs it in its own way */
        snprintf(f->version, sizeof f->version, "%u.%u.%u", v >> 22, v >> 14 & 255, v >> 6 & 255);
    else
        snprintf(f->version, sizeof f->version, "%u.%u.%u", VK_API_VERSION_MAJOR(v), VK_API_VERSION_MINOR(v),
                 VK_API_VERSION_PATCH(v));
}

/* Names, identity, allocation limit and subgroups: what Vulkan 1.1 and listed extensions tell. */
static void fill_properties(ar_device_facts *f, const ar__vk_fns *fns, VkPhysicalDevice device,
                            const VkExtensionProperties *ext, uint32_t ext_count) {
    VkPhysicalDeviceProperties2 head = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
    VkPhysicalDeviceIDProperties id = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES};
    VkPhysicalDeviceMaintenance3Properties alloc = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES};
    VkPhysicalDeviceSubgroupProperties sub = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES};
    VkPhysicalDeviceDriverProperties driver = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
    VkPhysicalDeviceSubgroupSizeControlProperties size = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES};
    ar__vk_chain(&head, &id);
    ar__vk_chain(&head, &alloc);
    ar__vk_chain(&head, &sub);
    bool has_driver = ar__vk_extension_has(ext, ext_count, VK_KHR_DRIVER_PROPERTIES_EXTENSION_NAME);
    bool has_size = ar__vk_extension_has(ext, ext_count, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME);
    if (has_driver) ar__vk_chain(&head, &driver);
    if (has_size) ar__vk_chain(&head, &size);
    fns->GetPhysicalDeviceProperties2(device, &head);

    const VkPhysicalDeviceProperties *p = &head.properties;
    const char *vendor = vendor_name(p->vendorID);
    snprintf(f->name, sizeof f->name, "%s", p->deviceName);
    if (vendor)
        snprintf(f->vendor, sizeof f->vendor, "%s", vendor);
    else
        snprintf(f->vendor, sizeof f->vendor, "vendor 0x%04x", p->vendorID);
    fill_driver(f, p, has_driver ? &driver : NULL);
    f->vendor_id = p->vendorID;
    f->device_id = p->deviceID;
    f->kind = device_kind(p->deviceType);
    mix_uuid(f->uuid, p, &id);
    fill_limits(f, &p->limits);
    f->max_buffer_bytes = alloc.maxMemoryAllocationSize;
    if (sub.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT) {
        f->subgroup_min = has_size ? size.minSubgroupSize : sub.subgroupSize;
        f->subgroup_max = has_size ? size.maxSubgroupSize : sub.subgroupSize;
        f->has_subgroup_shuffle = (sub.supportedOperations & VK_SUBGROUP_FEATURE_SHUFFLE_BIT) != 0;
        f->has_subgroup_control =
            has_size && (size.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT) != 0;
    }
}

static ar_status fill_facts(ar_device_facts *f, const ar__vk_fns *fns, VkPhysicalDevice device,
                            uint32_t index) {
    memset(f, 0, sizeof *f);
    snprintf(f->api, sizeof f->api, "vk");
    f->index = (int32_t)index;
    f->vector_width = 4;
    uint32_t ext_count;
    VkExtensionProperties *ext = ar__vk_extensions(fns, device, &ext_count);
    if (!ext) return AR_ERR_MEMORY;
    fill_properties(f, fns, device, ext, ext_count);
    ar__vk_features_fill(f, fns, device, ext, ext_count);
    free(ext);
    VkPhysicalDeviceMemoryProperties memory;
    fns->GetPhysicalDeviceMemoryProperties(device, &memory);
    fill_memory(f, &memory);
    uint32_t bits = 0;
    ar__vk_compute_family(fns, device, &bits);
    f->has_timestamps = bits > 0 && f->timestamp_ns > 0;
    return AR_OK;
}

/* NULL when the device can be used, else why not. */
static const char *unusable(const ar__vk_fns *fns, VkPhysicalDevice device) {
    VkPhysicalDeviceProperties p;
    fns->GetPhysicalDeviceProperties(device, &p);
    if (p.apiVersion < VK_API_VERSION_1_1) return "is below Vulkan 1.1";
    if (ar__vk_compute_family(fns, device, NULL) == UINT32_MAX) return "has no compute queue";
    return NULL;
}

ar_status ar__vk_list(ar_device_facts *out, int32_t *count, int32_t capacity, char *note, size_t note_bytes) {
    char local_note[256];
    if (!note || !note_bytes) {
        note = local_note;
        note_bytes = sizeof local_note;
    }
    note[0] = 0;
    *count = 0;
    ar__vk_instance vk;
    AR_TRY(ar__vk_instance_open(&vk, note, note_bytes));
    ar_status status = AR_OK;
    int32_t found = 0;
    for (uint32_t i = 0; i < vk.device_count; i++) {
        const char *why = unusable(&vk.fns, vk.devices[i]);
        size_t used = strlen(note);
        if (why) snprintf(note + used, note_bytes - used, "%svk:%u %s", used ? "; " : "", i, why);
        if (why || (out && found >= capacity)) continue;
        if (out) AR_GO(fill_facts(&out[found], &vk.fns, vk.devices[i], i));
        found++;
    }
    *count = found;
    if (found && !note[0]) snprintf(note, note_bytes, "%d Vulkan device%s", found, found == 1 ? "" : "s");
done:
    swap_kept(&vk);
    ar__vk_instance_close(&vk);
    return status;
}
