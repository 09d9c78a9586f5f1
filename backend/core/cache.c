/* Cache files: magic, version, sizes, checksum, the full identity, then the payload (see cache.h). Files come
 * from disk and are not trusted: a size that the file cannot hold, or any difference, is a miss. */
#include "cache.h"
#include "internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _WIN32
#include <direct.h>
#include <process.h>
#define getpid         _getpid
#define make_dir(path) _mkdir(path)
#else
#include <sys/stat.h>
#include <unistd.h>
#define make_dir(path) mkdir(path, 0755)
#endif

#define CACHE_MAGIC      0x3143414352415f31u /* the file's first eight bytes */
#define CACHE_VERSION    1u
#define CACHE_ID_BYTES   2048u
#define CACHE_PATH_BYTES 4096

typedef struct cache_header {
    uint64_t magic;
    uint32_t version, id_bytes;
    uint64_t key, source_hash, data_bytes;
    uint64_t checksum; /* of the fields before it, the id text and the payload */
} cache_header;

uint64_t ar__hash(uint64_t hash, const void *data, size_t bytes) {
    const uint8_t *p = data;
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ p[i]) * 0x100000001b3u;
    return hash;
}

static const char *text_of(const char *s) { return s ? s : ""; }

/* The identity as one text; 0 if it is too long to be cached. Fields are separated by a byte no field holds.
 */
static size_t id_text(char *out, const ar__cache_id *id) {
    int n = snprintf(out, CACHE_ID_BYTES, "%s\n%s\n%s\n%s", text_of(id->device), text_of(id->driver),
                     text_of(id->version), text_of(id->options));
    return n > 0 && (size_t)n < CACHE_ID_BYTES ? (size_t)n : 0;
}

uint64_t ar__cache_key(const ar__cache_id *id) {
    const char *fields[] = {id->device, id->driver, id->version, id->options};
    uint64_t h = ar__hash(AR__HASH_START, &id->source_hash, sizeof id->source_hash);
    for (int i = 0; i < 4; i++) h = ar__hash(h, text_of(fields[i]), strlen(text_of(fields[i])) + 1);
    return h;
}

static uint64_t checksum_of(const cache_header *header, const char *id, const void *data) {
    uint64_t h = ar__hash(AR__HASH_START, header, offsetof(cache_header, checksum));
    h = ar__hash(h, id, header->id_bytes);
    return ar__hash(h, data, (size_t)header->data_bytes);
}

static bool path_of(char *path, const char *dir, const char *kind, uint64_t key) {
    int n = snprintf(path, CACHE_PATH_BYTES, "%s/%s-%016llx.bin", dir, kind, (unsigned long long)key);
    return n > 0 && n < CACHE_PATH_BYTES;
}

/* The whole rest of f, if it is exactly as long as the header says. */
static void *read_payload(FILE *f, const cache_header *header) {
    long at = ftell(f);
    if (at < 0 || fseek(f, 0, SEEK_END) != 0) return NULL;
    long end = ftell(f);
    if (end < at || (uint64_t)(end - at) != header->data_bytes || fseek(f, at, SEEK_SET) != 0) return NULL;
    void *data = malloc(header->data_bytes ? (size_t)header->data_bytes : 1);
    if (data && fread(data, 1, (size_t)header->data_bytes, f) != header->data_bytes) {
        free(data);
        return NULL;
    }
    return data;
}

bool ar__cache_load(const char *dir, const char *kind, uint64_t key, const ar__cache_id *id, void **data,
                    size_t *bytes) {
    char path[CACHE_PATH_BYTES], want[CACHE_ID_BYTES], found[CACHE_ID_BYTES];
    cache_header header;
    *data = NULL;
    *bytes = 0;
    if (!dir || !path_of(path, dir, kind, key)) return false;
    size_t id_bytes = id_text(want, id);
    FILE *f = id_bytes ? fopen(path, "rb") : NULL;
    if (!f) return false;
    void *payload = NULL;
    bool hit = fread(&header, sizeof header, 1, f) == 1 && header.magic == CACHE_MAGIC &&
               header.version == CACHE_VERSION && header.key == key &&
               header.source_hash == id->source_hash && header.id_bytes == id_bytes &&
               fread(found, 1, id_bytes, f) == id_bytes && memcmp(found, want, id_bytes) == 0 &&
               (payload = read_payload(f, &header)) != NULL &&
               header.checksum == checksum_of(&header, found, payload);
    fclose(f);
    if (!hit) {
        free(payload);
        return false;
    }
    *data = payload;
    *bytes = (size_t)header.data_bytes;
    return true;
}

void ar__cache_store(const char *dir, const char *kind, uint64_t key, const ar__cache_id *id,
                     const void *data, size_t bytes) {
    char path[CACHE_PATH_BYTES], part[CACHE_PATH_BYTES + 64], text[CACHE_ID_BYTES];
    if (!dir || !path_of(path, dir, kind, key)) return;
    size_t id_bytes = id_text(text, id);
    if (!id_bytes) return;
    cache_header header = {.magic = CACHE_MAGIC,
                           .version = CACHE_VERSION,
                           .id_bytes = (uint32_t)id_bytes,
                           .key = key,
                           .source_hash = id->source_hash,
                           .data_bytes = bytes};
    header.checksum = checksum_of(&header, text, data);
    /* the process and an address of this thread's stack: no two writers share a name */
    snprintf(part, sizeof part, "%s.%ld.%llx.part", path, (long)getpid(),
             (unsigned long long)(uintptr_t)&header);
    (void)make_dir(dir);
    FILE *f = fopen(part, "wb");
    if (!f) return;
    bool good = fwrite(&header, sizeof header, 1, f) == 1 && fwrite(text, 1, id_bytes, f) == id_bytes &&
                fwrite(data, 1, bytes, f) == bytes;
    good = fclose(f) == 0 && good;
#ifdef _WIN32
    if (good) (void)remove(path); /* rename does not replace there */
#endif
    if (!good || rename(part, path) != 0) (void)remove(part);
}
