/* OUT.part/: the state of an unfinished quantization. One safetensors file per finished block, written whole
 * or not at all, and manifest.json, which names everything the result depends on. Each carries a checksum of
 * all it says; that of a block begins with the manifest's, so that it vouches for the run too. */
#ifndef AR_PART_H
#define AR_PART_H
#include "ar_error.h"
#include "ar_host.h"
#include <sys/stat.h>

#define AR_PART_FIELDS (AR_MAX_OPTIONS + 24) /* every option of a method, and what any run has */
typedef struct ar_part_field {
    const char *name;
    char value[160];
} ar_part_field;
typedef struct ar_part_manifest {
    ar_part_field fields[AR_PART_FIELDS];
    int32_t count;
} ar_part_manifest;
/* Appends a field; printf-style value. */
void ar__part_manifest_add(ar_part_manifest *m, const char *name, const char *format, ...);

typedef struct ar_part_seen {
    struct stat *files; /* (count) of the blocks found undamaged */
    int32_t count;
} ar_part_seen;
typedef struct ar_part {
    char *dir;
    uint64_t salt;    /* where the checksums of blocks begin */
    const char *kind; /* "block", or "scales" of the same blocks with other scales */
    ar_part_seen *seen;
    const ar_observer *observer;
} ar_part;
/* A field of the state in dir, or "" when there is none or it is damaged; to be freed. Errors: FORMAT, IO,
 * MEMORY. */
ar_status ar__part_recorded(char **value, const char *dir, const char *name);
/* How many blocks dir holds, damaged ones too. */
int32_t ar__part_count(const char *dir);
/* Opens dir. With resume an existing state must have the same manifest (USAGE names the first field that
 * differs, found and expected); a damaged or missing one is written anew, which is remarked, as is that there
 * is no state at all. Without, an existing state is removed. Nobody else works in dir: its ar_workplace is
 * open. observer may be NULL, and is kept. */
ar_status ar__part_open(ar_part *p, const char *dir, const ar_part_manifest *manifest, bool resume,
                        const ar_observer *observer);
void ar__part_close(ar_part *p);
/* The same state's blocks with scales tuned at the end: files of their own. close is due. Errors: MEMORY. */
ar_status ar__part_scales(ar_part *scales, const ar_part *p);
/* Whether the block need not be done: it is there and undamaged. A damaged one is remarked. What loads blocks
 * fails with CHECK on one that was damaged since. */
bool ar__part_finished(const ar_part *p, int32_t block);
ar_status ar__part_write(const ar_part *p, const ar_block *block, ar_qlinear *const *linears,
                         const ar_block_report *report);
/* list[i] = a malloc'ed ar_qlinear (ar_qlinear_free), or NULL where the linear stayed float. */
ar_status ar__part_load(const ar_part *p, const ar_block *block, ar_qlinear **list);
/* One linear of a block, without loading the others. */
ar_status ar__part_linear(const ar_part *p, const ar_block *block, ar_qlinear **q, int32_t i);
/* Report of a finished block; history is malloc'ed (NULL for rtn). */
ar_status ar__part_report(const ar_part *p, ar_block_report *report, float **history, int32_t block);
/* part_windows.c: ar_sink.visited and revisit, a file a block, of the last two windows. A damaged one is
 * remarked and not found. */
ar_status ar__part_visited(const ar_part *p, int32_t window, const ar_block *block,
                           ar_qlinear *const *linears);
ar_status ar__part_revisit(const ar_part *p, bool *found, int32_t window, const ar_block *block,
                           ar_qlinear **linears);
/* Removes all that is in the folder: the result is complete. */
ar_status ar__part_remove(ar_part *p);

/* ---- for part_windows.c: files of blocks by their paths ---- */

void ar__part_remark(const ar_part *p, const char *format, ...) AR__PRINTF(2, 3);
ar_status ar__part_file_write(const ar_part *p, const char *path, const ar_block *block,
                              ar_qlinear *const *linears, const ar_block_report *report);
/* Errors: CHECK for a damaged file. One that was seen before, *seen, is read whole only where it is another.
 */
ar_status ar__part_file_open(const ar_part *p, ar_safetensors **st, const char *path, struct stat *seen,
                             int32_t block);
ar_status ar__part_file_load(ar_qlinear **list, const ar_safetensors *st, const ar_block *block);
#endif
