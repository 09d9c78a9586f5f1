/* Vulkan: optional features, asked for and turned on. */
#include "driver_vk.h"
#include <string.h>

bool ar__vk_extension_has(const VkExtensionProperties *list, uint32_t count, const char *name) {
    for (uint32_t i = 0; i < count; i++)
        if (!strcmp(list[i].extensionName, name)) return true;
    return false;
}

void ar__vk_chain(void *head, void *link) {
    VkBaseOutStructure *base = head, *added = link;
    added->pNext = base->pNext;
    base->pNext = added;
}

/* Whether a matrix of a subgroup takes operands of that type and sums in f32, in a shape that tiles hold. */
static bool is_shape(const VkCooperativeMatrixPropertiesKHR *m, VkComponentTypeKHR type) {
    return m->AType == type && m->BType == type && m->CType == VK_COMPONENT_TYPE_FLOAT32_KHR &&
           m->ResultType == VK_COMPONENT_TYPE_FLOAT32_KHR && !m->saturatingAccumulation &&
           m->scope == VK_SCOPE_SUBGROUP_KHR && 16 % m->MSize == 0 && 16 % m->NSize == 0 &&
           32 % m->KSize == 0;
}

/* The largest shape is the one that moves the least. */
static void take_larger(uint32_t of[3], const VkCooperativeMatrixPropertiesKHR *m, VkComponentTypeKHR type) {
    if (!is_shape(m, type) || m->MSize * m->NSize * m->KSize <= of[0] * of[1] * of[2]) return;
    of[0] = m->MSize, of[1] = m->NSize, of[2] = m->KSize;
}

static void fill_shapes(ar_device_facts *f, const ar__vk_fns *fns, VkPhysicalDevice device, bool has_bf16) {
    enum { MOST = 256 };
    uint32_t count = 0;
    if (!fns->GetCooperativeMatrixProperties ||
        fns->GetCooperativeMatrixProperties(device, &count, NULL) < 0 || count == 0)
        return;
    if (count > MOST) count = MOST;
    VkCooperativeMatrixPropertiesKHR shapes[MOST] = {0};
    for (uint32_t i = 0; i < count; i++)
        shapes[i].sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR;
    if (fns->GetCooperativeMatrixProperties(device, &count, shapes) < 0) return;
    uint32_t half[3] = {0};
    for (uint32_t i = 0; i < count; i++) {
        take_larger(half, &shapes[i], VK_COMPONENT_TYPE_FLOAT16_KHR);
        if (has_bf16) take_larger(f->coop_bf16, &shapes[i], VK_COMPONENT_TYPE_BFLOAT16_KHR);
    }
    f->coop_m = half[0], f->coop_n = half[1], f->coop_k = half[2];
}

void ar__vk_features_fill(ar_device_facts *f, const ar__vk_fns *fns, VkPhysicalDevice device,
                          const VkExtensionProperties *ext, uint32_t ext_count) {
    VkPhysicalDeviceFeatures2 head = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2};
    VkPhysicalDevice16BitStorageFeatures half = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES};
    VkPhysicalDeviceShaderFloat16Int8Features f16 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES};
    VkPhysicalDeviceShaderIntegerDotProductFeatures dot = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES};
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR};
    VkPhysicalDeviceShaderBfloat16FeaturesKHR bf16 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_BFLOAT16_FEATURES_KHR};
    VkPhysicalDeviceVulkanMemoryModelFeatures model = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES};
    VkPhysicalDeviceSubgroupSizeControlFeatures size = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES};
    const struct {
        const char *extension;
        void *features;
    } rows[] = {{VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME, &f16},
                {VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME, &dot},
                {VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME, &matrix},
                {VK_KHR_SHADER_BFLOAT16_EXTENSION_NAME, &bf16},
                {VK_KHR_VULKAN_MEMORY_MODEL_EXTENSION_NAME, &model},
                {VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME, &size}};
    ar__vk_chain(&head, &half);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (ar__vk_extension_has(ext, ext_count, rows[i].extension)) ar__vk_chain(&head, rows[i].features);
    fns->GetPhysicalDeviceFeatures2(device, &head);
    f->has_f16_storage = half.storageBuffer16BitAccess;
    f->has_f16_arith = f16.shaderFloat16;
    f->has_int_dot = dot.shaderIntegerDotProduct;
    f->has_subgroup_control =
        f->has_subgroup_control && size.subgroupSizeControl && size.computeFullSubgroups;
    bool is_known = f->subgroup_max > 0 && (f->subgroup_min == f->subgroup_max || f->has_subgroup_control);
    if (!matrix.cooperativeMatrix || !model.vulkanMemoryModel || !f->has_f16_arith || !is_known) return;
    fill_shapes(f, fns, device,
                bf16.shaderBFloat16Type && bf16.shaderBFloat16CooperativeMatrix && head.features.shaderInt16);
    f->has_coopmat = f->coop_m > 0;
}

static void enable(VkDeviceCreateInfo *info, ar__vk_features *features, const char *extension, void *link) {
    features->extensions[features->extension_count++] = extension;
    info->enabledExtensionCount = features->extension_count;
    if (link) ar__vk_chain(info, link);
}

void ar__vk_features_enable(VkDeviceCreateInfo *info, ar__vk_features *e, const ar_device_facts *facts) {
    info->ppEnabledExtensionNames = e->extensions;
    e->f16 = (VkPhysicalDeviceShaderFloat16Int8Features){
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES, .shaderFloat16 = VK_TRUE};
    e->dot = (VkPhysicalDeviceShaderIntegerDotProductFeatures){
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES,
        .shaderIntegerDotProduct = VK_TRUE};
    e->memory_model = (VkPhysicalDeviceVulkanMemoryModelFeatures){
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES,
        .vulkanMemoryModel = VK_TRUE};
    e->matrix = (VkPhysicalDeviceCooperativeMatrixFeaturesKHR){
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR,
        .cooperativeMatrix = VK_TRUE};
    e->bf16 = (VkPhysicalDeviceShaderBfloat16FeaturesKHR){
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_BFLOAT16_FEATURES_KHR,
        .shaderBFloat16Type = VK_TRUE,
        .shaderBFloat16CooperativeMatrix = VK_TRUE};
    e->core = (VkPhysicalDeviceFeatures){.shaderInt16 = VK_TRUE};
    e->size = (VkPhysicalDeviceSubgroupSizeControlFeatures){
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES,
        .subgroupSizeControl = VK_TRUE,
        .computeFullSubgroups = VK_TRUE};
    if (facts->has_f16_arith) enable(info, e, VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME, &e->f16);
    if (facts->has_int_dot) enable(info, e, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME, &e->dot);
    if (facts->has_subgroup_control) enable(info, e, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME, &e->size);
    if (!facts->has_coopmat) return;
    enable(info, e, VK_KHR_VULKAN_MEMORY_MODEL_EXTENSION_NAME, &e->memory_model);
    enable(info, e, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME, &e->matrix);
    if (facts->coop_bf16[0] == 0) return;
    enable(info, e, VK_KHR_SHADER_BFLOAT16_EXTENSION_NAME, &e->bf16);
    info->pEnabledFeatures = &e->core;
}
