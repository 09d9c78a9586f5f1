/* Inside host/: what a folder's README.md says of the model. */
#ifndef AR_MODEL_CARD_H
#define AR_MODEL_CARD_H
#include "notes.h"
/* Adds the values of a key (license, tags) as lines: one, those of a list, or none. Errors: IO, FORMAT (too
 * long), MEMORY. */
ar_status ar__card_read(ar_notes *values, const char *folder, const char *key);
#endif
