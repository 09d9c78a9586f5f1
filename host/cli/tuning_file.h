/* The file of measured tiles: one JSON object a line, so that files are joined by joining them. */
#ifndef AR_TUNING_FILE_H
#define AR_TUNING_FILE_H
#include "program.h"

typedef struct ar_tuning_file {
    ar_tuning_row *rows;
    int32_t count, capacity;
} ar_tuning_file;
/* Errors: IO, MEMORY, FORMAT ("FILE: line N: ..."). */
ar_status ar_tuning_read(ar_tuning_file *t, const char *path);
/* In the order of the rows. Errors: IO, MEMORY. */
ar_status ar_tuning_write(const ar_tuning_file *t, const char *path);
/* A row takes the place of one with the same device, driver, API, kernel text and bucket. Errors: MEMORY. */
ar_status ar_tuning_add(ar_tuning_file *t, const ar_tuning_row *row);
/* Its line without the line's end; free(). */
ar_status ar_tuning_line(char **text, const ar_tuning_row *row);
/* "tm 8, tn 2" */
void ar_tuning_tiles_text(char *out, size_t bytes, const char *kernel, const uint32_t *values);
/* The row as backend/core/tiles.def has them, two lines. */
void ar_tuning_def_row(char *out, size_t bytes, const ar_tuning_row *row);
/* What --tuning names, which must be good, or else what lies by default, which is passed over with a remark
 * where it is not; nothing with --no-cache. Errors: those of ar_tuning_read. */
ar_status ar_program_tuning(ar_tuning_file *t, const ar_common *common);
void ar_tuning_free(ar_tuning_file *t);
/* Where it lies by default: tuning.jsonl in the cache folder; free(). NULL = there is no such folder. */
char *ar_tuning_default_path(void);
#endif
