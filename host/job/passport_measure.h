/* Figures of a passport: a written file against the model it was made from. */
#ifndef AR_PASSPORT_MEASURE_H
#define AR_PASSPORT_MEASURE_H
#include "ar_host.h"

#define AR_PASSPORT_WINDOWS 20  /* at most, from the text's start */
#define AR_PASSPORT_WINDOW  512 /* tokens, at most the context */

/* Takes the text's name, without its folder, and hash. Errors: IO; FORMAT; USAGE where it has less than one
 * window of m's tokens. */
ar_status ar__passport_text(ar_passport *p, const char *text_path, const ar_open_model *m);
/* Evaluates the model at path against ref on the text, protocol window, and fills in the figures. p->window
 * and p->windows are kept where they are not 0. Errors: those of opening and evaluating. */
ar_status ar__passport_measure(ar_passport *p, const char *path, const ar_open_model *ref, ar_device *device,
                               const char *text_path, const ar_observer *observer);
/* How many of the figures of `found` are not those recorded: KL and the perplexities by more than a hundredth
 * (KL also 1e-5), top-1 by more than .005. names gets them, with commas. */
int32_t ar__passport_compare(char *names, size_t bytes, const ar_passport *recorded,
                             const ar_passport *found);
#endif
