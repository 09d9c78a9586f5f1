/* The HTML report of a quantization: one file, plots as inline SVG, no scripts, nothing loaded from
 * elsewhere. */
#ifndef AR_REPORT_H
#define AR_REPORT_H
#include "part.h"

typedef struct ar_report_line {
    const char *name, *value;
} ar_report_line; /* borrowed, of any length */
/* lines: what the run was (name, value); blocks come from the state. Errors: IO, MEMORY. */
ar_status ar__report_write(const char *path, const char *title, const ar_report_line *lines,
                           int32_t line_count, const ar_part *part, int32_t block_count);
#endif
