/* An HTML page of ours: one file, no scripts, nothing loaded from elsewhere, light and dark, wide and narrow.
 */
#ifndef AR_PAGE_H
#define AR_PAGE_H
#include "ar_host.h"

typedef struct ar__page {
    ar_writer *w;
    ar_status status; /* of all so far; after a failure nothing more is written */
} ar__page;
/* Formatted HTML, at most 1 KiB of it. */
void ar__page_put(ar__page *p, const char *format, ...) AR__PRINTF(2, 3);
/* Text, with what HTML would take for its own escaped. */
void ar__page_text(ar__page *p, const char *text);
/* All before the body's own: style, title and a line beneath it. */
void ar__page_begin(ar__page *p, const char *title, const char *subtitle);
#endif
