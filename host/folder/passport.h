/* What a file says of its own making (ar_passport): written with it, read by verify and info. */
#ifndef AR_PASSPORT_H
#define AR_PASSPORT_H
#include "ar_host.h"

#define AR__PASSPORT_FILE "anyround.json" /* in folders */

/* A word of the passport: how it is called in JSON and, behind "anyround.", in GGUF. */
typedef struct ar__passport_row {
    const char *name;
    size_t offset;  /* in ar_passport */
    bool is_text;   /* else a double */
    bool is_figure; /* of an evaluation */
} ar__passport_row;
const ar__passport_row *ar__passport_rows(int32_t *count);
const char *ar__passport_word(const ar_passport *p, const ar__passport_row *row);
double ar__passport_number(const ar_passport *p, const ar__passport_row *row);
/* Takes a word that was read; longer texts are cut. */
void ar__passport_take(ar_passport *p, const ar__passport_row *row, const char *text, size_t bytes,
                       double number);
/* Writes anyround.json into a folder. Errors: IO, MEMORY. */
ar_status ar__passport_write(const char *folder, const ar_passport *p);
/* Reads it; *found = false where there is none. Errors: FORMAT, IO, MEMORY. */
ar_status ar__passport_read(ar_passport *p, bool *found, const char *folder);
#endif
