/* A Vulkan loader with one device that can be listed and not opened, for cases_devices.sh: what the program
 * makes of devices that nobody here has. Built as libvulkan.so.1, found through LD_LIBRARY_PATH.
 * $AR_FAKE_VULKAN names the device. Memory types: local, visible, coherent, cached, and z lazily allocated, p
 * protected, d device-coherent; the digit is the heap. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vulkan/vulkan.h>

typedef struct fake {
    const char *name;
    VkPhysicalDeviceType type;
    uint32_t bindings; /* of a set and of a stage */
    const char *types;
    uint64_t heaps[3];  /* MiB */
    const char *locals; /* "101": which heaps are the device's */
} fake;

static const fake fakes[] = {
    {"mali", VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU, 35, "0lvc 0lvch 0lz 0lp", {4096}, "1"},
    {"adreno", VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU, 24, "0l 0lvc 0lvh 0lvch 0lz", {6144}, "1"},
    {"moltenvk", VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU, 31, "0l 0lvch 0lvh 0lz", {16384}, "1"},
    {"v3d", VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU, 8, "0lvc", {4096}, "1"},
    {"rdna", VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU, 1000, "0l 1vc 2lvc 1vch 0ld", {16128, 8192, 256}, "101"},
    {"rebar", VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU, 1000, "0l 1vc 0lvc 1vch 0lvcd", {24576, 8192}, "10"},
    {"special", VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU, 24, "0lz 0lp 0lvcd", {4096}, "1"},
    {"minimum", VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU, 4, "0lvc", {4096}, "1"},
};

static const fake *chosen(void) {
    const char *name = getenv("AR_FAKE_VULKAN");
    for (size_t i = 0; i < sizeof fakes / sizeof fakes[0]; i++)
        if (name && strcmp(fakes[i].name, name) == 0) return &fakes[i];
    fprintf(stderr, "AR_FAKE_VULKAN: no such device\n");
    abort();
}

static VkResult enumerate_version(uint32_t *version) {
    *version = VK_API_VERSION_1_1;
    return VK_SUCCESS;
}

static VkResult no_extensions(const void *any, const char *layer, uint32_t *count,
                              VkExtensionProperties *out) {
    (void)any, (void)layer, (void)out;
    *count = 0;
    return VK_SUCCESS;
}

static VkResult instance_extensions(const char *layer, uint32_t *count, VkExtensionProperties *out) {
    return no_extensions(NULL, layer, count, out);
}

static VkResult create_instance(const VkInstanceCreateInfo *info, const VkAllocationCallbacks *a,
                                VkInstance *out) {
    static int instance;
    (void)info, (void)a;
    *out = (VkInstance)(void *)&instance;
    return VK_SUCCESS;
}

static void destroy_instance(VkInstance instance, const VkAllocationCallbacks *a) { (void)instance, (void)a; }

static VkResult enumerate_devices(VkInstance instance, uint32_t *count, VkPhysicalDevice *out) {
    static int device;
    (void)instance;
    *count = 1;
    if (out) *out = (VkPhysicalDevice)(void *)&device;
    return VK_SUCCESS;
}

/* The specification's minimums. */
static void get_properties(VkPhysicalDevice device, VkPhysicalDeviceProperties *p) {
    const fake *f = chosen();
    (void)device;
    *p = (VkPhysicalDeviceProperties){.apiVersion = VK_API_VERSION_1_1, .deviceType = f->type};
    snprintf(p->deviceName, sizeof p->deviceName, "fake %s", f->name);
    p->limits = (VkPhysicalDeviceLimits){.maxStorageBufferRange = 1u << 27,
                                         .maxPushConstantsSize = 128,
                                         .maxPerStageDescriptorStorageBuffers = f->bindings,
                                         .maxDescriptorSetStorageBuffers = f->bindings,
                                         .maxComputeSharedMemorySize = 16384,
                                         .maxComputeWorkGroupCount = {65535, 65535, 65535},
                                         .maxComputeWorkGroupInvocations = 128,
                                         .maxComputeWorkGroupSize = {128, 128, 64},
                                         .minStorageBufferOffsetAlignment = 256,
                                         .timestampPeriod = 1.0f};
}

static void get_properties2(VkPhysicalDevice device, VkPhysicalDeviceProperties2 *p) {
    get_properties(device, &p->properties);
    for (VkBaseOutStructure *s = p->pNext; s; s = s->pNext)
        if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES)
            ((VkPhysicalDeviceMaintenance3Properties *)(void *)s)->maxMemoryAllocationSize = 1u << 30;
}

