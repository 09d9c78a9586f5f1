/* Cache files of compiled programs and pipelines (backend/core/cache.c): one file per entry, a strict header,
 * and every doubt is a miss. Used by the drivers; nothing here is an error, a cache can only help. */
#ifndef AR_CACHE_H
#define AR_CACHE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What an entry was made from and for. Every field is stored in the file and must be equal on load; NULL
 * counts as "". */
typedef struct ar__cache_id {
    const char *device, *driver, *version, *options;
    uint64_t source_hash;
} ar__cache_id;

/* FNV-1a over bytes, continued from hash; start with AR__HASH_START. */
#define AR__HASH_START 0xcbf29ce484222325u
uint64_t ar__hash(uint64_t hash, const void *data, size_t bytes);
/* The hash of a whole id: the usual key. */
uint64_t ar__cache_key(const ar__cache_id *id);

/* Reads dir/kind-<key>.bin. True: *data is the payload (the caller frees it) and *bytes its size. False: dir
 * is NULL, or the file is missing, unreadable, truncated, longer than it says, of another version, made for
 * another id, or its checksum differs. */
bool ar__cache_load(const char *dir, const char *kind, uint64_t key, const ar__cache_id *id, void **data,
                    size_t *bytes);
/* Writes it: a temporary file beside it, then a rename, so that no reader sees a part. Makes dir if its
 * parent exists. Silent on failure. */
void ar__cache_store(const char *dir, const char *kind, uint64_t key, const ar__cache_id *id,
                     const void *data, size_t bytes);
#endif
