/* Well-formed UTF-8, for readers of text. */
#ifndef AR_UTF8_H
#define AR_UTF8_H
#include <stddef.h>
#include <stdint.h>

/* Length of the UTF-8 sequence at p; 0 if it is none: overlong, a surrogate, beyond U+10FFFF, cut off. */
size_t ar__utf8_sequence(const uint8_t *p, size_t left);
#endif