static void get_features2(VkPhysicalDevice device, VkPhysicalDeviceFeatures2 *f) { (void)device, (void)f; }

static void get_memory(VkPhysicalDevice device, VkPhysicalDeviceMemoryProperties *m) {
    static const struct {
        char letter;
        VkMemoryPropertyFlags flag;
    } letters[] = {
        {'l', VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT},        {'v', VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT},
        {'c', VK_MEMORY_PROPERTY_HOST_COHERENT_BIT},       {'h', VK_MEMORY_PROPERTY_HOST_CACHED_BIT},
        {'z', VK_MEMORY_PROPERTY_LAZILY_ALLOCATED_BIT},    {'p', VK_MEMORY_PROPERTY_PROTECTED_BIT},
        {'d', VK_MEMORY_PROPERTY_DEVICE_COHERENT_BIT_AMD},
    };
    const fake *f = chosen();
    (void)device;
    memset(m, 0, sizeof *m);
    for (m->memoryHeapCount = 0; f->locals[m->memoryHeapCount]; m->memoryHeapCount++)
        m->memoryHeaps[m->memoryHeapCount] =
            (VkMemoryHeap){f->heaps[m->memoryHeapCount] << 20,
                           f->locals[m->memoryHeapCount] == '1' ? VK_MEMORY_HEAP_DEVICE_LOCAL_BIT : 0};
    for (const char *c = f->types; *c; c++) {
        VkMemoryType *t = &m->memoryTypes[m->memoryTypeCount];
        if (*c == ' ') m->memoryTypeCount++;
        if (*c >= '0' && *c <= '2') t->heapIndex = (uint32_t)(*c - '0');
        for (size_t i = 0; i < sizeof letters / sizeof letters[0]; i++)
            if (*c == letters[i].letter) t->propertyFlags |= letters[i].flag;
    }
    m->memoryTypeCount++;
}

static void get_families(VkPhysicalDevice device, uint32_t *count, VkQueueFamilyProperties *out) {
    (void)device;
    *count = 1;
    if (out) *out = (VkQueueFamilyProperties){.queueFlags = VK_QUEUE_COMPUTE_BIT, .queueCount = 1};
}

static VkResult create_device(VkPhysicalDevice physical, const VkDeviceCreateInfo *info,
                              const VkAllocationCallbacks *a, VkDevice *out) {
    (void)physical, (void)info, (void)a, (void)out;
    return VK_ERROR_INITIALIZATION_FAILED;
}

static PFN_vkVoidFunction no_function(VkDevice device, const char *name) {
    (void)device, (void)name;
    return NULL;
}

__attribute__((visibility("default"))) VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL
vkGetInstanceProcAddr(VkInstance instance, const char *name) {
    static const struct {
        const char *name;
        PFN_vkVoidFunction function;
    } rows[] = {
        {"vkEnumerateInstanceVersion", (PFN_vkVoidFunction)enumerate_version},
        {"vkEnumerateInstanceExtensionProperties", (PFN_vkVoidFunction)instance_extensions},
        {"vkCreateInstance", (PFN_vkVoidFunction)create_instance},
        {"vkDestroyInstance", (PFN_vkVoidFunction)destroy_instance},
        {"vkEnumeratePhysicalDevices", (PFN_vkVoidFunction)enumerate_devices},
        {"vkEnumerateDeviceExtensionProperties", (PFN_vkVoidFunction)no_extensions},
        {"vkGetPhysicalDeviceProperties", (PFN_vkVoidFunction)get_properties},
        {"vkGetPhysicalDeviceProperties2", (PFN_vkVoidFunction)get_properties2},
        {"vkGetPhysicalDeviceFeatures2", (PFN_vkVoidFunction)get_features2},
        {"vkGetPhysicalDeviceMemoryProperties", (PFN_vkVoidFunction)get_memory},
        {"vkGetPhysicalDeviceQueueFamilyProperties", (PFN_vkVoidFunction)get_families},
        {"vkCreateDevice", (PFN_vkVoidFunction)create_device},
        {"vkGetDeviceProcAddr", (PFN_vkVoidFunction)no_function},
    };
    (void)instance;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rows[i].name, name) == 0) return rows[i].function;
    return NULL;
}
