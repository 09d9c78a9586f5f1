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
    bool is_spare;  /* not written where it is empty */
} ar__passport_row;
const ar__passport_row *ar__passport_rows(int32_t *count);
const char *ar__passport_word(const ar_passport *p, const ar__passport_row *row);
double ar__passport_number(const ar_passport *p, const ar__passport_row *row);
/* Takes a word that was read; longer texts are cut. */
void ar__passport_take(ar_passport *p, const ar__passport_row *row, const char *text, size_t bytes,
                       double number);
/* Writes anyround.json into a folder: a passport, and of src the grids of static inputs. Errors: IO, MEMORY.
 */
ar_status ar__passport_write(const char *folder, const ar_passport *p, const ar_write_source *src);
/* Reads the grids of m's static inputs into a. Errors: FORMAT, IO, MEMORY. */
ar_status ar__passport_grids(ar_acts *a, const ar_open_model *m, const char *folder);
/* Whether s, z are what a grid is. */
bool ar__acts_grid_is_valid(const ar_acts_scheme *scheme, const float grid[2]);
/* Reads it; *found = false where there is none. Errors: FORMAT, IO, MEMORY. */
ar_status ar__passport_read(ar_passport *p, bool *found, const char *folder);
#endif
