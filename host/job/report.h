/* The HTML report of a quantization: one file, plots as inline SVG, no scripts, nothing loaded from
 * elsewhere. */
#ifndef AR_REPORT_H
#define AR_REPORT_H
#include "part.h"

typedef struct ar_report_line {
    const char *name, *value;
} ar_report_line; /* borrowed, of any length */
typedef struct ar_report {
    const char *title, *subtitle;
    const ar_report_line *results, *settings; /* what came out, what it was made with */
    int32_t result_count, setting_count;
    const char *start;   /* where tuning begins, if not at round to nearest: "searched grids"; NULL */
    const ar_part *part; /* the blocks' losses */
    int32_t block_count;
} ar_report;
/* Errors: IO, MEMORY, FORMAT for a state that does not read back. */
ar_status ar__report_write(const char *path, const ar_report *report);
#endif
