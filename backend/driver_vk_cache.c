/* Vulkan pipeline cache on disk. Drivers check their own data poorly, so the file has our header around it;
 * whatever does not match this very driver and device byte for byte is a miss.
 *   magic 8 | version, vendor, device, driver version: u32 each | uuid 16 | bytes u64 | FNV-1a u64 | data
 * Numbers are in host order: a file from a host of other order fails at the version. */
#include "driver_vk.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CACHE_MAX_BYTES ((uint64_t)256 << 20)

typedef struct cache_head {
    char magic[8];
    uint32_t version, vendor, device, driver;
    uint8_t uuid[VK_UUID_SIZE];
    uint64_t bytes, checksum;
} cache_head;
_Static_assert(sizeof(cache_head) == 56, "the header has no padding");

static uint64_t fnv1a(const uint8_t *data, size_t bytes) {
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < bytes; i++) h = (h ^ data[i]) * 0x100000001b3u;
    return h;
}

static cache_head make_head(const ar__drv *drv, uint64_t bytes, uint64_t checksum) {
    cache_head head = {.magic = "ARVKPC\r\n",
                       .version = 1,
                       .vendor = drv->properties.vendorID,
                       .device = drv->properties.deviceID,
                       .driver = drv->properties.driverVersion,
                       .bytes = bytes,
                       .checksum = checksum};
    memcpy(head.uuid, drv->properties.pipelineCacheUUID, sizeof head.uuid);
    return head;
}

/* The file's data (free()), or NULL for a miss of any kind. */
static uint8_t *load(const ar__drv *drv, size_t *bytes, uint64_t *checksum) {
    cache_head head;
    uint8_t *data = NULL;
    FILE *file = fopen(drv->cache_path, "rb");
    if (!file) return NULL;
    if (fread(&head, sizeof head, 1, file) == 1 && head.bytes && head.bytes <= CACHE_MAX_BYTES) {
        cache_head expected = make_head(drv, head.bytes, head.checksum);
        if (!memcmp(&head, &expected, sizeof head)) data = ar__alloc((size_t)head.bytes, 1);
    }
    if (data && (fread(data, 1, (size_t)head.bytes, file) != head.bytes || fgetc(file) != EOF ||
                 fnv1a(data, (size_t)head.bytes) != head.checksum)) {
        free(data);
        data = NULL;
    }
    fclose(file);
    if (!data) return NULL;
    *bytes = (size_t)head.bytes;
    *checksum = head.checksum;
    return data;
}

/* Written beside the target and renamed, so that a reader sees all of it or none. */
static void save(const ar__drv *drv, const cache_head *head, const uint8_t *data) {
    size_t length = strlen(drv->cache_path) + sizeof ".XXXXXX";
    char *temporary = ar__alloc(length, 1);
    if (!temporary) return;
    snprintf(temporary, length, "%s.XXXXXX", drv->cache_path);
    int fd = mkstemp(temporary);
    FILE *file = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (file) {
        bool ok = fwrite(head, sizeof *head, 1, file) == 1 &&
                  fwrite(data, 1, (size_t)head->bytes, file) == head->bytes;
        ok = !fclose(file) && ok;
        if (!ok || rename(temporary, drv->cache_path)) unlink(temporary);
    } else if (fd >= 0) {
        close(fd);
        unlink(temporary);
    }
    free(temporary);
}

ar_status ar__vk_cache_open(ar__drv *drv, const char *cache_dir) {
    size_t bytes = 0;
    uint8_t *data = NULL;
    if (cache_dir && cache_dir[0]) {
        const VkPhysicalDeviceProperties *p = &drv->properties;
        size_t length = strlen(cache_dir) + 64;
        drv->cache_path = ar__alloc(length, 1);
        if (!drv->cache_path) return AR_ERR_MEMORY;
        snprintf(drv->cache_path, length, "%s/vk-%04x-%04x-%08x.cache", cache_dir, p->vendorID, p->deviceID,
                 p->driverVersion);
        data = load(drv, &bytes, &drv->cache_checksum);
    }
    VkPipelineCacheCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
                                      .initialDataSize = bytes,
                                      .pInitialData = data};
    ar_status status = AR_VK(drv, CreatePipelineCache, drv->device, &info, NULL, &drv->cache);
    free(data);
    return status;
}

void ar__vk_cache_close(ar__drv *drv) {
    size_t bytes = 0;
    uint8_t *data = NULL;
    if (drv->cache && drv->cache_path &&
        drv->fns.GetPipelineCacheData(drv->device, drv->cache, &bytes, NULL) == VK_SUCCESS && bytes &&
        bytes <= CACHE_MAX_BYTES)
        data = ar__alloc(bytes, 1);
    if (data && drv->fns.GetPipelineCacheData(drv->device, drv->cache, &bytes, data) == VK_SUCCESS) {
        cache_head head = make_head(drv, bytes, fnv1a(data, bytes));
        if (head.checksum != drv->cache_checksum) save(drv, &head, data);
    }
    free(data);
    drv->fns.DestroyPipelineCache(drv->device, drv->cache, NULL);
    drv->cache = VK_NULL_HANDLE;
    free(drv->cache_path);
    drv->cache_path = NULL;
}
