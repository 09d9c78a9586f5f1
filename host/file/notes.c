/* Remarks on what was read: the library prints nothing, so they wait here for whoever opened the file. */
#include "notes.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ar_status add_line(ar_notes *n, char *line) {
    if ((n->count & (n->count - 1)) == 0) { /* full: there is room for a power of two */
        char **grown = ar__alloc(n->count ? 2 * (size_t)n->count : 1, sizeof *grown);
        if (!grown) {
            free(line);
            return AR_ERR_MEMORY;
        }
        if (n->count) memcpy(grown, n->lines, (size_t)n->count * sizeof *grown);
        free(n->lines);
        n->lines = grown;
    }
    n->lines[n->count++] = line;
    return AR_OK;
}

ar_status ar__note(ar_notes *n, const char *format, ...) {
    char text[AR__NOTE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (char *p = text; *p; p++) /* names in files may hold anything */
        if ((unsigned char)*p < 0x20 || *p == 0x7f) *p = '?';
    size_t bytes = strlen(text) + 1;
    char *line = ar__alloc(bytes, 1);
    if (!line) return AR_ERR_MEMORY;
    memcpy(line, text, bytes);
    return add_line(n, line);
}

ar_status ar__notes_move(ar_notes *to, ar_notes *from) {
    ar_status status = AR_OK;
    for (int32_t i = 0; i < from->count && status == AR_OK; i++) {
        status = add_line(to, from->lines[i]);
        from->lines[i] = NULL;
    }
    ar_notes_deinit(from);
    return status;
}

void ar_notes_deinit(ar_notes *n) {
    for (int32_t i = 0; i < n->count; i++) free(n->lines[i]);
    free(n->lines);
    *n = (ar_notes){0};
}
