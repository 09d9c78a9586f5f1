/* Where tuning of a double-quantized super-block starts; see super_start.c. */
#ifndef AR_SUPER_START_H
#define AR_SUPER_START_H
#include "ar_backend.h"

#define AR__SUPER_GROUPS (AR_SUPER_BLOCK / 16) /* the most that a structure has */

/* Scales of a super-block (dmin 0 in symmetric structures) and the whole multiples of its groups; group k has
 * the scale d i[k] and the minimum dmin j[k]. d and dmin are fp16 numbers. */
typedef struct ar__super_fit {
    float d, dmin, i[AR__SUPER_GROUPS], j[AR__SUPER_GROUPS];
} ar__super_fit;

/* w: 256 finite weights; importance (256) of their inputs, NULL = 1. scheme has a super kind. */
void ar__super_start(ar__super_fit *fit, const ar_scheme *scheme, const float *w, const float *importance);
#endif
