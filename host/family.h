/* Inside host/: the table of model families that families.def makes, and what families share. */
#ifndef AR_FAMILY_H
#define AR_FAMILY_H
#include "ar_host.h"
#define AR_FAMILY(name) extern const ar_family ar__family_##name;
#include "families.def"
#undef AR_FAMILY
/* Ends with NULL. */
extern const ar_family *const ar__families[];
/* freq (D/2): radians per position of every rotary pair. */
void ar__rope_frequencies(float *freq, const ar_config *c);
#endif
