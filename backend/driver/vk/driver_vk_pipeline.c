/* Vulkan pipelines: a kernel's SPIR-V with its specialization values. Descriptor sets rather than push
 * descriptors: they are in the core, and GPU-assisted validation gives false reports with the latter. */
#include "driver_vk.h"
#include "parallel.h"
#include <stdlib.h>
#include <string.h>

static ar_status check_kernel(const ar__drv *drv, const ar__kernel *k, const uint32_t *specs) {
    const VkPhysicalDeviceLimits *l = &drv->properties.limits;
    if (!k->spirv || !k->spirv_words)
        return ar__fail(AR_ERR_UNSUPPORTED, "kernel %s: this build has no SPIR-V for it", k->name);
    if ((uint32_t)k->binding_count > l->maxPerStageDescriptorStorageBuffers)
        return ar__fail(AR_ERR_UNSUPPORTED, "kernel %s: %d buffers, the device binds %u", k->name,
                        k->binding_count, l->maxPerStageDescriptorStorageBuffers);
    if (4 * (uint32_t)k->param_count > l->maxPushConstantsSize)
        return ar__fail(AR_ERR_UNSUPPORTED, "kernel %s: %d parameter bytes, the device takes %u", k->name,
                        4 * k->param_count, l->maxPushConstantsSize);
    uint32_t x = k->spec_count > 0 ? specs[0] : 1, y = k->spec_count > 1 ? specs[1] : 1;
    if (!x || !y || x > l->maxComputeWorkGroupSize[0] || y > l->maxComputeWorkGroupSize[1] ||
        (uint64_t)x * y > l->maxComputeWorkGroupInvocations)
        return ar__fail(AR_ERR_ARG, "kernel %s: groups of %u x %u, the device takes %u x %u and %u in all",
                        k->name, x, y, l->maxComputeWorkGroupSize[0], l->maxComputeWorkGroupSize[1],
                        l->maxComputeWorkGroupInvocations);
    return AR_OK;
}

VkDescriptorType ar__vk_descriptor_type(const ar__pipeline *p, uint32_t binding) {
    return p->texels >> binding & 1 ? VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER
                                    : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
}

static ar_status create_layout(ar__drv *drv, ar__pipeline *p) {
    VkDescriptorSetLayoutBinding bindings[AR_MAX_BINDINGS];
    for (int32_t i = 0; i < p->kernel->binding_count; i++)
        bindings[i] = (VkDescriptorSetLayoutBinding){.binding = (uint32_t)i,
                                                     .descriptorType = ar__vk_descriptor_type(p, (uint32_t)i),
                                                     .descriptorCount = 1,
                                                     .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
    VkDescriptorSetLayoutCreateInfo sets = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
                                            .bindingCount = (uint32_t)p->kernel->binding_count,
                                            .pBindings = bindings};
    AR_TRY(AR_VK(drv, CreateDescriptorSetLayout, drv->device, &sets, NULL, &p->sets));
    VkPushConstantRange params = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
                                  .size = 4 * (uint32_t)p->kernel->param_count};
    VkPipelineLayoutCreateInfo layout = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                         .setLayoutCount = 1,
                                         .pSetLayouts = &p->sets,
                                         .pushConstantRangeCount = p->kernel->param_count > 0,
                                         .pPushConstantRanges = &params};
    return AR_VK(drv, CreatePipelineLayout, drv->device, &layout, NULL, &p->layout);
}

/* The size of subgroups that a kernel with a constant of that name runs in; 0: any, or there is no choice. */
static uint32_t subgroup_of(const ar__drv *drv, const ar__kernel *k, const uint32_t *specs) {
    for (int32_t i = 0; i < k->spec_count && drv->facts.has_subgroup_control; i++)
        if (strcmp(k->spec_names[i], "SUBGROUP") == 0) return specs[i];
    return 0;
}

