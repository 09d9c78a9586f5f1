/* Texts that stdin gives: "-" in the place of a file's name. */
#ifndef AR_STDIN_TEXT_H
#define AR_STDIN_TEXT_H
#include "program.h"

/* Where an option of kind TEXT or TEXTS was given as "-" or "/dev/stdin": reads stdin to its end, puts a file
 * that holds it in its place, and that file's name, /dev/stdin, in the option's. Errors: USAGE where two ask
 * for it, IO, INTERRUPTED. */
ar_status ar__stdin_take(const ar_option *options, int32_t count);
#endif
