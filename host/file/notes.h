/* Inside host/: making remarks (ar_notes). */
#ifndef AR_NOTES_H
#define AR_NOTES_H
#include "ar_error.h"
#include "ar_host.h"

#define AR__NOTE_BYTES 2048 /* a line is cut there */
/* Adds a line. Errors: MEMORY. */
ar_status ar__note(ar_notes *n, const char *format, ...) AR__PRINTF(2, 3);
/* Appends the lines of from, which is empty afterwards. Errors: MEMORY. */
ar_status ar__notes_move(ar_notes *to, ar_notes *from);
#endif