static ar_status create_pipeline(ar__drv *drv, ar__pipeline *p, const uint32_t *specs) {
    const ar__kernel *k = p->kernel;
    VkSpecializationMapEntry entries[AR_MAX_SPECS];
    for (uint32_t i = 0; i < (uint32_t)k->spec_count; i++)
        entries[i] = (VkSpecializationMapEntry){.constantID = i, .offset = 4 * i, .size = 4};
    VkSpecializationInfo special = {.mapEntryCount = (uint32_t)k->spec_count,
                                    .pMapEntries = entries,
                                    .dataSize = 4 * (size_t)k->spec_count,
                                    .pData = specs};
    VkShaderModuleCreateInfo code = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
                                     .codeSize = 4 * (p->texels ? k->texel_words : k->spirv_words),
                                     .pCode = p->texels ? k->texel_spirv : k->spirv};
    VkShaderModule module = VK_NULL_HANDLE;
    AR_TRY(AR_VK(drv, CreateShaderModule, drv->device, &code, NULL, &module));
    VkPipelineShaderStageRequiredSubgroupSizeCreateInfo size = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
        .requiredSubgroupSize = subgroup_of(drv, k, specs)};
    bool is_full = size.requiredSubgroupSize > 0;
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .pNext = is_full ? &size : NULL,
                  .flags = is_full ? VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT : 0,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = module,
                  .pName = "main",
                  .pSpecializationInfo = &special},
        .layout = p->layout,
    };
    VkResult result = drv->fns.CreateComputePipelines(drv->device, drv->cache, 1, &info, NULL, &p->pipeline);
    drv->fns.DestroyShaderModule(drv->device, module, NULL);
    ar_status status = ar__vk_check(result, "vkCreateComputePipelines");
    if (status == AR_OK) return AR_OK;
    return ar__fail(status, "kernel %s: vkCreateComputePipelines gave VkResult %d", k->name, (int)result);
}

static void destroy_pipeline(ar__drv *drv, ar__pipeline *p) {
    if (!p) return;
    drv->fns.DestroyPipeline(drv->device, p->pipeline, NULL);
    drv->fns.DestroyPipelineLayout(drv->device, p->layout, NULL);
    drv->fns.DestroyDescriptorSetLayout(drv->device, p->sets, NULL);
    free(p);
}

ar_status ar__vk_pipeline_create(ar__drv *drv, ar__pipeline **pipeline, const ar__kernel *kernel,
                                 const uint32_t *specs) {
    *pipeline = NULL;
    AR_TRY(check_kernel(drv, kernel, specs));
    ar__pipeline *p = ar__alloc(1, sizeof *p);
    if (!p) return AR_ERR_MEMORY;
    ar_status status;
    p->kernel = kernel;
    p->texels = drv->reads_texels && kernel->texel_spirv ? kernel->texels : 0;
    AR_GO(create_layout(drv, p));
    AR_GO(create_pipeline(drv, p, specs));
    *pipeline = p;
    p = NULL;
done:
    destroy_pipeline(drv, p);
    return status;
}

/* ---- several at once ---- */

typedef struct batch {
    ar__drv *drv;
    ar__pipeline **made; /* NULL: failed */
    const ar__kernel *const *kernels;
    const uint32_t (*specs)[AR_MAX_SPECS];
} batch;

static void make_one(void *ctx, int64_t i) {
    const batch *b = ctx;
    ar__vk_pipeline_create(b->drv, &b->made[i], b->kernels[i], b->specs[i]);
}

/* Drivers compile where they are called, and Vulkan's calls for it may come from any thread. An error's text
 * is of the thread that made it: what failed is tried once more on this one. */
ar_status ar__vk_pipelines_create(ar__drv *drv, ar__pipeline **pipelines, const ar__kernel *const *kernels,
                                  const uint32_t (*specs)[AR_MAX_SPECS], int32_t count) {
    ar_status status = AR_OK;
    ar__parallel(count, make_one, &(batch){drv, pipelines, kernels, specs});
    for (int32_t i = 0; i < count; i++)
        if (!pipelines[i]) AR_GO(ar__vk_pipeline_create(drv, &pipelines[i], kernels[i], specs[i]));
    return AR_OK;
done:
    for (int32_t i = 0; i < count; i++) destroy_pipeline(drv, pipelines[i]);
    return status;
}

void ar__vk_pipeline_destroy(ar__drv *drv, ar__pipeline *pipeline) {
    if (pipeline) ar__vk_idle(drv);
    destroy_pipeline(drv, pipeline);
}
