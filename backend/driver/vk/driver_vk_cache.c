/* Vulkan's pipeline cache over cache.h's strict files: drivers check their own data poorly, so the file names
 * device, driver and cache layout in full, and whatever differs is a miss. */
#include "cache.h"
#include "driver_vk.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_KIND "vk"

typedef struct cache_texts {
    char driver[64], version[64];
} cache_texts;

static ar__cache_id make_id(const ar__drv *drv, cache_texts *texts) {
    const VkPhysicalDeviceProperties *p = &drv->properties;
    snprintf(texts->driver, sizeof texts->driver, "%08x:%08x", p->vendorID, p->deviceID);
    size_t at = (size_t)snprintf(texts->version, sizeof texts->version, "%08x:", p->driverVersion);
    for (size_t i = 0; i < VK_UUID_SIZE; i++, at += 2)
        snprintf(texts->version + at, sizeof texts->version - at, "%02x", p->pipelineCacheUUID[i]);
    return (ar__cache_id){.device = p->deviceName, .driver = texts->driver, .version = texts->version};
}

ar_status ar__vk_cache_open(ar__drv *drv, const char *cache_dir) {
    size_t bytes = 0;
    void *data = NULL;
    if (cache_dir && cache_dir[0]) {
        cache_texts texts;
        ar__cache_id id = make_id(drv, &texts);
        drv->cache_dir = ar__alloc(strlen(cache_dir) + 1, 1);
        if (!drv->cache_dir) return AR_ERR_MEMORY;
        strcpy(drv->cache_dir, cache_dir);
        if (ar__cache_load(cache_dir, CACHE_KIND, ar__cache_key(&id), &id, &data, &bytes))
            drv->cache_hash = ar__hash(AR__HASH_START, data, bytes);
    }
    VkPipelineCacheCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
                                      .initialDataSize = bytes,
                                      .pInitialData = data};
    ar_status status = AR_VK(drv, CreatePipelineCache, drv->device, &info, NULL, &drv->cache);
    free(data);
    return status;
}

static void save(ar__drv *drv) {
    size_t bytes = 0;
    if (drv->fns.GetPipelineCacheData(drv->device, drv->cache, &bytes, NULL) != VK_SUCCESS || !bytes) return;
    void *data = malloc(bytes); /* not ar__alloc: closing leaves the error text alone */
    if (data && drv->fns.GetPipelineCacheData(drv->device, drv->cache, &bytes, data) == VK_SUCCESS &&
        ar__hash(AR__HASH_START, data, bytes) != drv->cache_hash) {
        cache_texts texts;
        ar__cache_id id = make_id(drv, &texts);
        ar__cache_store(drv->cache_dir, CACHE_KIND, ar__cache_key(&id), &id, data, bytes);
    }
    free(data);
}

void ar__vk_cache_close(ar__drv *drv) {
    if (drv->cache && drv->cache_dir) save(drv);
    drv->fns.DestroyPipelineCache(drv->device, drv->cache, NULL);
    drv->cache = VK_NULL_HANDLE;
    free(drv->cache_dir);
    drv->cache_dir = NULL;
}
